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

/// What is at the other end, and how its people call things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// What it is.
    name: &'static str,
    /// The port on which it usually speaks TLS.
    port: u16,
    /// How our certificate and its key are told.
    identity: &'static str,
    /// How it is told its revocation list.
    list: &'static str,
}

impl Peer {
    /// An MQTT broker.
    pub(super) const BROKER: Self = Self { name: "broker", port: 8883, identity: "cert and key", list: "crlfile" };
    /// A server of PostgreSQL.
    pub(super) const DATABASE: Self =
        Self { name: "database server", port: 5432, identity: "sslcert and sslkey", list: "ssl_crl_file" };
}

/// What was known when a connection failed.
pub(super) struct Circumstances<'a> {
    /// What was connected to.
    pub(super) peer: Peer,
    /// Its name or address.
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
                // Also what one does that is just being restarted.
                return Some(Refusal { sentence: at.hung_up(), lasting: false });
            }
        }
        next = cause.source();
    }
    None
}

impl Circumstances<'_> {
    fn sentence(&self, error: &Error) -> String {
        let Self { peer: Peer { name: peer, .. }, host, port, .. } = self;
        match error {
            Error::InvalidCertificate(error) => self.of_theirs(error),
            Error::AlertReceived(alert) => self.of_ours(*alert),
            Error::InvalidMessage(_) => self.no_tls(),
            Error::PeerIncompatible(why) => {
                format!(
                    "the {peer} at {host}:{port} speaks no TLS that is still safe, 1.2 or 1.3 ({why:?}); upgrade it"
                )
            }
            other => format!("TLS with the {peer} at {host}:{port} failed: {other}"),
        }
    }

    fn no_tls(&self) -> String {
        let Self { peer: Peer { port: usual, .. }, host, port, .. } = self;
        format!("what answers at {host}:{port} speaks no TLS; is it the port for it (usually {usual})?")
    }

    fn hung_up(&self) -> String {
        let Self { peer: Peer { port: usual, .. }, host, port, .. } = self;
        format!("{host}:{port} hung up while TLS began; is it the port for TLS (usually {usual})?")
    }

    /// What is wrong with the certificate of the other side.
    fn of_theirs(&self, error: &CertificateError) -> String {
        let (peer, host, ca) = (self.peer.name, self.host, self.files.ca.display());
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "the {peer}'s certificate is not signed by an authority in {ca}; is {host} the right {peer}, and this the \
                 file of its authority?"
            ),
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "the {peer}'s certificate is for {}, not for {host}; write the name that it is for, or give the {peer} one \
                 for this name",
                names(presented)
            ),
            CertificateError::NotValidForName => format!("the {peer}'s certificate is not for {host}"),
            CertificateError::ExpiredContext { not_after, .. } => {
                let ended = day(seconds(std::time::Duration::from_secs(not_after.as_secs())));
                self.by_clock(
                    &format!("the {peer}'s certificate ended on {ended}"),
                    &format!("give the {peer} a new one"),
                )
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                let begins = day(seconds(std::time::Duration::from_secs(not_before.as_secs())));
                let what = format!("the {peer}'s certificate begins on {begins} only");
                self.by_clock(&what, &format!("give the {peer} one that is valid now"))
            }
            CertificateError::Revoked => format!(
                "the {peer}'s certificate is revoked (by the list in {}); somebody else may be answering for the {peer}; \
                 give it a new one",
                self.list()
            ),
            CertificateError::UnknownRevocationStatus => format!(
                "{} holds no revocation list of the authority that signed the {peer}'s certificate; add that one's",
                self.list()
            ),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                format!("the {peer}'s certificate is not for servers; issue it one with extendedKeyUsage serverAuth")
            }
            other => format!("the {peer}'s certificate cannot be used: {other}"),
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

    /// Why the other side does not want us.
    fn of_ours(&self, alert: AlertDescription) -> String {
        let Self { peer: Peer { name: peer, identity, .. }, host, port, files, .. } = self;
        let Some((cert, _)) = &files.identity else {
            return match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate => {
                    format!(
                        "the {peer} at {host}:{port} wants a certificate of ours; name one with its key ({identity})"
                    )
                }
                other => format!("the {peer} at {host}:{port} ended TLS ({other:?})"),
            };
        };
        let refuses = format!("the {peer} at {host}:{port} refuses our certificate {}", cert.display());
        match alert {
            AlertDescription::CertificateRevoked => {
                format!("{refuses}: it is revoked; issue this box a new one, with a new key")
            }
            AlertDescription::CertificateExpired => format!("{refuses} as expired{}", self.own_end()),
            AlertDescription::UnknownCA | AlertDescription::CertificateUnknown => {
                format!(
                    "{refuses}: it does not know the authority that signed it; is it of the authority that the {peer} was told?"
                )
            }
            AlertDescription::BadCertificate | AlertDescription::UnsupportedCertificate => {
                format!("{refuses} as not good for this ({alert:?}){}", self.own_begin())
            }
            AlertDescription::AccessDenied => format!("{refuses}: it has no rights there"),
            other => format!("the {peer} at {host}:{port} ended TLS ({other:?}); its log says why"),
        }
    }

    fn own_end(&self) -> String {
        let Some(own) = self.own else { return String::new() };
        let Peer { name: peer, list, .. } = self.peer;
        let ended = day(own.until);
        if own.until < self.now.wall {
            format!(": it ended on {ended}; renew it")
        } else {
            format!(
                ", though it ends on {ended} by what stands in it and it is {} here; is the {peer}'s clock right, and its \
                 revocation list ({list}) not overdue?",
                day(self.now.wall)
            )
        }
    }

    fn own_begin(&self) -> String {
        match self.own {
            Some(own) if own.from > self.now.wall => format!(": it begins on {} only", day(own.from)),
            _ => {
                let peer = self.peer.name;
                format!("; it must be for clients (extendedKeyUsage clientAuth), and the {peer}'s clock right")
            }
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
#[path = "explain_tests.rs"]
mod tests;
