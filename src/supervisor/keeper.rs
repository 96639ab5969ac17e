//! One part, kept running until it is told to stop.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::unit::{Phase, Unit};
use crate::{
    domain::Backoff,
    telemetry::{Ailments, Count, Telemetry},
};

/// A part that runs for so long after a failure is well again.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// What the keepers share.
#[derive(Clone)]
pub(super) struct Household {
    pub(super) degraded: Ailments,
    pub(super) telemetry: Telemetry,
}

/// How a part came to its end.
pub(super) struct Ended {
    pub(super) name: &'static str,
    pub(super) phase: Phase,
    /// Why a critical part ended by itself.
    pub(super) failure: Option<String>,
}

/// Runs `unit` until `stop`, again and again if need be; a critical one once.
pub(super) async fn keep(mut unit: Unit, stop: CancellationToken, household: Household) -> Ended {
    let (name, phase) = (unit.name, unit.phase);
    let mut backoff = Backoff::new(name);
    loop {
        let begun = Instant::now();
        let Some(cause) = run_once(&mut unit, &stop, &household).await else {
            return Ended { name, phase, failure: None };
        };
        if unit.critical {
            return Ended { name, phase, failure: Some(cause) };
        }
        household.degraded.ail(name);
        household.telemetry.count(Count::UnitRestarts);
        let wait = backoff.after(begun.elapsed());
        tracing::error!(unit = name, "{cause}; it is started anew in {:.1} s", wait.as_secs_f64());
        tokio::select! {
            () = stop.cancelled() => return Ended { name, phase, failure: None },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One run; why it failed, if it did.
async fn run_once(unit: &mut Unit, stop: &CancellationToken, household: &Household) -> Option<String> {
    // A part that panics is dropped whole and made anew, so nobody sees what it left half done.
    let run = AssertUnwindSafe((unit.start)(stop.clone())).catch_unwind();
    tokio::pin!(run);
    let ended = tokio::select! {
        ended = &mut run => ended,
        () = tokio::time::sleep(WELL_AFTER) => {
            household.degraded.heal(unit.name);
            run.await
        }
    };
    match ended {
        Ok(Ok(())) if stop.is_cancelled() => None,
        Ok(Ok(())) => Some("it ended without being told to".to_owned()),
        Ok(Err(cause)) => Some(chain(cause.as_ref())),
        Err(panic) => Some(format!("it panicked: {}", said(panic.as_ref()))),
    }
    .filter(|_| !stop.is_cancelled() || unit.critical)
}

/// An error with its causes, in one line.
fn chain(cause: &(dyn std::error::Error + 'static)) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}
