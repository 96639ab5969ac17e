//! The real clock: the only place that reads it for the product.
//!
//! `SHOWFLOOR_BOOT_ID` and `SHOWFLOOR_CLOCK_QUALITY` (`synced` or `unsynced`) override the kernel's word, for tests of
//! reboots and of boxes without a battery clock.

use std::fs;

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use super::kernel_clock;
use crate::domain::{BootId, Clock, ClockQuality, Stamp, Timestamp};

/// The kernel's clocks and boot id.
#[derive(Debug, Clone)]
pub struct SystemClock {
    boot: BootId,
    told: Option<ClockQuality>,
}

impl SystemClock {
    /// Reads the boot id and the overrides once.
    #[must_use]
    pub fn new() -> Self {
        let told = std::env::var("SHOWFLOOR_BOOT_ID").ok();
        let text = told.or_else(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").ok());
        let boot = text.and_then(|text| Uuid::parse_str(text.trim()).ok()).unwrap_or_else(Uuid::new_v4);
        let told = match std::env::var("SHOWFLOOR_CLOCK_QUALITY").as_deref() {
            Ok("synced") => Some(ClockQuality::Synced),
            Ok("unsynced") => Some(ClockQuality::Unsynced),
            _ => None,
        };
        Self { boot: BootId(boot), told }
    }

    fn quality(&self) -> ClockQuality {
        self.told.unwrap_or_else(kernel_clock::quality)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Stamp {
        let wall = clock_gettime(ClockId::Realtime);
        let mono = clock_gettime(ClockId::Boottime);
        Stamp {
            wall: Timestamp::from_micros(wall.tv_sec.saturating_mul(1_000_000).saturating_add(wall.tv_nsec / 1_000)),
            mono_ns: mono.tv_sec.saturating_mul(1_000_000_000).saturating_add(mono.tv_nsec),
            boot: self.boot,
            quality: self.quality(),
        }
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
    }
}
