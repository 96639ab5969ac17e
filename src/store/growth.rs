//! How fast each lane grows: bytes of each of the last days that the box was up, kept in the database.
//!
//! A day is 24 hours of being up, by the monotonic clock, so that no step of the wall clock makes one. The rate is the mean
//! of the last [`DAYS`] whole days, in which a day of more than three times the median counts as three times the median: a
//! week has its Sundays, and an import happens once.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    error::DbError,
    rows::{int, lane_int},
};
use crate::domain::{BootId, ClockQuality, Lane, Stamp};

const DAYS: i64 = 14;
const DAY_NS: i64 = 86_400_000_000_000;
const OUTLIER: f64 = 3.0;
/// What a disciplined clock does not do in silence, microseconds.
const STEP_US: i64 = 1_000_000;

/// How long the box was up, and what its clock may be believed to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uptime {
    boot: BootId,
    mono_ns: i64,
    total_ns: i64,
    /// Earliest believed wall time of the boot's start, microseconds: a clock that jumps ahead does not move it.
    begun_us: Option<i64>,
    /// What is in the database knows less of this boot's clock.
    is_news: bool,
}

impl Uptime {
    /// As it was left; a new one begins with the time since the boot.
    pub(super) fn read(conn: &Connection, now: &Stamp) -> Result<Self, DbError> {
        let sql = "SELECT boot, mono_ns, total_ns, begun_us FROM uptime";
        let read = |row: &rusqlite::Row<'_>| {
            let boot = BootId(uuid::Uuid::from_bytes(row.get(0)?));
            Ok(Self { boot, mono_ns: row.get(1)?, total_ns: row.get(2)?, begun_us: row.get(3)?, is_news: false })
        };
        let known = conn.prepare_cached(sql)?.query_row([], read).optional()?;
        Ok(known.unwrap_or(Self { boot: now.boot, mono_ns: now.mono_ns, total_ns: 0, begun_us: None, is_news: true }))
    }

    /// Lets time pass until `now`.
    pub(super) fn advance(&mut self, now: &Stamp) {
        if self.boot != now.boot {
            (self.boot, self.mono_ns, self.begun_us, self.is_news) = (now.boot, 0, None, true);
        }
        self.total_ns += (now.mono_ns - self.mono_ns).max(0);
        self.mono_ns = self.mono_ns.max(now.mono_ns);
        if now.quality == ClockQuality::Synced {
            let begun = now.wall.micros() - now.mono_ns / 1_000;
            self.is_news |= self.begun_us.is_none_or(|known| begun < known - STEP_US);
            self.begun_us = Some(self.begun_us.map_or(begun, |known| known.min(begun)));
        }
    }

    /// Wall time that events of other boots may be compared with, microseconds; none while the clock is not believed.
    pub(super) fn wall_us(&self, now: &Stamp) -> Option<i64> {
        let begun = self.begun_us.filter(|_| now.quality == ClockQuality::Synced && self.boot == now.boot)?;
        Some(begun + now.mono_ns / 1_000)
    }

    /// Whether it should be written soon: what the clock is believed to say must survive the process.
    pub(super) fn is_news(&self) -> bool {
        self.is_news
    }

    /// Days in all.
    pub(super) fn days(&self) -> f64 {
        self.total_ns as f64 / DAY_NS as f64
    }

    /// Writes it, with the bytes that each lane grew by since it was written last.
    pub(super) fn keep(&mut self, conn: &Connection, grown: [u64; 3]) -> Result<(), DbError> {
        self.is_news = false;
        let sql = "INSERT INTO uptime (one, boot, mono_ns, total_ns, begun_us) VALUES (1, ?1, ?2, ?3, ?4)
                   ON CONFLICT (one) DO UPDATE SET boot = ?1, mono_ns = ?2, total_ns = ?3, begun_us = ?4";
        let values = params![self.boot.0.as_bytes(), self.mono_ns, self.total_ns, self.begun_us];
        conn.prepare_cached(sql)?.execute(values)?;
        let day = self.total_ns / DAY_NS;
        let sql = "INSERT INTO growth (day, lane, bytes) VALUES (?1, ?2, ?3)
                   ON CONFLICT (day, lane) DO UPDATE SET bytes = bytes + excluded.bytes";
        for (lane, bytes) in Lane::ALL.into_iter().zip(grown) {
            if bytes > 0 {
                conn.prepare_cached(sql)?.execute([day, lane_int(lane), int(bytes)])?;
            }
        }
        conn.prepare_cached("DELETE FROM growth WHERE day < ?1")?.execute([day - DAYS])?;
        Ok(())
    }

    /// Bytes a day of each lane; none before a day is over.
    pub(super) fn rates(&self, conn: &Connection) -> Result<Option<[f64; 3]>, DbError> {
        let today = self.total_ns / DAY_NS;
        let days = today.min(DAYS);
        if days == 0 {
            return Ok(None);
        }
        let mut statement =
            conn.prepare_cached("SELECT bytes FROM growth WHERE lane = ?1 AND day >= ?2 AND day < ?3")?;
        let mut rates = [0.0; 3];
        for (lane, rate) in Lane::ALL.into_iter().zip(&mut rates) {
            let values = [lane_int(lane), today - days, today];
            let found = statement.query_map(values, |row| row.get::<_, i64>(0))?;
            let mut bytes: Vec<f64> = found.map(|bytes| bytes.map(|bytes| bytes as f64)).collect::<Result<_, _>>()?;
            // A day without a row had nothing.
            bytes.resize(days as usize, 0.0);
            *rate = tempered_mean(&mut bytes);
        }
        Ok(Some(rates))
    }
}

