//! Which server of PostgreSQL, and how to log in. Prints without the password.

use std::{fmt, str::FromStr};

use tokio_postgres::{Config, config::Host};

use super::{
    super::options::OptionError,
    password,
    ssl::{Asked, Ssl},
};
use crate::tls::ClientTls;

/// `postgres://user@host:port/database`, or a unix socket as `postgres:///database?host=/run/postgresql`.
#[derive(Clone)]
pub struct Address {
    config: Config,
    ssl: Ssl,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (n, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(n).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        // The text may hold a password: it is not repeated.
        let refuse = |why: &str| Err(OptionError(format!("this is no address of PostgreSQL: {why}")));
        let (text, asked) = Asked::take(text);
        let mut config: Config = match text.parse() {
            Ok(config) => config,
            Err(_) => return refuse("use postgres://user@host:port/database"),
        };
        if config.get_hosts().is_empty() || config.get_user().is_none() {
            return refuse("name host and user, as in postgres://user@host:port/database");
        }
        match asked.settle(&mut config) {
            Ok(ssl) => Ok(Self { config, ssl }),
            Err(why) => refuse(why),
        }
    }
}

impl Address {
    /// How connections are secured.
    pub(super) fn ssl(&self) -> &Ssl {
        &self.ssl
    }

    /// The files of TLS, where there are any.
    pub(in crate::collect) fn tls(&self) -> Option<&ClientTls> {
        match &self.ssl {
            Ssl::Checked(tls) => Some(tls),
            Ssl::Clear | Ssl::Unchecked => None,
        }
    }

    /// With the password, wherever it is from: the address, `PGPASSWORD`, or the password file.
    pub(super) fn config(&self) -> Config {
        let mut config = self.config.clone();
        if config.get_password().is_none()
            && let Some(found) = password::find(&config)
        {
            config.password(found);
        }
        if config.get_dbname().is_none()
            && let Some(user) = config.get_user().map(str::to_owned)
        {
            config.dbname(user);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed_without_the_password() {
        for (text, shown) in [
            ("postgres://anna:secret@127.0.0.1:5433/floor", "postgres://anna@127.0.0.1:5433/floor"),
            ("postgresql://anna@localhost/floor", "postgres://anna@localhost:5432/floor"),
            ("postgres://anna@/floor?host=/run/postgresql", "postgres://anna@/run/postgresql/floor"),
            ("postgres://anna:secret@db.example/floor?sslmode=disable", "postgres://anna@db.example:5432/floor"),
            (
                "postgres://anna:secret@db.example/floor?sslmode=verify-full&sslrootcert=ca.pem",
                "postgres://anna@db.example:5432/floor",
            ),
        ] {
            let address: Address = text.parse().expect("reads");
            assert_eq!((address.to_string().as_str(), format!("{address:?}").as_str()), (shown, shown));
        }
    }

    #[test]
    fn what_would_go_in_clear_unasked_is_refused_without_showing_the_password() {
        for (text, says) in [
            ("postgres://anna:secret@db.example/floor", "sslmode=disable"),
            ("postgres://anna:secret@127.0.0.1/floor?sslmode=verify-full", "sslrootcert=FILE"),
            ("postgres://anna:secret@127.0.0.1:x/floor", "use postgres://"),
            ("postgres:///floor", "name host and user"),
        ] {
            let refused = text.parse::<Address>().expect_err("refused").to_string();
            assert!(refused.contains(says) && !refused.contains("secret"), "{refused}");
        }
    }
}
