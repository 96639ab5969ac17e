//! The box's own wall clock as a source: tells the log when it is learnt and when it steps, so that what was written with
//! a wrong date can be dated right.
//!
//! Both of the kernel's clocks are slewed alike, so their distance changes by steps only. A clock that is not believed, by
//! the kernel or for its floor, makes steps that are nothing to tell.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{BootId, Clock, ClockQuality, ClockSynced, Stamp},
    showroom::Command,
    store::{ReadError, StoreHandle, SubmitError},
    telemetry::{Count, Gauge, Telemetry},
};

/// The kernel does not tell when its clock becomes believable.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What is less is the time between reading the two clocks.
const STEP_NS: i64 = 50_000_000;

/// Why the clock is not watched any more.
#[derive(Debug, thiserror::Error)]
pub enum WallClockError {
    /// What was said of this boot's clock before is not known.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What was said of the clock of one boot.
#[derive(Debug)]
struct Told {
    boot: BootId,
    offset_ns: Option<i64>,
}

impl Told {
    /// What is to be said now. Two readings must agree, for a process can be held up between reading the two clocks.
    fn news(&self, first: Stamp, second: Stamp) -> Option<ClockSynced> {
        let synced = [first, second].iter().all(|stamp| stamp.quality == ClockQuality::Synced);
        let offset_ns = offset(first);
        if !synced || offset(second).abs_diff(offset_ns) >= STEP_NS as u64 {
            return None;
        }
        let step_ns = self.offset_ns.map_or(0, |told| offset_ns.saturating_sub(told));
        let news = self.offset_ns.is_none() || step_ns.abs() >= STEP_NS;
        news.then_some(ClockSynced { boot: self.boot.0, offset_ns, step_ns })
    }
}

/// Wall time of the moment at which the monotonic clock was 0, nanoseconds since 1970; what does not fit is its limit.
fn offset(stamp: Stamp) -> i64 {
    stamp.wall.micros().saturating_mul(1_000).saturating_sub(stamp.mono_ns)
}

/// Watches the wall clock.
pub struct WallClock {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where news of it go.
    pub store: StoreHandle,
    /// Where trouble is counted.
    pub telemetry: Telemetry,
}

impl WallClock {
    /// Watches until `stop`.
    ///
    /// # Errors
    /// When the log cannot be read at the start.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WallClockError> {
        let boot = self.clock.now().boot;
        let before = self.store.reader().clock_of(boot).await?;
        let told = Told { boot, offset_ns: before.map(|synced| synced.offset_ns) };
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.watch(told) => match never {},
        }
        Ok(())
    }

    async fn watch(&self, mut told: Told) -> Infallible {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let synced = self.clock.now().quality == ClockQuality::Synced;
            self.telemetry.set(Gauge::ClockSynced, i64::from(synced));
            let Some(news) = told.news(self.clock.now(), self.clock.now()) else { continue };
            let offset_ns = news.offset_ns;
            match self.store.submit(None, Command::ClockSynced(news)).await {
                Ok(_) => told.offset_ns = Some(offset_ns),
                // What could not be stored is said again at the next look.
                Err(error @ (SubmitError::NotStored(_) | SubmitError::Refused(_))) => {
                    self.telemetry.problem(Count::StoreErrors, "clock", &error);
                }
                Err(SubmitError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    const BOOT: BootId = BootId(uuid::Uuid::nil());

    fn at(wall_s: f64, mono_s: i64, quality: ClockQuality) -> Stamp {
        let wall = Timestamp::from_unix_seconds(wall_s).expect("in range");
        Stamp { wall, mono_ns: mono_s * 1_000_000_000, boot: BOOT, quality }
    }

    #[test]
    fn it_is_told_when_learnt_and_when_it_steps_and_not_else() {
        use ClockQuality::{Synced, Unsynced};
        let now = 1_790_000_000.0;
        // What was told before, what the clock says, and the step that is told.
        for (told, stamp, step) in [
            (None, at(60.0, 60, Unsynced), None),
            (None, at(now, 60, Synced), Some(0)),
            (Some(now), at(now + 100.0, 100, Synced), None),
            (Some(now), at(now + 100.04, 100, Synced), None),
            (Some(now), at(now + 700.0, 100, Synced), Some(600)),
            (Some(now), at(now - 500.0, 100, Synced), Some(-600)),
            (Some(now), at(now - 500.0, 100, Unsynced), None),
        ] {
            let told = Told { boot: BOOT, offset_ns: told.map(|seconds: f64| seconds as i64 * 1_000_000_000) };
            let news = told.news(stamp, stamp).map(|news| news.step_ns / 1_000_000_000);
            assert_eq!(news, step, "{told:?} {stamp:?}");
        }
    }

    #[test]
    fn a_process_that_was_held_up_between_the_clocks_sees_no_step() {
        let told = Told { boot: BOOT, offset_ns: Some(0) };
        let (late, right) = (at(161.0, 160, ClockQuality::Synced), at(160.0, 160, ClockQuality::Synced));
        assert_eq!(told.news(late, right), None);
        assert_eq!(told.news(right, right), None);
    }
}
