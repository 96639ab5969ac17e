//! What the process ends with: one table for all commands.

use anyhow::Error;

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
        });
    }
    if let Some(app) = cause.downcast_ref::<AppError>() {
        return match app {
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
