//! The floor of the wall clock (`domain::ClockFloor`), kept over restarts: with the newest record, in its transaction, so
//! that it says no more than what the log shows.

use rusqlite::Connection;

use super::{
    error::DbError,
    open::{keep_meta, meta},
};
use crate::domain::Timestamp;

const KEY: &str = "clock_floor";
/// The floor rises with every second; it is a day behind the clock anyway.
const COARSE_US: i64 = 3_600_000_000;

/// What was kept last; `None` in a database that never knew the time.
pub(super) fn read(conn: &Connection) -> Result<Option<Timestamp>, DbError> {
    Ok(meta::<i64>(conn, KEY)?.map(Timestamp::from_micros))
}

/// Keeps `floor` if it differs from what is `kept` by an hour, or is lower; whether it did.
pub(super) fn keep(conn: &Connection, kept: Option<Timestamp>, floor: Timestamp) -> Result<bool, DbError> {
    let moved = kept.is_none_or(|kept| floor < kept || floor >= kept.plus_micros(COARSE_US));
    if moved {
        keep_meta(conn, KEY, floor.micros())?;
    }
    Ok(moved)
}
