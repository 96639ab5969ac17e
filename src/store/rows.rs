//! Rows of the log as SQLite holds them, and the events they mean: twins of the domain's types, converted explicitly.

use std::str::FromStr;

use rusqlite::{
    Connection, Row, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use super::{
    error::{DbError, row},
    seal::{self, Bond, Keyring},
    sum::Sum,
};
use crate::domain::{
    BootId, ClockMark, ClockQuality, CustomerId, Epoch, Event, EventBody, EventId, Gap, GapReason, Lane, Origin,
    Revealed, Sealable, Subjects, Timestamp, VisitId,
};

/// The columns of [`LogRow`], in its order.
macro_rules! log_columns {
    () => {
        "pos, lane, seq, id, kind, wall_us, boot, mono_ns, quality, visit, customer, vehicle, staff, data, subject, \
         sealed, origin_epoch, origin_seq, v, sum"
    };
}
pub(super) use log_columns;

/// A count or position as SQLite keeps it; ours never come near its limit.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The same back; nothing negative is ever written.
pub(super) fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

pub(super) fn lane_int(lane: Lane) -> i64 {
    lane as i64
}

pub(super) fn lane_of(n: i64) -> Result<Lane, DbError> {
    usize::try_from(n).ok().and_then(|n| Lane::ALL.get(n).copied()).ok_or(DbError::Row { what: "lane" })
}

pub(super) fn quality_int(quality: ClockQuality) -> i64 {
    i64::from(quality == ClockQuality::Synced)
}

pub(super) fn parse<T: FromStr>(what: &'static str, text: &str) -> Result<T, DbError> {
    text.parse().map_err(row(what))
}

pub(super) fn parse_some<T: FromStr>(what: &'static str, text: Option<&str>) -> Result<Option<T>, DbError> {
    text.map(|text| parse(what, text)).transpose()
}

/// What a row of the log takes beside its data and its sealed part, bytes: index and the edges of pages included, as
/// `make month` measures it. `schema_2.sql` counts the same.
pub(super) const ROW_BYTES: i64 = 140;

/// One line of the log, read whole before it is understood.
pub(super) struct LogRow {
    pos: i64,
    lane: i64,
    seq: i64,
    id: [u8; 16],
    kind: String,
    wall_us: i64,
    boot: [u8; 16],
    mono_ns: i64,
    quality: i64,
    visit: Option<[u8; 16]>,
    customer: Option<[u8; 16]>,
    vehicle: Option<String>,
    staff: Option<String>,
    data: String,
    sealed: Option<(String, Vec<u8>)>,
    origin: Option<([u8; 16], i64)>,
    version: u16,
    /// Its checksum is right; one of an older program has none and makes sense.
    whole: bool,
}

/// A personal part that is sealed, and what it was sealed under.
pub(super) struct SealedPart<'a> {
    pub(super) subject: &'a str,
    pub(super) bond: Bond<'a>,
    pub(super) sealed: &'a [u8],
}

/// Columns before the checksum.
const SUMMED: usize = 19;

/// Whether the checksum is right; `None` when there is none.
fn is_summed(row: &Row<'_>) -> rusqlite::Result<Option<bool>> {
    match row.get_ref(SUMMED)? {
        ValueRef::Null => Ok(None),
        expected => Ok(Some(expected.as_i64() == Ok(sum_of(row)?))),
    }
}

/// The checksum of a row of [`log_columns`], as it should be.
pub(super) fn sum_of(row: &Row<'_>) -> rusqlite::Result<i64> {
    let mut sum = Sum::default();
    for column in 0..SUMMED {
        sum.column(row.get_ref(column)?);
    }
    Ok(sum.value())
}

