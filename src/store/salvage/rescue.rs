//! Building a new database from what is left of a damaged one: the log under its own numbers, gaps for what is missing,
//! keys, answered requests, open visits; the showroom is then projected anew.

use rusqlite::{
    Connection, ErrorCode, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    aside::{Dir, Note},
    finds::{Find, LOG_COLUMNS},
    images::Images,
    keys::Keys,
    numbers::Numbers,
    record::Value,
    report::Salvage,
    scan::{Identity, scan},
    visits::Visits,
};
use crate::{
    domain::{CustomerId, Epoch, Event, Lane, Stamp},
    showroom::{CloudCommand, Command},
    store::{
        error::DbError,
        ledger::Ledger,
        mark::Mark,
        open::keep_meta,
        projections,
        rows::{self, LogRow, count, log_columns},
        schema,
        seal::{self, Keyring},
        sum::Sum,
    },
};

/// Rows between two commits: they are held in memory until then.
const BATCH: u64 = 20_000;
const PAGE: i64 = 500;
/// Where the origin stands among the columns after the position: its epoch, then its number.
const ORIGIN: usize = 15;

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.as_ref()))
    }
}

impl<'a> Value<'a> {
    fn as_ref(&self) -> ValueRef<'a> {
        match *self {
            Value::Null => ValueRef::Null,
            Value::Int(n) => ValueRef::Integer(n),
            Value::Real(x) => ValueRef::Real(x),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

/// What a rescue is told.
pub(super) struct Orders<'a> {
    pub(super) note: &'a Note,
    pub(super) identity: &'a Identity,
    /// How far the database is known to have been.
    pub(super) mark: Option<Mark>,
    /// Lanes whose events there is room for.
    pub(super) lanes: &'a [Lane],
    pub(super) now: Stamp,
    pub(super) breathe: &'a dyn Fn(),
}

/// The work, and what was found beside the log.
pub(super) struct Rescue<'a> {
    orders: Orders<'a>,
    conn: Connection,
    rows: u64,
    keys: Keys,
    numbers: Numbers,
    visits: Visits,
    erased: Vec<[u8; 16]>,
}

impl<'a> Rescue<'a> {
    /// Begins a new database in `dir`.
    pub(super) fn begin(dir: &Dir, orders: Orders<'a>) -> Result<Self, DbError> {
        let conn = schema::build(&dir.new_database())?;
        Ok(Self {
            orders,
            conn,
            rows: 0,
            keys: Keys::default(),
            numbers: Numbers::default(),
            visits: Visits::default(),
            erased: Vec::new(),
        })
    }

    /// Does all of it; the new database is closed then.
    pub(super) fn run(mut self, images: &Images, dir: &Dir) -> Result<Salvage, DbError> {
        self.conn.execute_batch("BEGIN")?;
        let breathe = self.orders.breathe;
        scan(images, breathe, |find| self.take(find))?;
        self.verify()?;
        let keys = std::mem::take(&mut self.keys);
        for (subject, key) in keys.living() {
            seal::keep(&self.conn, &subject, key)?;
        }
        let Orders { mark, lanes, now, .. } = self.orders;
        let lost = std::mem::take(&mut self.numbers).settle(&self.conn, mark, lanes, now.wall)?;
        let kept = rows::count_lanes(&self.conn)?;
        let identity = self.orders.identity;
        if let Some(site) = &identity.site {
            keep_meta(&self.conn, "site", site)?;
        }
        if let Some(namespace) = identity.visit_namespace {
            keep_meta(&self.conn, "visit_namespace", namespace)?;
        }
        projections::rebuild(&self.conn)?;
        keep_meta(&self.conn, "projections", projections::VERSION)?;
        std::mem::take(&mut self.visits).reopen(&self.conn)?;
        let Note { cause, copy, .. } = self.orders.note;
        let (cause, at, copy) = (cause.clone(), self.orders.now.wall, dir.path(copy));
        let salvage = Salvage { at, cause, epoch: self.epoch(), kept, lost, copy };
        salvage.write(&self.conn)?;
        self.forget_again()?;
        self.conn.execute_batch("COMMIT")?;
        self.conn.close().map_err(|(_, cause)| cause)?;
        Ok(salvage)
    }

    fn epoch(&self) -> Option<Epoch> {
        self.orders.identity.epoch.or(self.orders.mark.map(|mark| mark.epoch))
    }

    fn take(&mut self, find: Find<'_>) -> Result<(), DbError> {
        match find {
            Find::Event { pos, columns, .. } => self.take_event(pos, columns)?,
            Find::Settled { slot, pos, columns, sum } => self.take_settled(slot, pos, columns, sum)?,
            Find::Key { subject, key } => self.keys.found(subject, key),
            Find::Head { lane, head } => self.numbers.head(lane, head),
            Find::Pos(pos) => self.numbers.pos(pos),
            Find::Request(columns) => {
                let sql =
                    "INSERT OR IGNORE INTO request (source, id, pos, code, message, at_us, boot, mono_ns, quality)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
                self.insert(sql, &columns)?;
            }
            Find::Gap(columns) => self.numbers.gap(&columns),
            Find::OpenVisit(columns) => self.visits.found(&columns),
            Find::Erased(customer) => self.erased.push(customer),
            Find::Meta { .. } => {}
        }
        Ok(())
    }

