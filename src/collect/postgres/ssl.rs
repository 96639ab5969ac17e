//! What an address says of TLS, in `libpq`'s words: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `sslcrl`.
//!
//! As there, `require` without `sslrootcert` encrypts and checks nothing, and with it is `verify-ca`. Unlike there, no file
//! is looked for where nobody named it, and nothing goes in clear beyond this machine because TLS did not work.

use std::{path::PathBuf, sync::Arc};

use percent_encoding::percent_decode_str;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use crate::{
    telemetry::{Ailments, SystemClock, Telemetry},
    tls::{ClientTls, Report, TlsFiles},
};

const USUAL_PORT: u16 = 5432;

/// How the connection is secured.
#[derive(Debug, Clone)]
pub(super) enum Ssl {
    /// Not at all.
    Clear,
    /// Encrypted, to whoever answers.
    Unchecked,
    /// To a server whose certificate is checked.
    Checked(ClientTls),
}

/// What was asked for, as typed.
#[derive(Debug, Default)]
pub(super) struct Asked {
    mode: Option<String>,
    root: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    crl: Option<String>,
}

impl Asked {
    /// Takes it out of an address; what is left is for the library, which knows less of it.
    pub(super) fn take(address: &str) -> (String, Self) {
        let mut asked = Self::default();
        // A password may have anything in it.
        let login = address.find('@').unwrap_or(0);
        let Some(at) = address[login..].find('?').map(|at| login + at) else { return (address.to_owned(), asked) };
        let mut rest = Vec::new();
        for pair in address[at + 1..].split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "sslmode" => &mut asked.mode,
                "sslrootcert" => &mut asked.root,
                "sslcert" => &mut asked.cert,
                "sslkey" => &mut asked.key,
                "sslcrl" => &mut asked.crl,
                _ => {
                    rest.push(pair);
                    continue;
                }
            };
            *place = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
        }
        let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
        (format!("{}{query}", &address[..at]), asked)
    }

    /// What that means for the server of `config`, which is told as well.
    ///
    /// # Errors
    /// What is wrong with it, without values.
    pub(super) fn settle(self, config: &mut Config) -> Result<Ssl, &'static str> {
        let names = match self.mode.as_deref() {
            None | Some("prefer") if self.has_files() => {
                return Err("files of TLS want sslmode=verify-full beside them");
            }
            None | Some("prefer") if config.get_hosts().iter().all(is_near) => return Ok(clear(config)),
            None | Some("prefer") => {
                return Err(
                    "beyond this machine say sslmode=verify-full&sslrootcert=FILE for TLS, or sslmode=disable \
                            if the network is your own",
                );
            }
            Some("disable") if self.has_files() => {
                return Err("files of TLS and sslmode=disable contradict each other");
            }
            Some("disable") => return Ok(clear(config)),
            Some("require" | "verify-ca") => false,
            Some("verify-full") => true,
            Some(_) => return Err("sslmode is disable, require, verify-ca or verify-full"),
        };
        if config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            return Err("a unix socket takes no TLS and needs none: leave sslmode out");
        }
        config.ssl_mode(SslMode::Require);
        if self.mode.as_deref() == Some("require") && !self.has_files() {
            return Ok(Ssl::Unchecked);
        }
        Ok(Ssl::Checked(ClientTls::to_database(
            (&hosts(config), config.get_ports().first().copied().unwrap_or(USUAL_PORT)),
            names,
            self.files()?,
            Arc::new(SystemClock::new()),
            Report::new("database", Ailments::default(), Telemetry::default(), None),
        )))
    }

    fn has_files(&self) -> bool {
        [&self.root, &self.cert, &self.key, &self.crl].into_iter().any(Option::is_some)
    }

    fn files(self) -> Result<TlsFiles, &'static str> {
        let ca = match self.root.as_deref() {
            None => return Err("name the file of the authority that the server's certificate is of: sslrootcert=FILE"),
            Some("system") => {
                return Err("name the file of this machine's authorities, such as \
                            sslrootcert=/etc/ssl/certs/ca-certificates.crt");
            }
            Some(path) => PathBuf::from(path),
        };
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            _ => return Err("sslcert and sslkey go together"),
        };
        Ok(TlsFiles { ca, identity, crl: self.crl.map(PathBuf::from) })
    }
}

fn clear(config: &mut Config) -> Ssl {
    config.ssl_mode(SslMode::Disable);
    Ssl::Clear
}

fn hosts(config: &Config) -> String {
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    config.get_hosts().iter().map(name).collect::<Vec<_>>().join(",")
}

/// On this machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(options: &str) -> Result<Ssl, &'static str> {
        let address = format!("postgres://anna:a?b@db.example/floor{options}");
        let (rest, asked) = Asked::take(&address);
        assert!(!rest.contains("ssl") && rest.starts_with("postgres://anna:a?b@db.example/floor"), "{rest}");
        asked.settle(&mut rest.parse().expect("an address"))
    }

    #[test]
    fn modes_mean_what_they_mean_elsewhere() {
        assert!(matches!(settled("?sslmode=disable"), Ok(Ssl::Clear)));
        assert!(matches!(settled("?sslmode=require"), Ok(Ssl::Unchecked)));
        for checked in [
            "?sslmode=require&sslrootcert=ca.pem",
            "?connect_timeout=3&sslmode=verify-ca&sslrootcert=ca.pem",
            "?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&sslcert=a.pem&sslkey=a.key&sslcrl=crl.pem",
        ] {
            assert!(matches!(settled(checked), Ok(Ssl::Checked(_))), "{checked}");
        }
        let Ok(Ssl::Checked(tls)) = settled("?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem") else {
            panic!("checked")
        };
        assert!(format!("{tls:?}").contains("\"/etc/ca.pem\""), "{tls:?}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (options, says) in [
            ("", "sslmode=verify-full"),
            ("?sslrootcert=ca.pem", "want sslmode=verify-full"),
            ("?sslmode=verify-full", "sslrootcert=FILE"),
            ("?sslmode=verify-full&sslrootcert=system", "ca-certificates.crt"),
            ("?sslmode=verify-ca&sslrootcert=ca.pem&sslcert=a.pem", "go together"),
            ("?sslmode=require&sslcert=a.pem&sslkey=a.key", "sslrootcert=FILE"),
            ("?sslmode=disable&sslrootcert=ca.pem", "contradict"),
            ("?sslmode=allow", "sslmode is disable"),
            ("?sslmode=require&host=%2Frun%2Fpostgresql", "unix socket"),
        ] {
            let why = settled(options).err().unwrap_or_default();
            assert!(why.contains(says), "{options}: {why}");
        }
    }
}
