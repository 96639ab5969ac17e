//! The listener: accepts connections, no more than it can hold, and gives each a time to say what it wants.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::routes::{self, Parts};

/// Connections at once, those of the WebSocket included.
const MAX_CONNECTIONS: usize = 512;
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
const HEADER_BYTES: usize = 16 * 1024;
/// How long answers that are on their way may take at the end.
const GOODBYE: Duration = Duration::from_secs(1);
/// After an accept that failed for want of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Why the server stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The listener could not be handed to the runtime.
    #[error("the listener on {address} cannot be used")]
    Listener {
        /// Where it listens.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The server on a bound listener.
pub struct Http {
    listener: std::net::TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Http {
    /// Not serving yet. The listener stays bound when a run ends, for the next one.
    #[must_use]
    pub fn new(listener: std::net::TcpListener, address: SocketAddr, parts: Parts) -> Self {
        Self { listener, address, router: routes::router(parts) }
    }

    /// Serves one text at `/metrics`, made anew for each question, and nothing else.
    #[must_use]
    pub fn metrics(
        listener: std::net::TcpListener,
        address: SocketAddr,
        render: impl Fn() -> String + Clone + Send + Sync + 'static,
    ) -> Self {
        Self { listener, address, router: routes::metrics_only(render) }
    }

    /// Serves until `stop`; answers what is under way then, for a second at most.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), HttpError> {
        let failed = |source| HttpError::Listener { address: self.address, source };
        self.listener.set_nonblocking(true).map_err(failed)?;
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).map_err(failed)?;
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = Arc::clone(&room).acquire_owned() => permit,
                Some(_) = connections.join_next() => continue,
            };
            let Ok(permit) = permit else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (router, stop) = (self.router.clone(), stop.clone());
                    connections.spawn(async move {
                        serve(stream, router, stop).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!("a connection to {} could not be accepted: {error}", self.address);
                    tokio::time::sleep(BREATH).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        let rest = async { while connections.join_next().await.is_some() {} };
        // Who is not done is cut off with the set.
        let _ = tokio::time::timeout(GOODBYE, rest).await;
        Ok(())
    }
}

async fn serve(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Small frames are to go at once; where the system refuses, they go a little later.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}