/// The mean, in which nothing counts more than three times the median of the days that had anything.
fn tempered_mean(days: &mut [f64]) -> f64 {
    days.sort_by(f64::total_cmp);
    let busy = days.iter().position(|bytes| *bytes > 0.0).map_or(&days[..0], |first| &days[first..]);
    let most = busy.get(busy.len() / 2).map_or(0.0, |median| median * OUTLIER);
    days.iter().map(|bytes| bytes.min(most)).sum::<f64>() / (days.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn stamp(boot: u128, hours: i64, wall_us: i64, quality: ClockQuality) -> Stamp {
        let mono_ns = hours * 3_600_000_000_000;
        Stamp { wall: Timestamp::from_micros(wall_us), mono_ns, boot: BootId(uuid::Uuid::from_u128(boot)), quality }
    }

    #[test]
    fn time_is_that_of_being_up_and_a_jump_ahead_moves_nothing() {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(concat!(include_str!("schema_1.sql"), include_str!("schema_2.sql"))).expect("makes tables");
        let hour_us = 3_600_000_000;
        let first = stamp(1, 5, 0, ClockQuality::Unsynced);
        let mut uptime = Uptime::read(&conn, &first).expect("reads");
        uptime.advance(&first);
        assert_eq!(uptime.wall_us(&first), None);
        let learnt = stamp(1, 10, 1_000 * hour_us, ClockQuality::Synced);
        uptime.advance(&learnt);
        assert_eq!(uptime.wall_us(&learnt), Some(1_000 * hour_us));
        let jumped = stamp(1, 11, 500_000 * hour_us, ClockQuality::Synced);
        uptime.advance(&jumped);
        assert_eq!(uptime.wall_us(&jumped), Some(1_001 * hour_us));
        uptime.keep(&conn, [0; 3]).expect("writes");
        let mut uptime = Uptime::read(&conn, &jumped).expect("reads");
        assert_eq!((uptime.days() * 24.0).round().to_bits(), 6.0_f64.to_bits());
        assert_eq!(uptime.wall_us(&jumped), Some(1_001 * hour_us), "also after a restart");
        let rebooted = stamp(2, 1, 1_010 * hour_us, ClockQuality::Synced);
        uptime.advance(&rebooted);
        assert_eq!(uptime.wall_us(&rebooted), Some(1_010 * hour_us));
        assert_eq!((uptime.days() * 24.0).round().to_bits(), 7.0_f64.to_bits());
    }

    #[test]
    fn a_rate_is_of_whole_days_and_an_import_counts_little() {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(concat!(include_str!("schema_1.sql"), include_str!("schema_2.sql"))).expect("makes tables");
        let mut uptime = Uptime::read(&conn, &stamp(1, 0, 0, ClockQuality::Unsynced)).expect("reads");
        assert_eq!(uptime.rates(&conn).expect("reads"), None);
        for day in 0..30 {
            let closed = day % 7 == 6;
            for hour in 0..24 {
                uptime.advance(&stamp(1, day * 24 + hour, 0, ClockQuality::Unsynced));
                let import = if day == 25 && hour == 3 { 1_000_000 } else { 0 };
                let trace = if closed || hour > 11 { 0 } else { 100 };
                uptime.keep(&conn, [import + 10, 0, trace]).expect("writes");
            }
        }
        uptime.advance(&stamp(1, 30 * 24, 0, ClockQuality::Unsynced));
        let [sales, presence, trace] = uptime.rates(&conn).expect("reads").expect("is known");
        assert!((sales - 240.0).abs() < 240.0 * 0.2, "{sales}");
        assert_eq!(presence.to_bits(), 0.0_f64.to_bits());
        assert!((trace - 1_200.0 * 6.0 / 7.0).abs() < 1.0, "{trace}");
        let rows: i64 = conn.query_row("SELECT count(*) FROM growth", [], |row| row.get(0)).expect("reads");
        assert!(rows <= 30, "only what is needed is kept: {rows}");
    }
}
