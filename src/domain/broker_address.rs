//! Where a broker is, as people write it: `mqtt://host:port`, or `mqtts://host:port` for TLS; the port may be left out.

use std::{fmt, str::FromStr};

const CLEAR_PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// Host and port of an MQTT broker, and whether it is spoken to in TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// 1883 unless told otherwise, 8883 with TLS.
    pub port: u16,
    /// TLS.
    pub secure: bool,
}

/// A text that is no address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no broker: {why}")]
pub struct BrokerAddressError {
    text: String,
    why: &'static str,
}

const WRITE: &str = "write mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS";

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for BrokerAddress {
    type Err = BrokerAddressError;

    fn from_str(text: &str) -> Result<Self, BrokerAddressError> {
        read(text).map_err(|why| {
            // What stands before an @ may be a password.
            let text = if text.contains('@') { "…@…".to_owned() } else { text.chars().take(200).collect() };
            BrokerAddressError { text, why }
        })
    }
}

fn read(text: &str) -> Result<BrokerAddress, &'static str> {
    let clear = text.strip_prefix("mqtt://").map(|place| (false, place));
    let (secure, place) = clear.or_else(|| Some((true, text.strip_prefix("mqtts://")?))).ok_or(WRITE)?;
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains('@') {
        return Err("the user and the password stand in settings of their own, not in the address");
    }
    // Colons inside of brackets belong to an IPv6 address.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    let odd = host.contains(['/', '[', ']', ' ']) || (host.contains(':') && bracketed.is_none());
    if host.is_empty() || odd {
        return Err(WRITE);
    }
    let usual = if secure { TLS_PORT } else { CLEAR_PORT };
    match port.map_or(Ok(usual), str::parse) {
        Ok(port) if port > 0 => Ok(BrokerAddress { host: host.to_owned(), port, secure }),
        _ => Err("the port must be a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_read() {
        for (text, expected) in [
            ("mqtt://127.0.0.1:1884", Some(("127.0.0.1", 1884, false))),
            ("mqtt://broker.example/", Some(("broker.example", 1883, false))),
            ("mqtts://broker.example", Some(("broker.example", 8883, true))),
            ("mqtts://broker.example:443", Some(("broker.example", 443, true))),
            ("mqtt://[::1]:1884", Some(("::1", 1884, false))),
            ("mqtts://[::1]", Some(("::1", 8883, true))),
            ("mqtt://::1", None),
            ("mqtt://[::1", None),
            ("mqtt://anna:secret@broker", None),
            ("mqtt://broker:0", None),
            ("mqtt://broker:70000", None),
            ("mqtt://", None),
            ("broker:1883", None),
        ] {
            let read = text.parse::<BrokerAddress>().ok();
            let expected = expected.map(|(host, port, secure)| BrokerAddress { host: host.into(), port, secure });
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn it_prints_as_clients_write_it_and_hides_logins() {
        assert_eq!("mqtts://[::1]".parse::<BrokerAddress>().expect("reads").to_string(), "[::1]:8883");
        let refused = "mqtt://anna:secret@broker".parse::<BrokerAddress>().expect_err("refused").to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
