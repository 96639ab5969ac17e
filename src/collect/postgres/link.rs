//! One connection to the server: made, set so that what it calls committed is on disk, and made anew when it broke.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, Error, NoTls, Socket, error::SqlState, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{super::error::CollectError, address::Address, ssl::Ssl};
use crate::tls::{ClientTls, Session, TlsError, unchecked};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Data that nobody acknowledges for so long: the server is gone.
const SILENCE: Duration = Duration::from_secs(20);
const CONNECTING: &str = "connecting";
/// How the library says that there is none.
const NO_TLS: &str = "server does not support TLS";
const VERSION: i32 = 1;
/// Any number, as long as all collectors take the same: one of them makes the tables.
const MAKING_TABLES: i64 = 0x5348_4f57_464c_4f52;
/// A statement that hangs must not hang the collector; a collector that hangs must not keep rows locked.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '30s';
    SET idle_in_transaction_session_timeout = '5s'; SET client_min_messages = 'warning'";

/// An open connection.
pub(super) struct Link {
    pub(super) client: Client,
    _driver: JoinSet<()>,
}

impl Link {
    /// Connects and looks whether the server keeps what it commits.
    ///
    /// # Errors
    /// When the server is not there, does not let us in, or is set to lose commits.
    pub(super) async fn open(address: &Address) -> Result<Self, CollectError> {
        let mut config: Config = address.config();
        config.application_name("showfloor-collect").connect_timeout(CONNECT_WITHIN);
        config.keepalives_idle(SILENCE).tcp_user_timeout(SILENCE);
        let secured = |session: Session| MakeRustlsConnect::new((*session).clone());
        let unusable = |error: TlsError| CollectError::Database {
            database: address.to_string(),
            doing: CONNECTING,
            source: error.into(),
            // Somebody may just be putting a new certificate there.
            passing: true,
        };
        let link = match address.ssl() {
            Ssl::Clear => Self::begin(&config, NoTls).await,
            Ssl::Unchecked => Self::begin(&config, secured(unchecked().map_err(unusable)?)).await,
            Ssl::Checked(tls) => Self::begin(&config, secured(tls.open().await.map_err(unusable)?)).await,
        };
        let link = link.map_err(|error| explain(address, CONNECTING, &error))?;
        link.make_safe(address).await?;
        address.tls().into_iter().for_each(ClientTls::stands);
        Ok(link)
    }

    async fn begin<T>(config: &Config, tls: T) -> Result<Self, Error>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, connection) = config.connect(tls).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        Ok(Self { client, _driver: driver })
    }

    async fn make_safe(&self, address: &Address) -> Result<(), CollectError> {
        let failed = |error| explain(address, "setting it up", &error);
        self.client.batch_execute(SETTINGS).await.map_err(failed)?;
        let show = |name| async move { self.client.query_one_scalar::<String, _>(&format!("SHOW {name}"), &[]).await };
        if show("fsync").await.map_err(failed)? == "off" {
            return Err(CollectError::Unsafe { database: address.to_string(), setting: "fsync = off" });
        }
        if show("synchronous_commit").await.map_err(failed)? == "off" {
            tracing::warn!(database = %address, "synchronous_commit is off there; the collector switches it on for itself");
            self.client.batch_execute("SET synchronous_commit = on").await.map_err(failed)?;
        }
        Ok(())
    }

    /// Makes the tables that are not there.
    ///
    /// # Errors
    /// When that is not allowed, or a newer program made them.
    pub(super) async fn make_tables(&self, address: &Address) -> Result<(), CollectError> {
        let failed = |error| explain(address, "making its tables", &error);
        let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({MAKING_TABLES})");
        self.client.batch_execute(&begin).await.map_err(failed)?;
        let there = "SELECT to_regclass('showfloor.version') IS NOT NULL";
        if self.client.query_one_scalar::<bool, _>(there, &[]).await.map_err(failed)? {
            let version: i32 =
                self.client.query_one_scalar("SELECT version FROM showfloor.version", &[]).await.map_err(failed)?;
            if version > VERSION {
                let (version, known) = (version.into(), VERSION.into());
                return Err(CollectError::Newer { path: address.to_string(), version, known });
            }
        } else {
            // Whoever may not make a schema can be given one.
            let schema = "SELECT to_regnamespace('showfloor') IS NOT NULL";
            if !self.client.query_one_scalar::<bool, _>(schema, &[]).await.map_err(failed)? {
                self.client.batch_execute("CREATE SCHEMA showfloor").await.map_err(failed)?;
            }
            self.client.batch_execute(include_str!("schema_1.sql")).await.map_err(failed)?;
        }
        self.client.batch_execute("COMMIT").await.map_err(failed)
    }
}

/// What went wrong, without the values that the server may name.
pub(super) fn explain(address: &Address, doing: &'static str, error: &Error) -> CollectError {
    let text = if let Some(known) = error.as_db_error() {
        format!("{} (SQLSTATE {})", known.message(), known.code().code())
    } else if let Some(refusal) = address.tls().and_then(|tls| tls.explain(error, false)) {
        refusal.sentence
    } else {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        if text.contains(NO_TLS) {
            text.push_str("; switch ssl on there, or say sslmode=disable if the network is your own");
        }
        text
    };
    CollectError::Database { database: address.to_string(), doing, source: text.into(), passing: is_passing(error) }
}

/// Whether the same may do later. What the server says about the login, the rights or the tables needs a person.
fn is_passing(error: &Error) -> bool {
    let Some(code) = error.code().map(SqlState::code) else { return true };
    !["28", "3D", "42", "0A", "3F"].iter().any(|class| code.starts_with(class))
}

/// Whether it is about the rows and not about the server: others may be fine.
pub(super) fn is_about_data(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("22") || code.code().starts_with("23"))
}
