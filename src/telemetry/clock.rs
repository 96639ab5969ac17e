//! The real clock: the only place that reads it for the product.
//!
//! Overrides, for tests of reboots and of boxes without a battery clock: `SHOWFLOOR_BOOT_ID`, and `SHOWFLOOR_CLOCK_QUALITY`,
//! which is `synced`, `unsynced`, or `@FILE`, a file that holds one of the two and is read each time. The wall clock is read
//! through the C library, so that what is loaded before it (libfaketime) can set it; the monotonic clock is the kernel's.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use super::kernel_clock;
use crate::domain::{Belief, BootId, Clock, ClockFloor, ClockQuality, Stamp, Timestamp};

/// Where the word on the clock's quality comes from.
#[derive(Debug, Clone)]
enum Voucher {
    Kernel,
    Told(ClockQuality),
    File(PathBuf),
}

impl Voucher {
    fn quality(&self) -> ClockQuality {
        match self {
            Self::Kernel => kernel_clock::quality(),
            Self::Told(quality) => *quality,
            Self::File(path) => {
                fs::read_to_string(path).ok().and_then(|text| quality(text.trim())).unwrap_or(ClockQuality::Unsynced)
            }
        }
    }
}

fn quality(text: &str) -> Option<ClockQuality> {
    match text {
        "synced" => Some(ClockQuality::Synced),
        "unsynced" => Some(ClockQuality::Unsynced),
        _ => None,
    }
}

/// The kernel's clocks and boot id, and what the kernel says of them.
#[derive(Debug, Clone)]
pub struct SystemClock {
    boot: BootId,
    voucher: Voucher,
}

impl SystemClock {
    /// Reads the boot id and the overrides once.
    #[must_use]
    pub fn new() -> Self {
        let told = std::env::var("SHOWFLOOR_BOOT_ID").ok();
        let text = told.or_else(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").ok());
        let boot = text.and_then(|text| Uuid::parse_str(text.trim()).ok()).unwrap_or_else(Uuid::new_v4);
        let told = std::env::var("SHOWFLOOR_CLOCK_QUALITY").unwrap_or_default();
        let voucher = match told.strip_prefix('@') {
            Some(path) => Voucher::File(path.into()),
            None => quality(&told).map_or(Voucher::Kernel, Voucher::Told),
        };
        Self { boot: BootId(boot), voucher }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Stamp {
        let mono = clock_gettime(ClockId::Boottime);
        Stamp {
            wall: wall(),
            mono_ns: mono.tv_sec.saturating_mul(1_000_000_000).saturating_add(mono.tv_nsec),
            boot: self.boot,
            quality: self.voucher.quality(),
        }
    }
}

#[allow(clippy::disallowed_methods)] // this is the clock
fn wall() -> Timestamp {
    let micros = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_micros(since.map_or_else(|before| -micros(before.duration()), micros))
}

/// The day on which this program was built: no clock is before it.
#[must_use]
pub fn built() -> Timestamp {
    let days: i64 = env!("SHOWFLOOR_BUILT_DAY").parse().unwrap_or(0);
    Timestamp::from_micros(days.saturating_mul(86_400_000_000))
}

/// A clock whose word is believed as far as its floor lets it (`domain::ClockFloor`). Says so in the log when that changes.
#[derive(Debug)]
pub struct FlooredClock<C> {
    inner: C,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    floor: ClockFloor,
    /// What the log was told last: what the kernel says, and what is believed of it.
    told: (ClockQuality, Belief),
}

impl<C: Clock> FlooredClock<C> {
    /// Over `inner`, with nothing known but when the program was built.
    #[must_use]
    pub fn new(inner: C, built: Timestamp) -> Self {
        let told = (ClockQuality::Unsynced, Belief::Unsynced);
        Self { inner, state: Mutex::new(State { floor: ClockFloor::new(built), told }) }
    }

    /// Goes on with the floor that was kept over a restart.
    pub fn restore(&self, kept: Timestamp) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).floor.restore(kept);
    }