impl LogRow {
    /// Reads the columns of [`log_columns`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let whole = match is_summed(row)? {
            Some(true) => Self::whole(row).ok(),
            // Nothing of it is believed, not even that its columns have their types.
            Some(false) => None,
            // Of an older program, or damage that took the checksum with it: then something else makes no sense.
            None => Self::whole(row).ok().filter(Self::makes_sense),
        };
        let number = |column| row.get(column).unwrap_or(0);
        Ok(whole.unwrap_or_else(|| Self::torn(number(0), number(1), number(2))))
    }

    fn makes_sense(&self) -> bool {
        Uuid::from_bytes(self.id).get_version_num() == 7 && EventBody::from_parts(&self.kind, &self.data).is_ok()
    }

    fn whole(row: &Row<'_>) -> rusqlite::Result<Self> {
        let subject: Option<String> = row.get(14)?;
        let sealed: Option<Vec<u8>> = row.get(15)?;
        let epoch: Option<[u8; 16]> = row.get(16)?;
        let seq: Option<i64> = row.get(17)?;
        Ok(Self {
            pos: row.get(0)?,
            lane: row.get(1)?,
            seq: row.get(2)?,
            id: row.get(3)?,
            kind: row.get(4)?,
            wall_us: row.get(5)?,
            boot: row.get(6)?,
            mono_ns: row.get(7)?,
            quality: row.get(8)?,
            visit: row.get(9)?,
            customer: row.get(10)?,
            vehicle: row.get(11)?,
            staff: row.get(12)?,
            data: row.get(13)?,
            sealed: subject.zip(sealed),
            origin: epoch.zip(seq),
            version: row.get(18)?,
            whole: true,
        })
    }

    fn torn(pos: i64, lane: i64, seq: i64) -> Self {
        Self {
            pos,
            lane,
            seq,
            id: [0; 16],
            kind: String::new(),
            wall_us: 0,
            boot: [0; 16],
            mono_ns: 0,
            quality: 0,
            visit: None,
            customer: None,
            vehicle: None,
            staff: None,
            data: String::new(),
            sealed: None,
            origin: None,
            version: 0,
            whole: false,
        }
    }

    /// The personal part as it stands on disk.
    pub(super) fn sealed_part(&self) -> Option<SealedPart<'_>> {
        let (subject, sealed) = self.sealed.as_ref()?;
        let bond = Bond { id: EventId(Uuid::from_bytes(self.id)), kind: &self.kind };
        Some(SealedPart { subject, bond, sealed })
    }

    /// Bytes of what it says.
    pub(super) fn weight(&self) -> usize {
        self.data.len() + self.sealed.as_ref().map_or(0, |(_, sealed)| sealed.len())
    }

    /// What it takes of the disk, bytes.
    pub(super) fn cost(&self) -> i64 {
        cost(&self.data, self.sealed.as_ref().map(|(_, sealed)| sealed))
    }

    pub(super) fn seq(&self) -> u64 {
        count(self.seq)
    }

    pub(super) fn pos(&self) -> i64 {
        self.pos
    }

    /// Whether it is as it was written.
    pub(super) fn check(&self) -> Result<(), DbError> {
        if self.whole { Ok(()) } else { Err(DbError::Torn { pos: count(self.pos) }) }
    }

    /// The event that it is, with its personal part as far as `keys` open it.
    pub(super) fn into_event(self, keys: &mut Keyring<'_>) -> Result<Event, DbError> {
        self.check()?;
        let id = EventId(Uuid::from_bytes(self.id));
        let personal = match &self.sealed {
            None => Revealed::Absent,
            Some((subject, sealed)) => keys.reveal(subject, Bond { id, kind: &self.kind }, sealed)?,
        };
        let quality = if self.quality == 1 { ClockQuality::Synced } else { ClockQuality::Unsynced };
        Ok(Event {
            pos: count(self.pos),
            lane: lane_of(self.lane)?,
            seq: count(self.seq),
            id,
            at: Timestamp::from_micros(self.wall_us),
            clock: ClockMark { boot: BootId(Uuid::from_bytes(self.boot)), mono_ns: self.mono_ns, quality },
            subjects: Subjects {
                visit: self.visit.map(|id| VisitId(Uuid::from_bytes(id))),
                customer: self.customer.map(|id| CustomerId(Uuid::from_bytes(id))),
                vehicle: parse_some("vehicle", self.vehicle.as_deref())?,
                staff: parse_some("staff", self.staff.as_deref())?,
            },
            body: EventBody::from_parts(&self.kind, &self.data).map_err(row("data of an event"))?,
            personal,
            origin: self.origin.map(|(epoch, seq)| Origin { epoch: Epoch(Uuid::from_bytes(epoch)), seq: count(seq) }),
            version: self.version,
        })
    }
}

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

