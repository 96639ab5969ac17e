//! Runs `rumqttd`'s server on a runtime of our own, so that dropping the broker closes its port and its connections:
//! `rumqttd::Broker` itself has no way to stop. One thread of `rumqttd` (its router) stays parked, without a connection
//! or a port, until the process ends; a process should start few brokers.

use std::{
    fmt,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings, protocol::v4::V4};
use tokio::sync::oneshot;

/// The answers to a puller (at most 256 KiB and a line) pass easily, as does whatever a command may hold.
const MAX_PAYLOAD_BYTES: usize = 2 * 1024 * 1024;
const MAX_CONNECTIONS: usize = 1000;
/// Acknowledged messages in flight, and packets read at once, of one connection.
const MAX_INFLIGHT: usize = 500;
/// `rumqttd` keeps this much of each filter's past for readers who are behind; what is older is lost for them. At
/// 20,000 messages a second of 150 bytes it is a little over a second.
const SEGMENT_BYTES: usize = 1024 * 1024;
const SEGMENTS: usize = 4;
const READY_ATTEMPTS: u32 = 500;
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// Where the broker listens and who may come in.
#[derive(Clone)]
pub struct Options {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names and passwords; when empty, everybody may come in.
    pub users: Vec<(String, String)>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&str> = self.users.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Options").field("listen", &self.listen).field("users", &users).finish()
    }
}

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The port is in use, or this address is not ours.
    #[error("embedded broker cannot listen on {listen}: {source}")]
    Listen {
        /// Where it was told to listen.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no thread.
    #[error("embedded broker gets no thread: {0}")]
    Thread(#[source] std::io::Error),
    /// It listens but does not answer.
    #[error("embedded broker on {listen} does not come up: {reason}")]
    NotReady {
        /// Where it should answer.
        listen: SocketAddr,
        /// Its own word, if it said one.
        reason: String,
    },
}

/// A running broker; dropping it closes its port and all connections.
#[derive(Debug)]
pub struct EmbeddedBroker {
    listen: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts the broker and waits until it accepts connections: milliseconds, at most 5 s. Blocks the caller meanwhile.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the broker does not come up.
    pub fn start(options: Options) -> Result<Self, BrokerError> {
        let listen = free_address(options.listen)?;
        let (stop, stopped) = oneshot::channel();
        let (failed, failure) = mpsc::sync_channel(1);
        let run = move || {
            if let Err(reason) = serve(settings(listen, options.users), stopped) {
                // The only reader may be gone, after the 5 s are over.
                let _ = failed.try_send(reason);
            }
        };
        let thread = thread::Builder::new().name("broker".to_owned()).spawn(run).map_err(BrokerError::Thread)?;
        let broker = Self { listen, stop: Some(stop), thread: Some(thread) };
        broker.wait_until_ready(&failure)?;
        Ok(broker)
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn wait_until_ready(&self, failure: &mpsc::Receiver<String>) -> Result<(), BrokerError> {
        let mut target = self.listen;
        if target.ip().is_unspecified() {
            target.set_ip(if target.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        for _ in 0..READY_ATTEMPTS {
            match failure.recv_timeout(READY_INTERVAL) {
                Ok(reason) => return Err(BrokerError::NotReady { listen: self.listen, reason }),
                Err(_) if TcpStream::connect_timeout(&target, READY_INTERVAL).is_ok() => return Ok(()),
                Err(_) => {}
            }
        }
        Err(BrokerError::NotReady { listen: self.listen, reason: "no answer within 5 s".to_owned() })
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        // Dropping the sender is the sign to stop.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the broker was logged by its own thread; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// The address with a real port. `rumqttd` binds by itself and only logs a failure: asking first gives the clear error.
fn free_address(listen: SocketAddr) -> Result<SocketAddr, BrokerError> {
    let bound = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    bound.map_err(|source| BrokerError::Listen { listen, source })
}

fn settings(listen: SocketAddr, users: Vec<(String, String)>) -> ServerSettings {
    ServerSettings {
        name: "embedded".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: MAX_PAYLOAD_BYTES,
            max_inflight_count: MAX_INFLIGHT,
            auth: (!users.is_empty()).then(|| users.into_iter().collect()),
            external_auth: None,
            // Without it, `rumqttd` hangs up on whoever publishes to a topic that nobody has subscribed to yet.
            dynamic_filters: true,
        },
    }
}

fn serve(settings: ServerSettings, stopped: oneshot::Receiver<()>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let config = RouterConfig {
        max_connections: MAX_CONNECTIONS,
        max_outgoing_packet_count: 500,
        max_segment_size: SEGMENT_BYTES,
        max_segment_count: SEGMENTS,
        ..RouterConfig::default()
    };
    let mut server = Server::new(settings, Router::new(0, config).spawn(), V4);
    // Leaving this function drops the runtime, and with it the listener and every connection.
    runtime.block_on(async {
        tokio::select! {
            ended = server.start(LinkType::Remote) => ended.map_err(|error| error.to_string()),
            _ = stopped => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(port: u16) -> Options {
        Options { listen: SocketAddr::from(([127, 0, 0, 1], port)), users: vec![("a".into(), "secret-word".into())] }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let broker = EmbeddedBroker::start(options(0)).expect("a free port");
        let error = EmbeddedBroker::start(options(broker.listen().port())).expect_err("in use");
        let text = error.to_string();
        assert!(matches!(error, BrokerError::Listen { .. }), "{error:?}");
        assert!(text.contains(&broker.listen().to_string()) && text.contains("in use"), "{text}");
    }

    #[test]
    fn a_dropped_broker_gives_its_port_back() {
        let port = EmbeddedBroker::start(options(0)).expect("a free port").listen().port();
        let again = EmbeddedBroker::start(options(port)).expect("the port is free again");
        assert_eq!(again.listen().port(), port);
    }

    #[test]
    fn passwords_do_not_print() {
        assert!(!format!("{:?}", options(1)).contains("secret-word"));
    }
}
