//! The log: lines on standard error, for the journal or a person.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A program starts its log once.
    #[error("the log was started before")]
    Started(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts the log at `level` (`error` to `trace`), as text or as one JSON object a line. `rumqttd` is left out: it calls
/// each client that goes an error.
///
/// # Errors
/// When it was started before.
pub fn start_log(level: &str, json: bool) -> Result<(), LogError> {
    let filter = EnvFilter::new(format!("{level},rumqttd=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let started = match (json, in_journal) {
        (true, _) => log.json().flatten_event(true).try_init(),
        // The journal dates its lines itself.
        (false, true) => log.with_ansi(false).without_time().try_init(),
        (false, false) => log.with_ansi(io::stderr().is_terminal()).try_init(),
    };
    started.map_err(LogError::Started)
}

/// Starts the log at `level` as text for a terminal, each line through `write`: for a command that draws below it.
///
/// # Errors
/// When it was started before.
pub fn start_log_through(
    level: &str,
    write: impl Fn(&[u8]) -> io::Result<()> + Clone + Send + Sync + 'static,
) -> Result<(), LogError> {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(level)).with_ansi(true);
    log.with_writer(move || Through(write.clone())).try_init().map_err(LogError::Started)
}

/// Lines come whole: each is one call.
struct Through<F>(F);

impl<F: Fn(&[u8]) -> io::Result<()>> Write for Through<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
