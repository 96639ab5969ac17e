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

impl Options {
    /// Its connections that are secured by files, and what they go to.
    #[must_use]
    pub fn secured(&self) -> Vec<(&'static str, ClientTls)> {
        let broker = self.tls.iter().map(|tls| ("broker", tls.clone()));
        let database = match &self.into {
            Target::Sqlite(_) => None,
            #[cfg(feature = "collect-postgres")]
            Target::Postgres(address) => address.tls().cloned(),
        };
        broker.chain(database.map(|tls| ("database", tls))).collect()
    }
}

/// A value on the command line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OptionError(pub(super) String);

/// Where the events go.
#[derive(Debug, Clone)]
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
    use std::path::Path;

    use super::*;

    #[test]
    fn targets_are_read() {
        assert!(matches!("sqlite:/tmp/a.db".parse(), Ok(Target::Sqlite(path)) if path == Path::new("/tmp/a.db")));
        assert!("sqlite:".parse::<Target>().is_err());
        assert!("a.db".parse::<Target>().is_err());
        assert_eq!("postgres://user@localhost/db".parse::<Target>().is_ok(), cfg!(feature = "collect-postgres"));
    }
}
