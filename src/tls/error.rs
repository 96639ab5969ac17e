//! Why there is no TLS to a broker, in sentences that say what to do.

use std::fmt;

/// One thing that is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Which file, as the configuration calls it: `ca`, `cert`, `key` or `crl`.
    pub key: &'static str,
    /// What is wrong with it and what to do, with its path.
    pub message: String,
}

/// Why a connection cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// At least one of the files cannot be used.
    #[error("{}", sentences(.0))]
    Files(Vec<Flaw>),
    /// A part of the program broke.
    #[error("the files of TLS were not read: {0}")]
    Reader(String),
}

fn sentences(flaws: &[Flaw]) -> String {
    let texts: Vec<_> = flaws.iter().map(|flaw| flaw.message.as_str()).collect();
    texts.join("; ")
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
