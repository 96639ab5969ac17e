//! What the collector is told: which broker, which boxes, where to put it.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::{
    domain::{BrokerAddress, ConsumerId, SiteId},
    tls::ClientTls,
};

/// Everything the collector needs. Prints without the password.
#[derive(Clone)]
pub struct Options {
    /// Where the boxes are met.
    pub broker: BrokerAddress,
    /// Login, if the broker wants one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// TLS; clear text without it.
    pub tls: Option<ClientTls>,
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
        write!(f, "Options({consumer} of {} sites at {broker} into {into:?}, once: {once})", sites.len())
    }
}

/// A value on the command line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OptionError(pub(super) String);

/// Where the events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `sqlite:FILE`, made if it is not there.
    Sqlite(PathBuf),
    /// `postgres://user@host:port/database`.
    #[cfg(feature = "collect-postgres")]
    Postgres(Box<super::postgres::Address>),
}

impl FromStr for Target {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            #[cfg(feature = "collect-postgres")]
            return text.parse().map(|address| Self::Postgres(Box::new(address)));
            #[cfg(not(feature = "collect-postgres"))]
            return Err(OptionError("this program was built without PostgreSQL (feature collect-postgres)".into()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(OptionError(format!("{text:?} is no place for events; use sqlite:FILE or postgres://…"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        assert_eq!("sqlite:/tmp/a.db".parse(), Ok(Target::Sqlite("/tmp/a.db".into())));
        assert!("sqlite:".parse::<Target>().is_err());
        assert!("a.db".parse::<Target>().is_err());
        assert_eq!("postgres://user@localhost/db".parse::<Target>().is_ok(), cfg!(feature = "collect-postgres"));
    }
}
