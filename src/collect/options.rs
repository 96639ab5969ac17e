//! What the collector is told: which broker, which boxes, where to put it.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::domain::{ConsumerId, SiteId};

const USUAL_PORT: u16 = 1883;

/// Everything the collector needs. Prints without the password.
#[derive(Clone)]
pub struct Options {
    /// Where the boxes are met.
    pub broker: BrokerAddress,
    /// Login, if the broker wants one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Which boxes.
    pub sites: Vec<SiteId>,
    /// As whom; the boxes keep a cursor for each consumer.
    pub consumer: ConsumerId,
    /// Where to.
    pub into: Target,
    /// Whether to end when every lane is at its head and acknowledged.
    pub once: bool,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, sites, consumer, into, once, .. } = self;
        write!(f, "Options({consumer} of {sites:?} at {broker} into {into:?}, once: {once})")
    }
}

/// A value on the command line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OptionError(String);

/// `mqtt://host:port`; the port may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or address.
    pub host: String,
    /// 1883 unless told otherwise.
    pub port: u16,
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for BrokerAddress {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let refuse = |why: &str| Err(OptionError(format!("{text:?} is no broker: {why}")));
        let Some(place) = text.strip_prefix("mqtt://") else {
            let tls = text.starts_with("mqtts://");
            return refuse(if tls { "TLS is not in this version; use mqtt://" } else { "use mqtt://host:port" });
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains('@') {
            return refuse("give the login with --user and --password-file");
        }
        // Colons inside of brackets belong to an IPv6 address.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() || (bare.contains(':') && !host.starts_with('[')) || host.contains('/') {
            return refuse("use mqtt://host:port");
        }
        match port.map_or(Ok(USUAL_PORT), str::parse) {
            // The client joins host and port with a colon: an IPv6 address keeps its brackets.
            Ok(port) if port > 0 => Ok(Self { host: host.to_owned(), port }),
            _ => refuse("the port must be a number from 1 to 65535"),
        }
    }
}

/// Where the events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `sqlite:FILE`, made if it is not there.
    Sqlite(PathBuf),
}

impl FromStr for Target {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let why = "PostgreSQL is not in this version; collect into sqlite:FILE and load it from there";
            return Err(OptionError(why.into()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(OptionError(format!("{text:?} is no place for events; use sqlite:FILE"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_read() {
        for (text, expected) in [
            ("mqtt://127.0.0.1:1884", Some(("127.0.0.1", 1884))),
            ("mqtt://broker.example/", Some(("broker.example", 1883))),
            ("mqtt://[::1]:1884", Some(("[::1]", 1884))),
            ("mqtt://[::1]", Some(("[::1]", 1883))),
            ("mqtt://::1", None),
            ("mqtts://broker:8883", None),
            ("mqtt://anna:secret@broker", None),
            ("mqtt://broker:0", None),
            ("mqtt://broker:70000", None),
            ("mqtt://", None),
            ("broker:1883", None),
        ] {
            let read = text.parse::<BrokerAddress>().ok();
            let expected = expected.map(|(host, port)| BrokerAddress { host: host.into(), port });
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn targets_are_read_and_postgres_is_told_that_it_is_not_there() {
        assert_eq!("sqlite:/tmp/a.db".parse(), Ok(Target::Sqlite("/tmp/a.db".into())));
        assert!("sqlite:".parse::<Target>().is_err());
        assert!("a.db".parse::<Target>().is_err());
        let refused = "postgres://user@host/db".parse::<Target>().expect_err("refused");
        assert!(refused.to_string().contains("PostgreSQL is not in this version"));
    }
}
