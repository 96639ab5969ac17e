//! What one job does inside the open transaction: decide, append, project. Each job is a savepoint, so that one that
//! fails leaves nothing behind and the others go on.
//!
//! Numbers are given here and shown to nobody before the commit; the heads in memory go back with a job or a transaction
//! that fails.

use std::time::Duration;

use rusqlite::{Connection, params};
use uuid::Builder;

use super::{
    AckError, Heads, LogEntry, RequestKey,
    error::DbError,
    ids::EventIds,
    projections, queries,
    requests::{self, Outcome},
    rows::{self, count, int, lane_int},
    seal,
    upkeep::{Gone, Upkeep},
    view::Tables,
    visits, wiping,
};
use crate::{
    domain::{
        ClockMark, ConsumerId, CustomerId, Epoch, Event, EventBody, EventId, Fact, Lane, NewEvent, Revealed, Stamp,
        Subject, Timestamp,
    },
    showroom::{self, Command, Context, Dating, Refusal, Rejection, ViewError},
};

/// Version of the events' data.
const DATA_VERSION: u16 = 1;

/// A fact with the time at which it reached the store, which does not change when it has to wait.
#[derive(Debug, Clone)]
pub(super) struct DatedFact {
    pub(super) fact: Fact,
    pub(super) dating: Dating,
    pub(super) now: Stamp,
    /// It was shown as not stored.
    pub(super) shown: bool,
}

/// What a job changed beside the log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Effects {
    /// Events appended.
    pub(super) events: u64,
    /// The meaning of tags changed.
    pub(super) registry: bool,
    /// Somebody was erased.
    pub(super) erased: bool,
}

impl Effects {
    pub(super) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.registry |= other.registry;
        self.erased |= other.erased;
    }
}

/// What the open transaction adds to each lane, in the order of [`Lane::ALL`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Added {
    pub(super) events: [u64; 3],
    pub(super) bytes: [u64; 3],
}

/// A command that was looked at: its outcome, and whether that was known before.
pub(super) struct Submitted {
    pub(super) outcome: Outcome,
    pub(super) repeated: bool,
    pub(super) effects: Effects,
}

/// The write connection with the numbers that belong to its transaction.
pub(super) struct Ledger {
    pub(super) conn: Connection,
    pub(super) heads: Heads,
    pub(super) added: Added,
    ids: EventIds,
    epoch: Epoch,
}

impl Ledger {
    /// Goes on where the file ends.
    pub(super) fn open(conn: Connection, epoch: Epoch) -> Result<Self, DbError> {
        let last: Option<[u8; 16]> =
            conn.query_row("SELECT max(id) FROM (SELECT id FROM log ORDER BY pos DESC LIMIT 1)", [], |row| row.get(0))?;
        let heads = read_heads(&conn)?;
        Ok(Self { conn, heads, added: Added::default(), ids: EventIds::after(last.map(uuid::Uuid::from_bytes)), epoch })
    }

    /// Answers a request again, or decides its command and writes what follows.
    pub(super) fn submit(
        &mut self,
        key: Option<&RequestKey>,
        command: &Command,
        now: &Stamp,
    ) -> Result<Submitted, DbError> {
        self.guarded(|ledger| {
            if let Some(outcome) = key.map(|key| requests::find(&ledger.conn, key)).transpose()?.flatten() {
                return Ok(Submitted { outcome, repeated: true, effects: Effects::default() });
            }
            let (outcome, effects) = match ledger.obey(command, now)? {
                Ok(effects) => (Ok(ledger.heads.pos), effects),
                Err(refusal) => (Err(refusal), Effects::default()),
            };
            if let Some(key) = key {
                requests::remember(&ledger.conn, key, &outcome, now)?;
            }
            Ok(Submitted { outcome, repeated: false, effects })
        })
    }

    /// Writes what a fact means. A refusal means that it was written before or makes no sense: nothing is written.
    pub(super) fn record(&mut self, dated: &DatedFact) -> Result<Result<Effects, Refusal>, DbError> {
        let command = Command::Presence { fact: dated.fact.clone(), dating: dated.dating };
        self.guarded(|ledger| ledger.obey(&command, &dated.now))
    }