    fn judged(&self, enough: Belief) -> Stamp {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the floor sees the clock in order.
        let mut now = self.inner.now();
        let belief = state.floor.judge(&now);
        if state.told != (now.quality, belief) {
            state.told = (now.quality, belief);
            tell(&now, belief, &state.floor);
        }
        now.quality = if belief >= enough { ClockQuality::Synced } else { ClockQuality::Unsynced };
        now
    }
}

impl<C: Clock> Clock for FlooredClock<C> {
    fn now(&self) -> Stamp {
        self.judged(Belief::Synced)
    }

    fn proven(&self) -> Stamp {
        self.judged(Belief::Proven)
    }

    fn floor(&self) -> Option<Timestamp> {
        Some(self.state.lock().unwrap_or_else(PoisonError::into_inner).floor.at())
    }
}

fn tell(now: &Stamp, belief: Belief, floor: &ClockFloor) {
    let wall = now.wall;
    match (now.quality, belief) {
        (ClockQuality::Unsynced, _) => {
            tracing::info!(%wall, "nobody vouches for the wall clock: events are dated once the time is learnt");
        }
        (ClockQuality::Synced, Belief::Unsynced) if floor.is_before_build(wall) => {
            tracing::warn!(%wall, "the system calls its clock synced, but it is before this program was built: not believed; look at the time server");
        }
        (ClockQuality::Synced, Belief::Unsynced) => {
            tracing::warn!(%wall, floor = %floor.at(), "the system calls its clock synced, but there are newer records: not believed before it has stood for 6 hours; look at the time server");
        }
        (ClockQuality::Synced, Belief::Synced) => {
            tracing::warn!(%wall, "the wall clock leapt far ahead: it dates events, but nothing ends by it before it has stood for 6 hours");
        }
        (ClockQuality::Synced, Belief::Proven) => tracing::info!(%wall, "the wall clock is believed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back_and_the_boot_stays() {
        let clock = SystemClock::new();
        let (a, b) = (clock.now(), clock.now());
        assert!(b.mono_ns >= a.mono_ns);
        assert_eq!(a.boot, b.boot);
        assert!(a.wall > built(), "the day of the build is in the past: {} {}", a.wall, built());
    }

    #[test]
    fn a_quality_is_read_from_its_file_each_time() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let voucher = Voucher::File(file.path().to_owned());
        for (text, quality) in
            [("", ClockQuality::Unsynced), ("synced\n", ClockQuality::Synced), ("yes", ClockQuality::Unsynced)]
        {
            fs::write(file.path(), text).expect("written");
            assert_eq!(voucher.quality(), quality, "{text:?}");
        }
    }

    /// Says what it was told.
    struct Hand(Mutex<Stamp>);

    impl Clock for Hand {
        fn now(&self) -> Stamp {
            *self.0.lock().expect("unpoisoned")
        }
    }

    #[test]
    fn both_words_of_a_floored_clock_follow_its_floor() {
        use ClockQuality::{Synced, Unsynced};
        let day_us = 86_400_000_000;
        let built = Timestamp::from_micros(20_000 * day_us);
        let start = Stamp { wall: built, mono_ns: 0, boot: BootId(Uuid::nil()), quality: Synced };
        let clock = FlooredClock::new(Hand(Mutex::new(start)), built);
        for (days, said, now, proven) in [
            (1, Unsynced, Unsynced, Unsynced),
            (1, Synced, Synced, Synced),
            (-1, Synced, Unsynced, Unsynced),
            (20_000, Synced, Synced, Unsynced),
        ] {
            let wall = built.plus_micros(days * day_us);
            *clock.inner.0.lock().expect("unpoisoned") = Stamp { wall, quality: said, ..start };
            assert_eq!((clock.now().quality, clock.proven().quality), (now, proven), "{days} days after the build");
            assert_eq!(clock.now().wall, wall, "what it shows is never made up");
        }
        clock.restore(built.plus_micros(30 * day_us));
        assert_eq!(clock.floor(), Some(built.plus_micros(30 * day_us)));
    }
}
