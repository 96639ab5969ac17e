//! TLS to brokers, for every MQTT connection of ours, and to PostgreSQL for the collector: certificates from files, and
//! sentences for what goes wrong with them.
//!
//! Invariants: the files are read for each connection anew, so that a renewed certificate needs no restart; a private key
//! that others may read is not used; neither keys nor their bytes are ever printed; what a broker or a certificate does
//! wrong never ends the daemon. It refuses versions before TLS 1.2, certificates that are not valid by the box's clock,
//! that are not for the name of the other side, not of the authority that was told, or on its revocation list.
//! What checks less than that (`check`) is for PostgreSQL alone, when an operator asks for it.

mod check;
mod client;
mod error;
mod explain;
mod files;
mod report;
mod validity;
mod watch;

pub use check::unchecked;
pub use client::{ClientTls, Session};
pub use error::{Flaw, TlsError};
pub use explain::Refusal;
pub use files::TlsFiles;
pub use report::{Certificate, Report};
pub use watch::{inspect, watch};

#[cfg(test)]
mod files_tests;
#[cfg(test)]
mod testing;
