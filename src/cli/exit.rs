//! What the process ends with: one table for all commands.

use std::panic::{self, AssertUnwindSafe};

use anyhow::{Error, Result};

use crate::{
    access::AccessError, app::AppError, broker::BrokerError, collect::CollectError, config::Problems,
    store::StoreError, supervisor::SupervisorError,
};

/// The command line makes no sense, or names a file that is none.
const USAGE: u8 = 64;
/// A service that is needed is not there: a port in use, a broker or daemon away.
const UNAVAILABLE: u8 = 69;
/// A bug.
const SOFTWARE: u8 = 70;
/// The store cannot be used.
const STORE: u8 = 74;
/// The database was found damaged while it was in use: the next start salvages it.
const START_AGAIN: u8 = 75;
/// Configuration.
const CONFIG: u8 = 78;
/// Stopped at once, as a shell says it of a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// A failure of a command that no error type of ours stands for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A service that is needed is not there.
    #[error("{0}")]
    Unavailable(String),
    /// What was typed or configured makes no sense.
    #[error("{0}")]
    Config(String),
    /// The database is not as it should be.
    #[error("{0}")]
    Store(String),
    /// A panic, which has said on standard error where it happened.
    #[error("this is a bug; please report it with the lines above")]
    Bug,
}

/// Does `work`; a panic in it becomes [`Failure::Bug`].
///
/// # Errors
/// Those of `work`, and a panic.
pub fn guarded(work: impl FnOnce() -> Result<()>) -> Result<()> {
    // Nobody looks at what the panic left half done: the process ends.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Failure::Bug.into()))
}

/// The exit code for `error`.
#[must_use]
pub fn exit_code(error: &Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(USAGE)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(match failure {
            Failure::Unavailable(_) => UNAVAILABLE,
            Failure::Config(_) => CONFIG,
            Failure::Store(_) => STORE,
            Failure::Bug => SOFTWARE,
        });
    }
    if let Some(app) = cause.downcast_ref::<AppError>() {
        return match app {
            AppError::Store(StoreError::DamageMet { .. }) => Some(START_AGAIN),
            AppError::Listen { .. } | AppError::Broker(_) => Some(UNAVAILABLE),
            AppError::Store(_) | AppError::Read(_) => Some(STORE),
            AppError::Access(error) => Some(of_access(error)),
            AppError::Stopped(error) => Some(of_supervisor(error)),
            AppError::Signals(_) => Some(SOFTWARE),
        };
    }
    if let Some(error) = cause.downcast_ref::<AccessError>() {
        return Some(of_access(error));
    }
    if let Some(error) = cause.downcast_ref::<CollectError>() {
        return Some(error.exit_code());
    }
    let is = |found: bool, code| found.then_some(code);
    is(cause.is::<StoreError>(), STORE)
        .or(is(cause.is::<BrokerError>(), UNAVAILABLE))
        .or(is(cause.is::<Problems>(), CONFIG))
}

fn of_access(error: &AccessError) -> u8 {
    match error {
        AccessError::Store(_) | AccessError::UnknownRole(_) => STORE,
        AccessError::Random => SOFTWARE,
        AccessError::Taken { .. } | AccessError::Unknown { .. } | AccessError::BadId { .. } | AccessError::BadName => {
            USAGE
        }
    }
}

fn of_supervisor(error: &SupervisorError) -> u8 {
    match error {
        SupervisorError::Failed { name: "store", .. } => STORE,
        SupervisorError::Failed { .. } => SOFTWARE,
        SupervisorError::CutShort => INTERRUPTED,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::{config::Problem, store::StoreError};

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let failed = |name| SupervisorError::Failed { name, cause: "it is gone".to_owned() };
        let problem = Problem { file: "f".into(), line: 1, key: "k".into(), message: "m".into() };
        let listen = AppError::Listen { address: ([127, 0, 0, 1], 1).into(), source: std::io::Error::other("taken") };
        let table: [(Error, u8); 11] = [
            (anyhow!("no such file"), 64),
            (AccessError::BadName.into(), 64),
            (listen.into(), 69),
            (Failure::Unavailable("away".into()).into(), 69),
            (AppError::from(failed("engine")).into(), 70),
            (Failure::Bug.into(), 70),
            (StoreError::Died.into(), 74),
            (AppError::from(failed("store")).into(), 74),
            (AccessError::Store(StoreError::Died).into(), 74),
            (Problems(vec![problem]).into(), 78),
            (AppError::from(SupervisorError::CutShort).into(), 130),
        ];
        for (error, code) in table {
            assert_eq!(exit_code(&error), code, "{error:#}");
            assert_eq!(exit_code(&error.context("while testing")), code, "context changes nothing");
        }
    }

    #[test]
    fn a_panic_is_a_bug_and_what_does_not_panic_is_as_it_was() {
        let ended = guarded(|| panic!("out of tea"));
        assert_eq!(exit_code(&ended.expect_err("a bug")), 70);
        assert!(guarded(|| Ok(())).is_ok());
        assert_eq!(exit_code(&guarded(|| Err(StoreError::Died.into())).expect_err("as it was")), 74);
    }
}
