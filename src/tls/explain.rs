//! What TLS says went wrong, as a sentence for whoever has to mend it. Pure.

use std::{
    error::Error as StdError,
    io::{self, ErrorKind},
    path::Path,
};

use rustls::{AlertDescription, CertificateError, Error};

use super::{
    files::TlsFiles,
    validity::{Validity, day, seconds},
};
use crate::domain::{ClockQuality, Stamp};

/// What was known when a connection failed.
pub(super) struct Circumstances<'a> {
    /// Name or address of the broker.
    pub(super) host: &'a str,
    /// Its port.
    pub(super) port: u16,
    /// What was used.
    pub(super) files: &'a TlsFiles,
    /// Of our own certificate.
    pub(super) own: Option<Validity>,
    /// What time it was.
    pub(super) now: Stamp,
}

/// How a connection failed, when TLS is the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong and what to do.
    pub sentence: String,
    /// Whether the next attempt will fail alike unless somebody mends something.
    pub lasting: bool,
}

/// What `error` comes from, when that is TLS; `handshake` says that TLS was still beginning.
pub(super) fn explain(error: &(dyn StdError + 'static), handshake: bool, at: &Circumstances<'_>) -> Option<Refusal> {
    let lasting = |sentence| Some(Refusal { sentence, lasting: true });
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<Error>() {
            return lasting(at.sentence(tls));
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if let Some(inner) = io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                return lasting(at.sentence(inner));
            }
            let gone = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            if handshake && gone.contains(&io.kind()) {
                // Also what a broker does that is just being restarted.
                return Some(Refusal { sentence: at.hung_up(), lasting: false });
            }
        }
        next = cause.source();
    }
    None
}

impl Circumstances<'_> {
    fn sentence(&self, error: &Error) -> String {
        let Self { host, port, .. } = self;
        match error {
            Error::InvalidCertificate(error) => self.of_broker(error),
            Error::AlertReceived(alert) => self.of_ours(*alert),
            Error::InvalidMessage(_) => self.no_tls(),
            Error::PeerIncompatible(why) => {
                format!(
                    "the broker at {host}:{port} speaks no TLS that is still safe, 1.2 or 1.3 ({why:?}); upgrade it"
                )
            }
            other => format!("TLS with the broker at {host}:{port} failed: {other}"),
        }
    }

    fn no_tls(&self) -> String {
        let Self { host, port, .. } = self;
        format!("what answers at {host}:{port} speaks no TLS; is it the port for it (usually 8883)?")
    }

    fn hung_up(&self) -> String {
        let Self { host, port, .. } = self;
        format!("{host}:{port} hung up while TLS began; is it the port for TLS (usually 8883)?")
    }

    /// What is wrong with the broker's certificate.
    fn of_broker(&self, error: &CertificateError) -> String {
        let (host, ca) = (self.host, self.files.ca.display());
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "the broker's certificate is not signed by an authority in {ca}; is {host} the right broker, and this the \
                 file of its authority?"
            ),
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "the broker's certificate is for {}, not for {host}; write the name that it is for, or give the broker one \
                 for this name",
                names(presented)
            ),
            CertificateError::NotValidForName => format!("the broker's certificate is not for {host}"),
            CertificateError::ExpiredContext { not_after, .. } => {
                let ended = day(seconds(std::time::Duration::from_secs(not_after.as_secs())));
                self.by_clock(&format!("the broker's certificate ended on {ended}"), "give the broker a new one")
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                let begins = day(seconds(std::time::Duration::from_secs(not_before.as_secs())));
                let what = format!("the broker's certificate begins on {begins} only");
                self.by_clock(&what, "give the broker one that is valid now")
            }
            CertificateError::Revoked => format!(
                "the broker's certificate is revoked (by the list in {}); somebody else may be answering for the broker; \
                 give it a new one",
                self.list()
            ),
            CertificateError::UnknownRevocationStatus => format!(
                "{} holds no revocation list of the authority that signed the broker's certificate; add that one's",
                self.list()
            ),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "the broker's certificate is not for servers; issue it one with extendedKeyUsage serverAuth".to_owned()
            }
            other => format!("the broker's certificate cannot be used: {other}"),
        }
    }

    /// A judgement that rests on our clock, which may itself be wrong.
    fn by_clock(&self, what: &str, remedy: &str) -> String {
        let today = day(self.now.wall);
        match self.now.quality {
            ClockQuality::Synced => format!("{what}, and it is {today}; {remedy}"),
            ClockQuality::Unsynced => format!(
                "this box does not know the time, so it cannot tell whether certificates are valid (its clock says {today}, \
                 which nothing confirms, and {what}); it goes on trying; give the box the time (NTP, a battery clock)"
            ),
        }
    }

    fn list(&self) -> String {
        self.files.crl.as_deref().unwrap_or(Path::new("the list")).display().to_string()
    }

    /// Why the broker does not want us.
    fn of_ours(&self, alert: AlertDescription) -> String {
        let Self { host, port, files, .. } = self;
        let Some((cert, _)) = &files.identity else {
            return match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate => {
                    format!(
                        "the broker at {host}:{port} wants a certificate of ours; name one with its key (cert and key)"
                    )
                }
                other => format!("the broker at {host}:{port} ended TLS ({other:?})"),
            };
        };
        let refuses = format!("the broker at {host}:{port} refuses our certificate {}", cert.display());
        match alert {
            AlertDescription::CertificateRevoked => {
                format!("{refuses}: it is revoked; issue this box a new one, with a new key")
            }
            AlertDescription::CertificateExpired => format!("{refuses} as expired{}", self.own_end()),
            AlertDescription::UnknownCA | AlertDescription::CertificateUnknown => {
                format!(
                    "{refuses}: it does not know the authority that signed it; is it of the authority that the broker was told?"
                )
            }
            AlertDescription::BadCertificate | AlertDescription::UnsupportedCertificate => {
                format!("{refuses} as not good for this ({alert:?}){}", self.own_begin())
            }
            AlertDescription::AccessDenied => format!("{refuses}: it has no rights there"),
            other => format!("the broker at {host}:{port} ended TLS ({other:?}); its log says why"),
        }
    }

    fn own_end(&self) -> String {
        let Some(own) = self.own else { return String::new() };
        let ended = day(own.until);
        if own.until < self.now.wall {
            format!(": it ended on {ended}; renew it")
        } else {
            format!(
                ", though it ends on {ended} by what stands in it and it is {} here; is the broker's clock right, and its \
                 revocation list (crlfile) not overdue?",
                day(self.now.wall)
            )
        }
    }

    fn own_begin(&self) -> String {
        match self.own {
            Some(own) if own.from > self.now.wall => format!(": it begins on {} only", day(own.from)),
            _ => "; it must be for clients (extendedKeyUsage clientAuth), and the broker's clock right".to_owned(),
        }
    }
}

