//! What the operator says about the disk: how much the store may take, how long it keeps what everybody has.

use super::document::Section;

/// Where and how much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Bytes of database, write-ahead log and reserve together.
    pub limit_bytes: u64,
    /// Bytes that are held back for a full disk.
    pub reserve_bytes: u64,
    /// Days that an event stays at least, of lanes `sales`, `presence`, `trace`.
    pub keep_days: [u64; 3],
}

impl Default for Storage {
    fn default() -> Self {
        Self { limit_bytes: 4 << 30, reserve_bytes: 16 << 20, keep_days: [90, 30, 7] }
    }
}

const MIB: u64 = 1 << 20;
const MOST_DAYS: u64 = 3_650;

/// Reads the section but for its `dir`.
pub(super) fn read(section: &mut Section<'_, '_>) -> Storage {
    let mut storage = Storage::default();
    storage.limit_bytes = section.whole("limit_bytes", 64 * MIB..=1 << 50).unwrap_or(storage.limit_bytes);
    storage.reserve_bytes = section.whole("reserve_bytes", 0..=1 << 30).unwrap_or(storage.reserve_bytes);
    if storage.reserve_bytes > storage.limit_bytes / 4 {
        let message = "is more than a quarter of limit_bytes, of which it is a part; make it smaller";
        section.complain("reserve_bytes", message);
    }
    if let Some(mut keep) = section.section("keep_days") {
        for (days, lane) in storage.keep_days.iter_mut().zip(["sales", "presence", "trace"]) {
            *days = keep.whole(lane, 0..=MOST_DAYS).unwrap_or(*days);
        }
        keep.finish();
    }
    storage
}
