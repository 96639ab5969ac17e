//! How much the file holds and the disk has left, and when that is too little. Pure but for the measuring.

use std::path::Path;

use rusqlite::Connection;

use super::error::DbError;

/// What the write-ahead log may take at its longest, bytes: SQLite begins anew after 4 MiB, readers may make it wait.
pub(super) const WAL_BYTES: u64 = 8 << 20;
/// With less room for new events than this, old ones go, bytes.
pub(super) const SCARCE: u64 = 8 << 20;
/// Free pages that stay in the file for what comes next.
const CUSHION: u64 = 1_024;

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of a page.
    pub(super) page: u64,
    /// Pages of the file.
    pub(super) pages: u64,
    /// Those of them that hold nothing.
    pub(super) free: u64,
    /// Bytes that the file system still gives.
    pub(super) available: u64,
}

impl Room {
    /// Inside of the open transaction or outside of any. A file system that does not tell its size has room.
    pub(super) fn measure(conn: &Connection, dir: &Path) -> Result<Self, DbError> {
        let number = |pragma: &str| -> Result<u64, DbError> {
            let n: i64 = conn.prepare_cached(pragma)?.query_row([], |row| row.get(0))?;
            Ok(super::rows::count(n))
        };
        Ok(Self {
            page: number("PRAGMA page_size")?,
            pages: number("PRAGMA page_count")?,
            free: number("PRAGMA freelist_count")?,
            available: available(dir),
        })
    }

    /// Bytes of pages that hold something.
    pub(super) fn used(&self) -> u64 {
        self.pages.saturating_sub(self.free) * self.page
    }

    /// Bytes that new events may take before the disk is full.
    fn ahead(&self) -> u64 {
        self.available.saturating_add(self.free * self.page)
    }
}

/// Bytes that the file system of `dir` still gives to us.
pub(super) fn available(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// What the store may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the database, without write-ahead log and reserve.
    pub(super) database: u64,
}

impl Limits {
    pub(super) fn new(limit_bytes: u64, reserve_bytes: u64) -> Self {
        Self { database: limit_bytes.saturating_sub(reserve_bytes).saturating_sub(WAL_BYTES) }
    }

    /// Where shedding ends, bytes: a little below where it begins, so that it goes in strides.
    pub(super) const fn low(self) -> u64 {
        self.database - self.database / 32
    }

    /// Whether events have to go; `shedding` says whether some just did.
    pub(super) fn presses(self, room: &Room, shedding: bool) -> bool {
        let (most, least) = if shedding { (self.low(), 2 * SCARCE) } else { (self.database, SCARCE) };
        room.used() > most || room.ahead() < least
    }

    /// Free pages to give back to the file system, `most` at a time. On a disk that is nearly full they stay: whoever
    /// fills it would take them, and more events would have to go.
    pub(super) fn surplus(room: &Room, most: u64) -> u64 {
        if room.available < 2 * SCARCE { 0 } else { room.free.saturating_sub(CUSHION).min(most) }
    }

    /// Bytes that live events may come to before something has to go.
    pub(super) fn ceiling(self, room: &Room) -> u64 {
        // Shedding goes between the two marks.
        let mark = self.database - self.database / 64;
        mark.min(room.used().saturating_add(room.ahead().saturating_sub(2 * SCARCE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room(used_mib: u64, free_mib: u64, available_mib: u64) -> Room {
        let pages = |mib: u64| mib * 256;
        Room { page: 4_096, pages: pages(used_mib + free_mib), free: pages(free_mib), available: available_mib * MIB }
    }

    #[test]
    fn events_go_beyond_the_limit_until_a_little_below_it() {
        let limits = Limits::new(72 * MIB, 0);
        assert_eq!(limits.database, 64 * MIB);
        let says = |used| [false, true].map(|shedding| limits.presses(&room(used, 0, 1_000), shedding));
        assert_eq!(says(65), [true, true]);
        assert_eq!(says(63), [false, true]);
        assert_eq!(says(62), [false, false]);
    }

    #[test]
    fn free_pages_count_as_room_and_stay_on_a_disk_that_is_nearly_full() {
        let limits = Limits::new(1_000 * MIB, 0);
        assert!(limits.presses(&room(100, 0, 7), false));
        assert!(!limits.presses(&room(100, 20, 0), false), "the file has room itself");
        assert!(limits.presses(&room(100, 8, 4), true), "a little more, once it began");
        assert_eq!(Limits::surplus(&room(100, 20, 10), 64), 0);
        assert_eq!(Limits::surplus(&room(100, 20, 500), 64), 64);
        assert_eq!(Limits::surplus(&room(100, 4, 500), 64), 0);
        assert_eq!(limits.ceiling(&room(100, 0, 36)), 120 * MIB);
        assert_eq!(limits.ceiling(&room(100, 0, 9_000)), 992 * MIB - 992 * MIB / 64);
    }
}
