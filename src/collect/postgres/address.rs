//! Which server of PostgreSQL, and how to log in. Prints without the password.

use std::{fmt, str::FromStr};

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use super::{super::options::OptionError, password};

/// `postgres://user@host:port/database`, or a unix socket as `postgres:///database?host=/run/postgresql`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Config);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://")?;
        if let Some(user) = self.0.get_user() {
            write!(f, "{user}@")?;
        }
        for (n, host) in self.0.get_hosts().iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = self.0.get_ports();
            if let Some(port) = ports.get(n).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.0.get_dbname().unwrap_or_default())
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
        if ["verify-full", "verify-ca", "allow"].iter().any(|mode| text.contains(&format!("sslmode={mode}"))) {
            return refuse(NO_TLS);
        }
        let config: Config = match text.parse() {
            Ok(config) => config,
            Err(_) => return refuse("use postgres://user@host:port/database"),
        };
        if config.get_hosts().is_empty() || config.get_user().is_none() {
            return refuse("name host and user, as in postgres://user@host:port/database");
        }
        match config.get_ssl_mode() {
            SslMode::Disable => Ok(Self(config)),
            SslMode::Prefer if config.get_hosts().iter().all(is_near) => Ok(Self(config)),
            SslMode::Prefer => refuse(
                "this version speaks to it in clear only; say ?sslmode=disable if the network is your own, or put a \
                 proxy with TLS on this machine",
            ),
            _ => refuse(NO_TLS),
        }
    }
}

const NO_TLS: &str = "TLS to PostgreSQL is not in this version; put a proxy with TLS on this machine (such as PgBouncer in \
    session mode) and connect to that";

/// On this machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

impl Address {
    /// With the password, wherever it is from: the address, `PGPASSWORD`, or the password file.
    pub(super) fn config(&self) -> Config {
        let mut config = self.0.clone();
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
        ] {
            let address: Address = text.parse().expect("reads");
            assert_eq!((address.to_string().as_str(), format!("{address:?}").as_str()), (shown, shown));
        }
    }

    #[test]
    fn what_would_go_in_clear_unasked_is_refused_without_showing_the_password() {
        for (text, says) in [
            ("postgres://anna:secret@db.example/floor", "sslmode=disable"),
            ("postgres://anna:secret@db.example/floor?sslmode=require", "TLS to PostgreSQL"),
            ("postgres://anna:secret@127.0.0.1/floor?sslmode=verify-full", "TLS to PostgreSQL"),
            ("postgres://anna:secret@127.0.0.1:x/floor", "use postgres://"),
            ("postgres:///floor", "name host and user"),
        ] {
            let refused = text.parse::<Address>().expect_err("refused").to_string();
            assert!(refused.contains(says) && !refused.contains("secret"), "{refused}");
        }
    }
}