    /// Moves a cursor forward; `committed` is how far the lane may be known to anybody.
    pub(super) fn acknowledge(
        &mut self,
        consumer: &ConsumerId,
        lane: Lane,
        epoch: Epoch,
        upto: u64,
        committed: Heads,
    ) -> Result<Result<u64, AckError>, DbError> {
        if epoch != self.epoch {
            return Ok(Err(AckError::EpochChanged { epoch: self.epoch }));
        }
        if upto > committed.of(lane) {
            return Ok(Err(AckError::BeyondHead { head: committed.of(lane) }));
        }
        let sql = "INSERT INTO cursor (consumer, lane, upto) VALUES (?1, ?2, ?3)
                   ON CONFLICT (consumer, lane) DO UPDATE SET upto = max(upto, excluded.upto) RETURNING upto";
        self.guarded(|ledger| {
            let values = params![consumer.as_str(), lane_int(lane), int(upto)];
            let now: i64 = ledger.conn.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
            Ok(Ok(count(now)))
        })
    }

    /// Writes the heads of the lanes and what was added to them: to be called before each commit.
    pub(super) fn keep_heads(&self) -> Result<(), DbError> {
        let sql = "UPDATE lane SET head = ?2, events = events + ?3, bytes = bytes + ?4 WHERE lane = ?1 AND head <> ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        for (n, lane) in Lane::ALL.into_iter().enumerate() {
            let (events, bytes) = (int(self.added.events[n]), int(self.added.bytes[n]));
            statement.execute([lane_int(lane), int(self.heads.of(lane)), events, bytes])?;
        }
        Ok(())
    }

    /// One step of housekeeping; one that fails leaves nothing behind, and the transaction goes on.
    pub(super) fn keep_house(&mut self, upkeep: &mut Upkeep, now: &Stamp, probe: bool) -> Result<Gone, DbError> {
        self.guarded(|ledger| {
            let Added { events, bytes } = ledger.added;
            upkeep.work(&ledger.conn, ledger.heads, now, (events.iter().sum(), bytes), probe)
        })
    }

    /// Does `job` in a savepoint of its own.
    fn guarded<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, DbError>) -> Result<T, DbError> {
        let before = (self.heads, self.added);
        self.conn.prepare_cached("SAVEPOINT job")?.execute([])?;
        let done = job(self).and_then(|done| {
            self.conn.prepare_cached("RELEASE job")?.execute([])?;
            Ok(done)
        });
        // A full or failing disk may have ended the whole transaction already; then there is nothing to go back to.
        if done.is_err() && !self.conn.is_autocommit() {
            (self.heads, self.added) = before;
            self.conn.execute_batch("ROLLBACK TO job; RELEASE job")?;
        }
        done
    }

    fn obey(&mut self, command: &Command, now: &Stamp) -> Result<Result<Effects, Refusal>, DbError> {
        let events = match self.decide(command, now) {
            Ok(events) => events,
            Err(Rejection::Refused(refusal)) => return Ok(Err(refusal)),
            Err(Rejection::View(cause)) => return Err(unview(cause)),
        };
        let mut effects = Effects::default();
        for event in events {
            effects.add(self.append(event, command, now)?);
        }
        if let Command::Presence { fact, dating } = command {
            let (wall, mono_ns) = dated(command, now);
            let heard = matches!(dating, Dating::Ago(_)).then_some(Stamp { wall, mono_ns, ..*now });
            visits::follow(&self.conn, fact, heard.as_ref())?;
        }
        Ok(Ok(effects))
    }

    /// What a fact would mean, for showing it while it cannot be written: events of visits without position and number.
    pub(super) fn imagine(&self, fact: &DatedFact) -> Result<Vec<LogEntry>, DbError> {
        let command = Command::Presence { fact: fact.fact.clone(), dating: fact.dating };
        let Ok(events) = self.decide(&command, &fact.now) else { return Ok(Vec::new()) };
        let (at, mono_ns) = dated(&command, &fact.now);
        let of_visits = events.into_iter().filter(|new| new.lane == Lane::Presence);
        let entry = |new: NewEvent| {
            let event = Event {
                pos: 0,
                lane: new.lane,
                seq: 0,
                id: EventId(uuid::Uuid::nil()),
                at,
                clock: ClockMark { boot: fact.now.boot, mono_ns, quality: fact.now.quality },
                subjects: new.subjects,
                body: new.body,
                personal: Revealed::Absent,
                origin: None,
                version: DATA_VERSION,
            };
            let about = queries::about(&self.conn, &event)?;
            Ok(LogEntry { event, about })
        };
        of_visits.map(entry).collect()
    }

    fn decide(&self, command: &Command, now: &Stamp) -> Result<Vec<NewEvent>, Rejection> {
        let view = Tables(&self.conn);
        let fresh = || seal::random().map(|bytes| Builder::from_random_bytes(bytes).into_uuid());
        let failed = |cause: DbError| Rejection::View(ViewError(Box::new(cause)));
        let context = Context { now: *now, fresh: fresh().map_err(failed)?, fresh_customer: fresh().map_err(failed)? };
        showroom::decide(&view, command, &context)
    }

    fn append(&mut self, new: NewEvent, command: &Command, now: &Stamp) -> Result<Effects, DbError> {
        let (at, mono_ns) = dated(command, now);
        self.heads.pos += 1;
        self.heads.lanes[new.lane as usize] += 1;
        let personal = new.personal.as_ref().map_or(Revealed::Absent, |part| Revealed::Present(part.fields.clone()));
        let event = Event {
            pos: self.heads.pos,
            lane: new.lane,
            seq: self.heads.of(new.lane),
            id: self.ids.next(now.wall, seal::random()?),
            at,
            clock: ClockMark { boot: now.boot, mono_ns, quality: now.quality },
            subjects: new.subjects,
            body: new.body,
            personal,
            origin: None,
            version: DATA_VERSION,
        };
        let cost = rows::insert(&self.conn, &event, new.personal.as_ref())?;
        self.added.events[new.lane as usize] += 1;
        self.added.bytes[new.lane as usize] += count(cost);
        let erased = match (&event.body, event.subjects.customer) {
            (EventBody::CustomerErased(_), Some(customer)) => Some(customer),
            _ => None,
        };
        if let Some(customer) = erased {
            self.erase(customer)?;
        }
        projections::apply(&self.conn, &event)?;
        let tags = matches!(event.body, EventBody::TagAssigned(_) | EventBody::TagReleased(_));
        let back = matches!(event.body, EventBody::CustomerUpserted(_));
        Ok(Effects { events: 1, registry: tags || back || erased.is_some(), erased: erased.is_some() })
    }

    /// What is not a projection and goes with a customer: the key, and the tie of a tag to an open visit.
    fn erase(&self, customer: CustomerId) -> Result<(), DbError> {
        visits::untie(&self.conn, customer)?;
        wiping::demand(&self.conn)?;
        seal::forget(&self.conn, &Subject::Customer(customer))
    }
}