fn uuid(id: &Uuid) -> ValueRef<'_> {
    ValueRef::Blob(id.as_bytes())
}

fn cost(data: &str, sealed: Option<&Vec<u8>>) -> i64 {
    ROW_BYTES + int((data.len() + sealed.map_or(0, Vec::len)) as u64)
}

/// Counts anew what the log holds of each lane, as `schema_2.sql` does; how many events that are in all.
pub(super) fn count_lanes(conn: &Connection) -> Result<u64, DbError> {
    let sql = "UPDATE lane SET (events, bytes) = (
                   SELECT count(*), coalesce(sum(?1 + octet_length(data) + coalesce(octet_length(sealed), 0)), 0)
                   FROM log WHERE log.lane = lane.lane)";
    conn.execute(sql, [ROW_BYTES])?;
    let events: i64 = conn.query_row("SELECT sum(events) FROM lane", [], |row| row.get(0))?;
    Ok(count(events))
}

/// Writes one line of the log; `personal` is sealed on the way. What it takes of the disk, bytes.
pub(super) fn insert(conn: &Connection, event: &Event, personal: Option<&Sealable>) -> Result<i64, DbError> {
    let bond = Bond { id: event.id, kind: event.body.kind() };
    let sealed = match personal {
        None => None,
        Some(Sealable { subject, fields }) => {
            let subject = seal::subject_text(subject);
            let sealed = seal::seal(conn, &subject, bond, fields)?;
            Some((subject, sealed))
        }
    };
    let subjects = &event.subjects;
    let (visit, customer) = (subjects.visit.map(|id| id.0), subjects.customer.map(|id| id.0));
    let origin = event.origin.map(|origin| origin.epoch.0);
    let data = event.body.to_data();
    let cost = cost(&data, sealed.as_ref().map(|(_, sealed)| sealed));
    let columns: [ValueRef<'_>; SUMMED] = [
        ValueRef::Integer(int(event.pos)),
        ValueRef::Integer(lane_int(event.lane)),
        ValueRef::Integer(int(event.seq)),
        uuid(&event.id.0),
        text(event.body.kind()),
        ValueRef::Integer(event.at.micros()),
        uuid(&event.clock.boot.0),
        ValueRef::Integer(event.clock.mono_ns),
        ValueRef::Integer(quality_int(event.clock.quality)),
        visit.as_ref().map_or(ValueRef::Null, uuid),
        customer.as_ref().map_or(ValueRef::Null, uuid),
        subjects.vehicle.as_ref().map_or(ValueRef::Null, |id| text(id.as_str())),
        subjects.staff.as_ref().map_or(ValueRef::Null, |id| text(id.as_str())),
        text(&data),
        sealed.as_ref().map_or(ValueRef::Null, |(subject, _)| text(subject)),
        sealed.as_ref().map_or(ValueRef::Null, |(_, sealed)| ValueRef::Blob(sealed)),
        origin.as_ref().map_or(ValueRef::Null, uuid),
        event.origin.map_or(ValueRef::Null, |origin| ValueRef::Integer(int(origin.seq))),
        ValueRef::Integer(i64::from(event.version)),
    ];
    let mut sum = Sum::default();
    for column in columns {
        sum.column(column);
    }
    let sum = ValueRef::Integer(sum.value());
    let sql = concat!(
        "INSERT INTO log (",
        log_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
    );
    let values = columns.into_iter().chain([sum]).map(ToSqlOutput::Borrowed);
    conn.prepare_cached(sql)?.execute(params_from_iter(values))?;
    Ok(cost)
}

/// A gap from `from_seq, to_seq, count, reason, at_us`.
pub(super) fn read_gap(row: &Row<'_>) -> rusqlite::Result<(i64, i64, i64, String, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

/// What [`read_gap`] read, understood.
pub(super) fn gap_of((from, to, lost, reason, at): (i64, i64, i64, String, i64)) -> Result<Gap, DbError> {
    let reason = match reason.as_str() {
        "retention" => GapReason::Retention,
        "disk_full" => GapReason::DiskFull,
        "corruption" => GapReason::Corruption,
        _ => return Err(DbError::Row { what: "reason of a gap" }),
    };
    let at = Timestamp::from_micros(at);
    Ok(Gap { from: count(from), to: count(to), count: count(lost), reason, at })
}
