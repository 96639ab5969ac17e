//! From when until when a certificate or a revocation list counts. Pure.

use std::time::Duration;

use x509_cert::{
    crl::CertificateList,
    der::{Decode as _, Error},
    time::Time,
};

use crate::domain::Timestamp;

const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// The time in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    /// Its first moment.
    pub(super) from: Timestamp,
    /// Its last moment.
    pub(super) until: Timestamp,
}

impl Validity {
    /// Of a certificate in DER.
    pub(super) fn of(certificate: &[u8]) -> Result<Self, Error> {
        let certificate = x509_cert::Certificate::from_der(certificate)?;
        let validity = certificate.tbs_certificate().validity();
        Ok(Self { from: timestamp(validity.not_before), until: timestamp(validity.not_after) })
    }

    /// Whole days that are left at `now`; negative once it is over.
    pub(super) fn days_left(&self, now: Timestamp) -> i64 {
        self.until.micros().saturating_sub(now.micros()).div_euclid(DAY_MICROS)
    }
}

/// When the list after this one, in DER, is due.
pub(super) fn next_list_due(list: &[u8]) -> Result<Option<Timestamp>, Error> {
    let list: CertificateList = CertificateList::from_der(list)?;
    Ok(list.tbs_cert_list.next_update.map(timestamp))
}

fn timestamp(time: Time) -> Timestamp {
    seconds(time.to_unix_duration())
}

/// Of a number of seconds since 1970; what is too large is the last time there is.
pub(super) fn seconds(since_1970: Duration) -> Timestamp {
    Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

/// The day of a moment, as sentences say it.
pub(super) fn day(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_go_below_zero() {
        let at = |text| Timestamp::parse(text).expect("a time");
        let validity = Validity { from: Timestamp::UNIX_EPOCH, until: at("2026-12-01T00:00:00Z") };
        for (now, left) in [
            ("2026-11-01T00:00:00Z", 30),
            ("2026-11-01T00:00:01Z", 29),
            ("2026-12-01T00:00:00Z", 0),
            ("2026-12-01T00:00:01Z", -1),
            ("2026-12-03T12:00:00Z", -3),
        ] {
            assert_eq!(validity.days_left(at(now)), left, "{now}");
        }
        assert_eq!(day(validity.until), "2026-12-01");
    }
}