/// When an event was, on both clocks: a fact of the engine happened before it got here, and is re-dated by its monotonic
/// time should the wall clock be learnt later.
fn dated(command: &Command, now: &Stamp) -> (Timestamp, i64) {
    let ago = |ago: Duration| {
        let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        let nanos = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
        (now.wall.plus_micros(micros.saturating_neg()), now.mono_ns.saturating_sub(nanos))
    };
    match command {
        Command::Presence { dating: Dating::Ago(time), .. } => ago(*time),
        Command::Presence { fact, dating: Dating::AsSaid } => (fact.at, now.mono_ns),
        _ => (now.wall, now.mono_ns),
    }
}

fn unview(ViewError(cause): ViewError) -> DbError {
    cause.downcast::<DbError>().map_or(DbError::Row { what: "a projection" }, |cause| *cause)
}

/// How far the file is.
pub(super) fn read_heads(conn: &Connection) -> Result<Heads, DbError> {
    let pos: Option<i64> = conn
        .prepare_cached("SELECT max(seq) FROM sqlite_sequence WHERE name = 'log'")?
        .query_row([], |row| row.get(0))?;
    let mut heads = Heads { pos: count(pos.unwrap_or(0)), lanes: [0; 3] };
    let mut statement = conn.prepare_cached("SELECT head FROM lane WHERE lane = ?1")?;
    for lane in Lane::ALL {
        heads.lanes[lane as usize] = count(statement.query_row([lane_int(lane)], |row| row.get(0))?);
    }
    Ok(heads)
}
