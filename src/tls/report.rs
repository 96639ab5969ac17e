//! What is known of the certificates of one connection, and who is told: the log, the metrics, `degraded`, the status.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    files::Material,
    validity::{Validity, day},
};
use crate::{
    domain::{Stamp, Timestamp},
    telemetry::{Ailments, Gauge, Telemetry},
};

/// So many days before its end a certificate is called old.
const WARN_DAYS: i64 = 30;
/// Between two warnings in the log.
const WARN_AGAIN_NS: i64 = 86_400 * 1_000_000_000;

/// What the status says of the certificates of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Last moment of our own certificate; none when there is none, or it could not be read.
    pub until: Option<Timestamp>,
    /// Days until then; negative once it is over.
    pub days_left: Option<i64>,
    /// Why there is no connection, if TLS is the cause.
    pub problem: Option<String>,
}

/// Who is told of the certificates of one connection; clones share what is known.
#[derive(Clone)]
pub struct Report {
    name: &'static str,
    ailments: Ailments,
    telemetry: Telemetry,
    gauge: Option<Gauge>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// What is wrong with the files.
    files: Option<String>,
    /// Why the last attempt failed.
    attempt: Option<String>,
    own: Option<Validity>,
    list_due: Option<Timestamp>,
    warned_ns: Option<i64>,
}

impl Report {
    /// For the connection called `name`; the days that are left go to `gauge`.
    #[must_use]
    pub fn new(name: &'static str, ailments: Ailments, telemetry: Telemetry, gauge: Option<Gauge>) -> Self {
        Self { name, ailments, telemetry, gauge, known: Arc::default() }
    }

    /// What the status says.
    #[must_use]
    pub fn certificate(&self, now: Timestamp) -> Certificate {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Certificate {
            until: known.own.map(|own| own.until),
            days_left: known.own.map(|own| own.days_left(now)),
            problem: known.files.clone().or_else(|| known.attempt.clone()),
        }
    }

    /// The connection it is for.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn own(&self) -> Option<Validity> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).own
    }

    /// The files were read.
    pub(super) fn read(&self, material: &Material, now: Stamp) {
        self.note(now, |known| {
            known.files = None;
            known.own = material.identity.as_ref().map(|identity| identity.validity);
            known.list_due = material.list_due;
        });
    }

    /// The files cannot be used.
    pub(super) fn unusable(&self, sentence: String, now: Stamp) {
        self.note(now, |known| known.files = Some(sentence));
    }

    /// TLS keeps us from the broker.
    pub(super) fn failed(&self, sentence: &str, now: Stamp) {
        self.note(now, |known| known.attempt = Some(sentence.to_owned()));
    }

    /// The connection stands.
    pub(super) fn stands(&self, now: Stamp) {
        self.note(now, |known| known.attempt = None);
    }

    /// Takes in what is new and tells everybody.
    fn note(&self, now: Stamp, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let days = known.own.map(|own| own.days_left(now.wall));
        if let Some((gauge, days)) = self.gauge.zip(days) {
            self.telemetry.set(gauge, days);
        }
        let mut warnings = Vec::new();
        if let Some((own, days)) = known.own.zip(days).filter(|(_, days)| *days < WARN_DAYS) {
            let until = day(own.until);
            warnings.push(match days {
                0.. => format!("our certificate ends on {until}, in {days} days; renew it"),
                _ => format!("our certificate ended on {until}; renew it"),
            });
        }
        if let Some(due) = known.list_due.filter(|due| *due < now.wall) {
            warnings.push(format!("the revocation list should have been replaced on {}; fetch the new one", day(due)));
        }
        let ailment = format!("{}-certificate", self.name);
        if known.files.is_none() && known.attempt.is_none() && warnings.is_empty() {
            self.ailments.heal(&ailment);
        } else {
            self.ailments.ail(&ailment);
        }
        let again = known.warned_ns.is_none_or(|last| now.mono_ns.saturating_sub(last) >= WARN_AGAIN_NS);
        if again && !warnings.is_empty() {
            known.warned_ns = Some(now.mono_ns);
            for warning in warnings {
                tracing::warn!(connection = self.name, "{warning}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{BootId, ClockQuality};

    #[test]
    fn what_ails_is_named_until_it_is_mended() {
        let (ailments, telemetry) = (Ailments::default(), Telemetry::default());
        let degraded = ailments.subscribe();
        let report = Report::new("uplink", ailments, telemetry.clone(), Some(Gauge::UplinkCertificateDays));
        let wall = Timestamp::parse("2026-11-24T10:00:00Z").expect("a time");
        let now = Stamp { wall, mono_ns: 0, boot: BootId(Uuid::nil()), quality: ClockQuality::Synced };
        let ails = || !degraded.borrow().is_empty();
        let days =
            |days: i64| Some(Validity { from: Timestamp::UNIX_EPOCH, until: wall.plus_micros(days * 86_400_000_000) });
        report.failed("it is revoked", now);
        assert!(ails());
        report.stands(now);
        assert!(!ails());
        report.unusable("it is not there".to_owned(), now);
        report.stands(now);
        assert_eq!(report.certificate(wall).problem.as_deref(), Some("it is not there"));
        report.note(now, |known| (known.files, known.own) = (None, days(29)));
        assert!(ails(), "it is old");
        report.note(now, |known| known.own = days(30));
        assert!(!ails());
        report.note(now, |known| known.list_due = Some(wall.plus_micros(-1)));
        assert!(ails(), "the list is overdue");
        assert_eq!(telemetry.gauge(Gauge::UplinkCertificateDays), 30);
        assert_eq!(*degraded.borrow(), ["uplink-certificate"]);
    }
}
