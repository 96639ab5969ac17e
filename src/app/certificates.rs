//! TLS of the daemon's connections: made once from the configuration, shared by the parts that connect, watched by one of
//! their own, and shown in the status.

use std::sync::Arc;

use crate::{
    config::{self, Config},
    domain::Clock,
    http::CertificateLine,
    supervisor::{Phase, Unit},
    telemetry::{Ailments, Gauge, Telemetry},
    tls::{self, ClientTls, Report, TlsFiles},
};

/// TLS by connection; none where a broker is spoken to in clear text.
#[derive(Clone)]
pub(super) struct Certificates {
    pub(super) anchors: Option<ClientTls>,
    pub(super) uplink: Option<ClientTls>,
    clock: Arc<dyn Clock>,
}

impl Certificates {
    pub(super) fn new(config: &Config, clock: &Arc<dyn Clock>, ailments: &Ailments, telemetry: &Telemetry) -> Self {
        let secured = |name, gauge, broker: &config::Broker| {
            let report = Report::new(name, ailments.clone(), telemetry.clone(), Some(gauge));
            let files = TlsFiles::from(broker.tls.as_ref()?);
            Some(ClientTls::new(&broker.host, broker.port, files, Arc::clone(clock), report))
        };
        let anchors = config.anchors.as_ref();
        let uplink = config.uplink.as_ref().map(|uplink| &uplink.broker);
        Self {
            anchors: anchors.and_then(|broker| secured("anchors", Gauge::AnchorsCertificateDays, broker)),
            uplink: uplink.and_then(|broker| secured("uplink", Gauge::UplinkCertificateDays, broker)),
            clock: Arc::clone(clock),
        }
    }

    /// Looks after all of them; none when there is nothing to look after.
    pub(super) fn unit(&self) -> Option<Unit> {
        let connections: Vec<ClientTls> = self.all().cloned().collect();
        let watch = move |stop| tls::watch(connections.clone(), stop);
        (self.all().count() > 0).then(|| Unit::new("certificates", Phase::Intake, watch))
    }

    /// As the status shows them.
    pub(super) fn lines(&self) -> Vec<CertificateLine> {
        let now = self.clock.now().wall;
        let line = |connection: &ClientTls| {
            let tls::Certificate { until, days_left, problem } = connection.report().certificate(now);
            CertificateLine { connection: connection.report().name(), valid_until: until, days_left, problem }
        };
        self.all().map(line).collect()
    }

    fn all(&self) -> impl Iterator<Item = &ClientTls> {
        self.anchors.iter().chain(&self.uplink)
    }
}

impl From<&config::Tls> for TlsFiles {
    fn from(tls: &config::Tls) -> Self {
        let config::Tls { ca, identity, crl } = tls.clone();
        Self { ca, identity, crl }
    }
}
