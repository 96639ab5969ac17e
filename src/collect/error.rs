//! Why collecting ended, in a sentence for whoever started it.

use super::verify::Broken;
use crate::tls::TlsError;

/// Why the collector gave up.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// There is no broker, or it does not want us.
    #[error("no connection to the broker at {broker}: {cause}; check the address, the user and the password")]
    Broker {
        /// `host:port`.
        broker: String,
        /// What went wrong last.
        cause: String,
    },
    /// The files of TLS cannot be used.
    #[error("no connection to the broker: {0}")]
    Files(#[from] TlsError),
    /// TLS keeps us from the broker.
    #[error("no connection to the broker: {0}")]
    Secured(String),
    /// The broker does not let us hear the answers.
    #[error("the broker forbids to subscribe to {topic}; give this user rights to it")]
    Forbidden {
        /// Which topic.
        topic: String,
    },
    /// The box says nothing.
    #[error("site {site} does not answer on lane {lane}; is the box running and connected to this broker?")]
    NoAnswer {
        /// Which box.
        site: String,
        /// About which lane.
        lane: &'static str,
    },
    /// The box says no.
    #[error("site {site} refuses lane {lane}: {code}: {message}")]
    Refused {
        /// Which box.
        site: String,
        /// About which lane.
        lane: &'static str,
        /// The class of the refusal.
        code: String,
        /// What it said.
        message: String,
    },
    /// The answers are wrong again and again.
    #[error("site {site} sends batches of lane {lane} that are not as they should be")]
    Broken {
        /// Which box.
        site: String,
        /// Of which lane.
        lane: &'static str,
        /// What is wrong.
        source: Broken,
    },
    /// The database does not take it.
    #[error("the database {database} cannot be used while {doing}")]
    Database {
        /// Which one; without a password.
        database: String,
        /// What was done.
        doing: &'static str,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether it may do later.
        passing: bool,
    },
    /// The server is set so that it may lose what it calls committed.
    #[error(
        "the database {database} runs with {setting}: what it commits may be gone after a power cut, and was acknowledged to the boxes; switch that on"
    )]
    Unsafe {
        /// Which one.
        database: String,
        /// The setting.
        setting: &'static str,
    },
    /// Another collector writes there.
    #[error("another collector has {path} open; stop it, or let several share the work in PostgreSQL")]
    InUse {
        /// Which file.
        path: String,
    },
    /// The database is from a newer program.
    #[error("the database {path} has version {version}, this program knows up to {known}; use a newer showfloor")]
    Newer {
        /// Which file.
        path: String,
        /// Its version.
        version: i64,
        /// Ours.
        known: i64,
    },
    /// A part of the collector broke.
    #[error("the database writer ended: {0}")]
    Writer(String),
}

impl CollectError {
    /// Whether the same may do later.
    #[must_use]
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Database { passing: true, .. })
    }

    /// What the process should end with: 69 a needed service, 70 a bug, 74 the database, 78 a file of TLS.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Database { .. } | Self::Newer { .. } | Self::Unsafe { .. } | Self::InUse { .. } => 74,
            Self::Writer(_) => 70,
            Self::Files(_) => 78,
            _ => 69,
        }
    }
}
