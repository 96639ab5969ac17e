//! Asks the kernel whether its clock is disciplined: the one place with `unsafe` of ours.
//!
//! `adjtimex(2)` has no safe wrapper in rustix or nix; the files of systemd or chrony that say the same exist only where
//! that daemon runs. The call only reads (`modes` is 0) and fills a structure that we own.
#![allow(unsafe_code)]

use crate::domain::ClockQuality;

/// Synced when a time daemon has cleared `STA_UNSYNC`; a call that fails counts as unsynced.
pub(super) fn quality() -> ClockQuality {
    // SAFETY: `timex` is plain old data for which all zeros is a value, and the kernel writes only inside of it.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut timex)
    };
    if state >= 0 && state != libc::TIME_ERROR { ClockQuality::Synced } else { ClockQuality::Unsynced }
}
