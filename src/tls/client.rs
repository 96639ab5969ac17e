//! One connection's side of TLS: its files made into what the MQTT client takes, and its failures into sentences.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use rustls::{
    ClientConfig,
    client::{ResolvesClientCert, Resumption},
    crypto::{CryptoProvider, ring},
    pki_types::UnixTime,
    sign::SingleCertAndKey,
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};

use super::{
    check::Check,
    error::{Flaw, TlsError},
    explain::{Circumstances, Peer, Refusal, explain},
    files::{Material, TlsFiles, read},
    report::Report,
};
use crate::domain::{Clock, ClockQuality, Stamp};

/// What one connection to the broker is secured with; for the MQTT client, which knows the type.
pub type Session = Arc<ClientConfig>;

/// TLS of one of our connections; clones share it.
#[derive(Clone)]
pub struct ClientTls(Arc<Inner>);

struct Inner {
    host: String,
    port: u16,
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    report: Report,
    provider: Arc<CryptoProvider>,
    peer: Peer,
    check: Check,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientTls({}:{} with {:?})", self.0.host, self.0.port, self.0.files)
    }
}

impl ClientTls {
    /// For a broker at `host`, a name or an address without brackets. Nothing is read yet.
    #[must_use]
    pub fn new(host: &str, port: u16, files: TlsFiles, clock: Arc<dyn Clock>, report: Report) -> Self {
        Self::to(Peer::BROKER, Check::Name, (host, port), files, clock, report)
    }

    /// For a server of PostgreSQL; `names` says whether its certificate must be for `host`.
    #[must_use]
    pub fn to_database(
        (host, port): (&str, u16),
        names: bool,
        files: TlsFiles,
        clock: Arc<dyn Clock>,
        report: Report,
    ) -> Self {
        let check = if names { Check::Name } else { Check::Authority };
        Self::to(Peer::DATABASE, check, (host, port), files, clock, report)
    }

    fn to(
        peer: Peer,
        check: Check,
        (host, port): (&str, u16),
        files: TlsFiles,
        clock: Arc<dyn Clock>,
        report: Report,
    ) -> Self {
        let provider = Arc::new(ring::default_provider());
        Self(Arc::new(Inner { host: host.to_owned(), port, files, clock, report, provider, peer, check }))
    }

    /// Reads the files anew, for one connection.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub async fn open(&self) -> Result<Session, TlsError> {
        let material = self.read().await?;
        let time = Arc::new(Watch(Arc::clone(&self.0.clock)));
        let config = ClientConfig::builder_with_details(Arc::clone(&self.0.provider), time);
        let config = config.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| broken(&error))?;
        let config = self.0.check.applied(config, material.verifier);
        let mut config = match material.identity {
            Some(identity) => {
                let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(identity.certificate));
                config.with_client_cert_resolver(resolver)
            }
            None => config.with_no_client_auth(),
        };
        // Each connection is checked whole: what is revoked meanwhile is not let in by an old ticket.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Why a connection is over, if TLS is the cause; the status keeps it until a connection stands. `handshake` says that
    /// TLS was still beginning.
    #[must_use]
    pub fn explain(&self, error: &(dyn StdError + 'static), handshake: bool) -> Option<Refusal> {
        let Inner { peer, host, port, files, clock, report, .. } = &*self.0;
        let now = clock.now();
        let at = Circumstances { peer: *peer, host, port: *port, files, own: report.own(), now };
        let refusal = explain(error, handshake, &at)?;
        report.failed(&refusal.sentence, now);
        Some(refusal)
    }

    /// The broker has let us in.
    pub fn stands(&self) {
        self.0.report.stands(self.0.clock.now());
    }

    /// What is known of it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// Days until our own certificate ends, negative once it is over; none without one.
    #[must_use]
    pub fn days_left(&self) -> Option<i64> {
        self.0.report.certificate(self.0.clock.now().wall).days_left
    }

    /// Reads and checks the files, and tells how they are.
    pub(super) async fn read(&self) -> Result<Material, TlsError> {
        let (files, provider) = (self.0.files.clone(), Arc::clone(&self.0.provider));
        let material = tokio::task::spawn_blocking(move || read(&files, &provider)).await;
        let material = material.map_err(|error| TlsError::Reader(error.to_string()))?.map_err(TlsError::Files);
        let now = self.0.clock.now();
        match &material {
            Ok(material) => self.0.report.read(material, now),
            Err(error) => self.0.report.unusable(error.to_string(), now),
        }
        material
    }
}

fn broken(error: &rustls::Error) -> TlsError {
    TlsError::Files(vec![Flaw { key: "ca", message: format!("TLS cannot be used here: {error}") }])
}

/// Certificates are judged by the clock that everything else goes by. A box that does not know the time (1970) knows at
/// least that it is not before the floor: else no certificate would be valid yet, and it could connect to nobody.
struct Watch(Arc<dyn Clock>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl TimeProvider for Watch {
    fn current_time(&self) -> Option<UnixTime> {
        let Stamp { wall, quality, .. } = self.0.now();
        let floor = self.0.floor().filter(|_| quality == ClockQuality::Unsynced);
        let wall = floor.map_or(wall, |floor| wall.max(floor));
        let seconds = u64::try_from(wall.whole_second()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BootId, Timestamp};

    struct Hand(Stamp);

    impl Clock for Hand {
        fn now(&self) -> Stamp {
            self.0
        }

        fn floor(&self) -> Option<Timestamp> {
            Some(Timestamp::from_micros(5_000_000))
        }
    }

    #[test]
    fn a_box_in_1970_judges_certificates_by_the_floor() {
        use ClockQuality::{Synced, Unsynced};
        for (wall, quality, judged) in [(1, Unsynced, 5), (9, Unsynced, 9), (9, Synced, 9)] {
            let boot = BootId(uuid::Uuid::nil());
            let now = Stamp { wall: Timestamp::from_micros(wall * 1_000_000), mono_ns: 0, boot, quality };
            let time = Watch(Arc::new(Hand(now))).current_time().expect("a time");
            assert_eq!(time.as_secs(), judged, "{wall} {quality:?}");
        }
    }
}
