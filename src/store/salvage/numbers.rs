//! The heads and gaps of a salvaged log: every number that was ever given is an event or in one gap.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{
    gaps::{Loss, account},
    record::Value,
};
use crate::{
    domain::{Gap, GapReason, Lane, Timestamp},
    store::{
        error::DbError,
        mark::Mark,
        rows::{self, count, gap_of, int, lane_int},
    },
};

/// What the damaged database says of its numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    heads: HashMap<Lane, i64>,
    pos: Option<i64>,
    gaps: HashMap<Lane, Vec<Gap>>,
}

impl Numbers {
    pub(super) fn head(&mut self, lane: Lane, head: i64) {
        self.heads.insert(lane, head);
    }

    pub(super) fn pos(&mut self, pos: i64) {
        self.pos = self.pos.max(Some(pos));
    }

    /// A row of the table of gaps: lane, last, first, count, reason, when.
    pub(super) fn gap(&mut self, columns: &[Value<'_>]) {
        let numbers: Vec<i64> = columns.iter().filter_map(|column| column.int()).collect();
        let [lane, to, from, lost, at] = numbers[..] else { return };
        let reason = columns.get(4).and_then(|reason| reason.text()).unwrap_or_default().to_owned();
        if let (Ok(lane), Ok(gap)) = (rows::lane_of(lane), gap_of((from, to, lost, reason, at))) {
            self.gaps.entry(lane).or_default().push(gap);
        }
    }

    /// Once the events are in: sets the heads, and accounts for every number below them. `mark` is how far the database is
    /// known to have been, `lanes` those whose events were taken over. Returns how many events are lost.
    pub(super) fn settle(
        mut self,
        conn: &Connection,
        mark: Option<Mark>,
        lanes: &[Lane],
        at: Timestamp,
    ) -> Result<u64, DbError> {
        // Each event takes a position and a number of its lane: that the counters agree is what they are believed by.
        let told = Lane::ALL.map(|lane| self.heads.get(&lane).copied().unwrap_or(-1));
        let agree = self.pos.is_some_and(|pos| told.iter().try_fold(0_i64, |sum, n| sum.checked_add(*n)) == Some(pos));
        let mark = mark.map(|mark| mark.heads).unwrap_or_default();
        let mut lost = 0;
        for lane in Lane::ALL {
            let told = if agree { count(told[lane as usize]) } else { 0 };
            let mut known = self.gaps.remove(&lane).unwrap_or_default();
            known.sort_by_key(|gap| gap.to);
            let reason = if lanes.contains(&lane) { GapReason::Corruption } else { GapReason::DiskFull };
            lost += settle_lane(conn, lane, told.max(mark.of(lane)), &known, Loss { reason, at })?;
        }
        let newest: Option<i64> = conn.query_row("SELECT max(pos) FROM log", [], |row| row.get(0))?;
        let pos = newest.max(self.pos.filter(|_| agree)).unwrap_or(0).max(int(mark.pos));
        conn.execute("DELETE FROM sqlite_sequence WHERE name = 'log'", [])?;
        conn.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('log', ?1)", [pos])?;
        Ok(lost)
    }
}

fn settle_lane(conn: &Connection, lane: Lane, at_least: u64, known: &[Gap], loss: Loss) -> Result<u64, DbError> {
    let mut gaps = Vec::new();
    let mut next = 1;
    {
        let mut statement = conn.prepare("SELECT seq FROM log WHERE lane = ?1 ORDER BY seq")?;
        let mut rows = statement.query([lane_int(lane)])?;
        while let Some(row) = rows.next()? {
            let seq = count(row.get(0)?);
            if seq > next {
                gaps.extend(account(next, seq - 1, known, loss));
            }
            next = seq + 1;
        }
    }
    if next <= at_least {
        gaps.extend(account(next, at_least, known, loss));
        next = at_least + 1;
    }
    let mut newly = 0;
    for gap in gaps {
        crate::store::gaps::put(conn, lane, &gap)?;
        newly += if gap.at == loss.at && gap.reason == loss.reason { gap.count } else { 0 };
    }
    conn.execute("UPDATE lane SET head = ?2 WHERE lane = ?1", params![lane_int(lane), int(next - 1)])?;
    Ok(newly)
}