/// Names in a certificate, as people write them. The library says `DnsName("broker.example")`.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all (no subjectAltName)".to_owned();
    }
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').to_owned()
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{ServerName, UnixTime};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{BootId, Timestamp};

    fn said(error: Error, quality: ClockQuality, certified: bool) -> String {
        let at = |text| Timestamp::parse(text).expect("a time");
        let files = TlsFiles {
            ca: "/etc/tls/ca.pem".into(),
            identity: certified.then(|| ("/etc/tls/box.pem".into(), "/etc/tls/box.key".into())),
            crl: Some("/etc/tls/crl.pem".into()),
        };
        let own = Validity { from: at("2026-01-01T00:00:00Z"), until: at("2026-11-01T00:00:00Z") };
        let now = Stamp { wall: at("2026-11-24T10:00:00Z"), mono_ns: 0, boot: BootId(Uuid::nil()), quality };
        let at =
            Circumstances { host: "broker.example", port: 8883, files: &files, own: certified.then_some(own), now };
        // As the client library wraps it.
        explain(&io::Error::new(ErrorKind::InvalidData, error), true, &at).expect("TLS is the cause").sentence
    }

    #[test]
    fn each_cause_has_its_sentence() {
        use AlertDescription as Alert;
        let when = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
        let expired = CertificateError::ExpiredContext { time: when, not_after: when };
        let early = CertificateError::NotValidYetContext { time: when, not_before: when };
        let expected = ServerName::try_from("broker.example").expect("a name").to_owned();
        let other =
            CertificateError::NotValidForNameContext { expected, presented: vec!["DnsName(\"b.example\")".into()] };
        let broker = [
            (CertificateError::UnknownIssuer, "not signed by an authority in /etc/tls/ca.pem"),
            (other, "is for b.example, not for broker.example; write the name"),
            (expired, "ended on 2023-11-14, and it is 2026-11-24; give the broker a new one"),
            (early, "begins on 2023-11-14 only, and it is 2026-11-24"),
            (CertificateError::Revoked, "is revoked (by the list in /etc/tls/crl.pem)"),
            (CertificateError::UnknownRevocationStatus, "/etc/tls/crl.pem holds no revocation list of the authority"),
        ];
        for (error, words) in broker {
            let text = said(Error::InvalidCertificate(error), ClockQuality::Synced, true);
            assert!(text.contains(words), "{text}");
        }
        let ours = [
            (Alert::CertificateRevoked, true, "refuses our certificate /etc/tls/box.pem: it is revoked"),
            (Alert::CertificateExpired, true, "as expired: it ended on 2026-11-01; renew it"),
            (Alert::UnknownCA, true, "does not know the authority that signed it"),
            (Alert::CertificateRequired, false, "wants a certificate of ours; name one with its key"),
            (Alert::HandshakeFailure, false, "wants a certificate of ours"),
        ];
        for (alert, certified, words) in ours {
            let text = said(Error::AlertReceived(alert), ClockQuality::Synced, certified);
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_clock_that_nothing_confirms_is_named_before_the_certificate_is_blamed() {
        let when = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
        let early = CertificateError::NotValidYetContext { time: when, not_before: when };
        let text = said(Error::InvalidCertificate(early), ClockQuality::Unsynced, true);
        assert!(text.starts_with("this box does not know the time"), "{text}");
        assert!(text.contains("it goes on trying; give the box the time"), "{text}");
    }

    #[test]
    fn what_is_not_tls_is_left_to_others() {
        let files = TlsFiles { ca: "ca.pem".into(), identity: None, crl: None };
        let now =
            Stamp { wall: Timestamp::UNIX_EPOCH, mono_ns: 0, boot: BootId(Uuid::nil()), quality: ClockQuality::Synced };
        let at = Circumstances { host: "b", port: 8883, files: &files, own: None, now };
        assert_eq!(explain(&io::Error::from(ErrorKind::ConnectionRefused), true, &at), None);
        let reset = io::Error::from(ErrorKind::ConnectionReset);
        assert_eq!(explain(&reset, false, &at), None, "a connection that breaks later has nothing to do with TLS");
        let refusal = explain(&reset, true, &at).expect("TLS is the cause");
        assert_eq!((refusal.sentence.contains("port for TLS"), refusal.lasting), (true, false));
    }
}