    /// A row of the log goes in as it stands, but with its origin, and a checksum over that.
    fn take_event(&mut self, pos: i64, columns: Vec<Value<'_>>) -> Result<(), DbError> {
        let lane = columns[0].int().and_then(|lane| Lane::ALL.get(usize::try_from(lane).ok()?).copied());
        if !lane.is_some_and(|lane| self.orders.lanes.contains(&lane)) {
            return Ok(());
        }
        let epoch = self.epoch().map(|epoch| epoch.0.into_bytes());
        let mut columns: Vec<Value<'_>> = columns;
        if let Some(epoch) = epoch.as_ref().filter(|_| columns[ORIGIN] == Value::Null) {
            (columns[ORIGIN], columns[ORIGIN + 1]) = (Value::Blob(epoch), columns[1]);
        }
        columns.insert(0, Value::Int(pos));
        let mut sum = Sum::default();
        for column in &columns {
            sum.column(column.as_ref());
        }
        columns.push(Value::Int(sum.value()));
        debug_assert_eq!(columns.len(), LOG_COLUMNS + 1);
        let sql = concat!(
            "INSERT OR IGNORE INTO log (",
            log_columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
        );
        self.insert(sql, &columns)
    }

    /// What settled goes in as it stands; it is sent to nobody, and needs no origin.
    fn take_settled<'b>(
        &mut self,
        slot: &'b str,
        pos: i64,
        columns: Vec<Value<'b>>,
        sum: Option<i64>,
    ) -> Result<(), DbError> {
        let sum = sum.map_or(Value::Null, Value::Int);
        let columns: Vec<_> = [Value::Text(slot), Value::Int(pos)].into_iter().chain(columns).chain([sum]).collect();
        let sql = concat!(
            "INSERT OR IGNORE INTO settled (slot, ",
            log_columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)"
        );
        self.insert(sql, &columns)
    }

    fn insert(&mut self, sql: &str, columns: &[Value<'_>]) -> Result<(), DbError> {
        match self.conn.prepare_cached(sql)?.execute(params_from_iter(columns)) {
            // A row of a shape that the tables do not take is none of ours.
            Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => return Ok(()),
            done => done?,
        };
        self.rows += 1;
        if self.rows.is_multiple_of(BATCH) {
            self.conn.execute_batch("COMMIT; BEGIN")?;
        }
        Ok(())
    }

    /// Reads back what went in, in its order: what is not understood goes again.
    fn verify(&mut self) -> Result<(), DbError> {
        let mut after = 0;
        loop {
            (self.orders.breathe)();
            let page: Vec<LogRow> = self
                .conn
                .prepare_cached(projections::PLAYED_AFTER)?
                .query_map([after, PAGE], LogRow::read)?
                .collect::<Result<_, _>>()?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                after = row.pos();
                if let Some(part) = row.sealed_part() {
                    self.keys.sealed(count(after), &part);
                }
                match row.into_event(&mut Keyring::new(&self.conn)) {
                    Ok(event) => self.follow(&event),
                    Err(DbError::Sql(cause)) => return Err(cause.into()),
                    Err(_) => {
                        self.conn.execute("DELETE FROM log WHERE pos = ?1", [after])?;
                        self.conn.execute("DELETE FROM settled WHERE pos = ?1", [after])?;
                    }
                }
            }
        }
    }

    fn follow(&mut self, event: &Event) {
        self.keys.event(event);
        self.visits.event(event);
    }

    /// Customers who were erased by an event that is lost are erased by a new one: else what was said before it would make
    /// them known again.
    fn forget_again(&mut self) -> Result<(), DbError> {
        let mut missing = Vec::new();
        for customer in std::mem::take(&mut self.erased) {
            let sql = "SELECT EXISTS (SELECT 1 FROM erased WHERE customer = ?1)";
            if !self.conn.query_row(sql, [customer], |row| row.get::<_, bool>(0))? {
                missing.push(CustomerId(uuid::Uuid::from_bytes(customer)));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let conn = std::mem::replace(&mut self.conn, Connection::open_in_memory()?);
        let mut ledger = Ledger::open(conn, Epoch(uuid::Uuid::nil()))?;
        for customer in missing {
            ledger.submit(None, &Command::Cloud(CloudCommand::CustomerErase(customer)), &self.orders.now)?;
        }
        ledger.keep_heads()?;
        self.conn = ledger.conn;
        Ok(())
    }
}
