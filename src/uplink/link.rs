//! Keeps the box connected to its broker: connects, serves, waits, connects again, until it is told to stop.
//!
//! A broker may forbid to subscribe to the questions of anybody, with a refusal or by closing the connection: the next
//! attempt then asks for those of the configured consumers only.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    inbox::Inboxes,
    post::Mail,
    session::{Ended, Session},
    topics::Topics,
};
use crate::{
    domain::{Backoff, ConsumerId},
    telemetry::{Gauge, Telemetry},
    tls::{self, ClientTls, TlsError},
};

/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How patient the box is with its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// How often the broker is asked for a sign of life; two in vain end the connection.
    pub keep_alive: Duration,
    /// How long a broker may acknowledge or deliver nothing before it is asked again or left.
    pub patience: Duration,
    /// Longest pause between attempts to connect.
    pub longest_pause: Duration,
}

impl Default for Line {
    fn default() -> Self {
        let minute = Duration::from_mins(1);
        // A megabyte over a bad mobile line takes over a minute.
        Self { keep_alive: minute, patience: 2 * minute, longest_pause: minute }
    }
}

/// Where the broker is and what to ask of it.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) client_id: String,
    pub(super) credentials: Option<(String, String)>,
    pub(super) tls: Option<ClientTls>,
    pub(super) topics: Topics,
    pub(super) consumers: Vec<ConsumerId>,
    pub(super) line: Line,
    pub(super) began: Instant,
}

impl Place {
    /// Time since the uplink began: a monotonic clock.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What secures the next connection; none where the broker is spoken to in clear text.
    async fn secured(&self) -> Result<Option<tls::Session>, TlsError> {
        match &self.tls {
            Some(tls) => tls.open().await.map(Some),
            None => Ok(None),
        }
    }
}

/// The connection over its whole life.
pub(super) struct Link {
    pub(super) place: Place,
    pub(super) inboxes: Inboxes,
    pub(super) mail: Mail,
    /// Counts connections; told when one stands.
    pub(super) connections: watch::Sender<u64>,
    pub(super) telemetry: Telemetry,
}

impl Link {
    /// Ends only when `stop` is cancelled, after saying goodbye.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::up_to(&self.place.client_id, self.place.line.longest_pause);
        let mut wide = true;
        loop {
            let secured = self.place.secured().await;
            let (connections, telemetry, host) = (&self.connections, &self.telemetry, &self.place.host);
            let mut connected = || {
                connections.send_modify(|count| *count += 1);
                telemetry.set(Gauge::UplinkConnected, 1);
                self.place.tls.iter().for_each(ClientTls::stands);
                tracing::info!(broker = %host, "the uplink is connected");
            };
            let ended = match secured {
                Err(error) => Ended::before(&error),
                Ok(tls) => {
                    let mut session = Session::new(&self.place, &self.inboxes, wide, tls);
                    tokio::select! {
                        ended = session.run(&mut self.mail, &mut connected) => ended,
                        () = stop.cancelled() => {
                            // Nobody is told if the broker does not take it in time: it then publishes the last will
                            // itself.
                            let _ = tokio::time::timeout(GOODBYE, session.say_goodbye(&mut self.mail)).await;
                            self.telemetry.set(Gauge::UplinkConnected, 0);
                            return;
                        }
                    }
                }
            };
            self.telemetry.set(Gauge::UplinkConnected, 0);
            if ended.forbidden {
                wide = !wide;
            }
            let wait = backoff.after(ended.lasted);
            let (host, port) = (&self.place.host, self.place.port);
            tracing::warn!(broker = %host, port, cause = %ended.cause, ?wait, "the uplink is not connected");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                never = self.mail.discard() => match never {},
                () = stop.cancelled() => return,
            }
        }
    }
}
