//! Batches into PostgreSQL: one transaction for as many as wait, in three steps that each go in one packet. A connection
//! that broke is made anew; whether the transaction it was in was committed is then read off the cursors.
//!
//! The row of a box in `lease` is locked in each transaction that stores something of it, so that a box that is given to
//! another collector is written to by one of them at a time, and the one that lost it stores nothing more.

use std::collections::HashMap;

use futures_util::try_join;
use tokio_postgres::{Error, Row, Statement};
use uuid::Uuid;

use super::{
    address::Address,
    link::{Link, explain, is_about_data},
    rows::{Boots, Cursors, DATE_ANEW, Events, Gaps, INSERT_EVENTS, INSERT_GAPS, LEARN_BOOTS, PUT_CURSORS, number},
};
use crate::{
    collect::{
        error::CollectError,
        flow::Cursor,
        ledger::{Stored, Verdict},
        row::Item,
        verify::Batch,
    },
    domain::{ConsumerId, Epoch, Lane, SiteId},
};

/// Connections that write side by side.
pub(in crate::collect) const WRITERS: usize = 4;

const HELD: &str = "SELECT site FROM showfloor.lease WHERE consumer = $1 AND holder = $2 AND site = ANY($3)
    ORDER BY site FOR NO KEY UPDATE";
const CURSORS: &str = "SELECT site, lane, epoch, after FROM showfloor.cursor WHERE site = ANY($1)";
const FORGET: &str = "UPDATE showfloor.event SET personal = NULL
    WHERE site = $1 AND customer = $2 AND personal IS NOT NULL AND NOT (epoch = $3 AND pos > $4)";
const REMEMBER: &str = "INSERT INTO showfloor.erased (site, customer, epoch, pos) VALUES ($1, $2, $3, $4)
    ON CONFLICT (site, customer) DO UPDATE SET epoch = excluded.epoch, pos = excluded.pos";

/// A connection that writes.
pub(in crate::collect) struct Postgres {
    address: Address,
    consumer: ConsumerId,
    me: Uuid,
    open: Option<Open>,
}

struct Open {
    link: Link,
    held: Statement,
    cursors: Statement,
    insert_events: Statement,
    insert_gaps: Statement,
    learn_boots: Statement,
    date_anew: Statement,
    put_cursors: Statement,
}

type Known = HashMap<(String, &'static str), Cursor>;

impl Postgres {
    /// Connects.
    ///
    /// # Errors
    /// When the server cannot be used.
    pub(in crate::collect) async fn open(
        address: &Address,
        consumer: &ConsumerId,
        me: Uuid,
    ) -> Result<Self, CollectError> {
        let mut postgres = Self { address: address.clone(), consumer: consumer.clone(), me, open: None };
        postgres.connected().await?;
        Ok(postgres)
    }

    /// Where the lanes of some boxes end here.
    ///
    /// # Errors
    /// When the server cannot be used.
    pub(in crate::collect) async fn cursors(&mut self, sites: &[SiteId]) -> Result<Vec<[Cursor; 3]>, CollectError> {
        let names: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
        let open = self.connected().await?;
        let rows = open.link.client.query(&open.cursors, &[&names]).await;
        let known = known(&self.checked("reading cursors", rows)?);
        let of = |site: &SiteId, lane: Lane| known.get(&(site.to_string(), lane.as_str())).copied().unwrap_or_default();
        Ok(sites.iter().map(|site| Lane::ALL.map(|lane| of(site, lane))).collect())
    }

    /// The box has another database now: its lane begins anew.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(in crate::collect) async fn begin_epoch(
        &mut self,
        site: &SiteId,
        lane: Lane,
        epoch: Epoch,
    ) -> Result<(), CollectError> {
        let mut cursor = Cursors::default();
        cursor.add(site.as_str(), lane.as_str(), epoch, 0);
        let open = self.connected().await?;
        let done = open.link.client.execute(&open.put_cursors, &cursor.parameters()).await;
        self.checked("beginning an epoch", done).map(drop)
    }

    /// Stores batches and moves the cursors; on disk when it returns.
    ///
    /// # Errors
    /// When the server cannot be used; then nothing of them is stored, or all of them are and the same call says so later.
    pub(in crate::collect) async fn store(&mut self, batches: &[Batch]) -> Result<Vec<Verdict>, CollectError> {
        let all: Vec<&Batch> = batches.iter().collect();
        match self.try_store(&all).await? {
            Ok(verdicts) => Ok(verdicts),
            Err(_) if batches.len() > 1 => {
                // One of them is not fit to be stored; the others are not to suffer.
                let mut verdicts = Vec::new();
                for batch in batches {
                    let verdict = self.try_store(&[batch]).await?;
                    verdicts.push(verdict.map_or_else(Verdict::Unfit, |mut one| one.swap_remove(0)));
                }
                Ok(verdicts)
            }
            Err(unfit) => Ok(vec![Verdict::Unfit(unfit)]),
        }
    }

    /// The inner error is about the data.
    async fn try_store(&mut self, batches: &[&Batch]) -> Result<Result<Vec<Verdict>, String>, CollectError> {
        let (consumer, me) = (self.consumer.clone(), self.me);
        let open = self.connected().await?;
        let outcome = open.transact(consumer.as_str(), me, batches).await;
        if let Err(error) = &outcome
            && is_about_data(error)
        {
            let rolled_back = open.link.client.batch_execute("ROLLBACK").await;
            let unfit = explain(&self.address, "storing a batch", error);
            self.checked("rolling back", rolled_back)?;
            return Ok(Err(std::error::Error::source(&unfit).map(ToString::to_string).unwrap_or_default()));
        }
        self.checked("storing a batch", outcome).map(Ok)
    }

    async fn connected(&mut self) -> Result<&Open, CollectError> {
        let closed = self.open.as_ref().is_none_or(|open| open.link.client.is_closed());
        if closed {
            let link = Link::open(&self.address).await?;
            let open = Open::prepare(link).await.map_err(|error| explain(&self.address, "preparing", &error))?;
            self.open = Some(open);
        }
        match &self.open {
            Some(open) => Ok(open),
            // It was put there above.
            None => Err(CollectError::Writer("no connection to PostgreSQL".into())),
        }
    }

    /// After any error the connection may be in the middle of a transaction: it is not used again.
    fn checked<T>(&mut self, doing: &'static str, outcome: Result<T, Error>) -> Result<T, CollectError> {
        outcome.map_err(|error| {
            self.open = None;
            explain(&self.address, doing, &error)
        })
    }
}

impl Open {
    async fn prepare(link: Link) -> Result<Self, Error> {
        let c = &link.client;
        let (held, cursors, insert_events, insert_gaps, learn_boots, date_anew, put_cursors) = try_join!(
            c.prepare(HELD),
            c.prepare(CURSORS),
            c.prepare(INSERT_EVENTS),
            c.prepare(INSERT_GAPS),
            c.prepare(LEARN_BOOTS),
            c.prepare(DATE_ANEW),
            c.prepare(PUT_CURSORS)
        )?;
        Ok(Self { link, held, cursors, insert_events, insert_gaps, learn_boots, date_anew, put_cursors })
    }

    async fn transact(&self, consumer: &str, me: Uuid, batches: &[&Batch]) -> Result<Vec<Verdict>, Error> {
        let client = &self.link.client;
        let mut names: Vec<&str> = batches.iter().map(|batch| batch.header.site.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        // Sent in this order, without waiting in between.
        let lease: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&consumer, &me, &names];
        let names_only: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&names];
        let ((), held, cursors) = try_join!(
            client.batch_execute("BEGIN"),
            client.query(&self.held, &lease),
            client.query(&self.cursors, &names_only)
        )?;
        let held: Vec<String> = held.iter().map(|row| row.get(0)).collect();
        let (mut verdicts, fit) = judge(batches, &held, known(&cursors));
        if fit.is_empty() {
            client.batch_execute("ROLLBACK").await?;
            return Ok(verdicts);
        }
        let rows = self.write(&fit).await?;
        let mut fresh: HashMap<(String, String), (u64, Vec<i64>)> = HashMap::new();
        for row in rows {
            let erased: Option<Vec<i64>> = row.get(3);
            let new = u64::try_from(row.get::<_, i64>(2)).unwrap_or(0);
            fresh.insert((row.get(0), row.get(1)), (new, erased.unwrap_or_default()));
        }
        for batch in &fit {
            let key = (batch.header.site.to_string(), batch.header.lane.as_str().to_owned());
            if let Some((_, erased)) = fresh.get(&key).filter(|(_, erased)| !erased.is_empty()) {
                self.forget(batch, erased).await?;
            }
        }
        client.batch_execute("COMMIT").await?;
        count(&mut verdicts, batches, fresh);
        Ok(verdicts)
    }

    /// All that a transaction writes but erasures. Returns new events and erasures by lane.
    async fn write(&self, fit: &[&Batch]) -> Result<Vec<Row>, Error> {
        let client = &self.link.client;
        let (mut events, mut gaps, mut boots) = (Events::default(), Gaps::default(), Boots::default());
        let mut ends: HashMap<_, &Batch> = HashMap::new();
        for batch in fit {
            events.add(batch);
            gaps.add(batch);
            boots.add(batch);
            ends.insert((batch.header.site.as_str(), batch.header.lane.as_str()), batch);
        }
        let mut cursors = Cursors::default();
        for ((site, lane), batch) in ends {
            cursors.add(site, lane, batch.header.epoch, batch.header.upto);
        }
        let (gaps, boots) = (Some(gaps).filter(|gaps| !gaps.is_empty()), Some(boots).filter(|boots| !boots.is_empty()));
        let learn = async {
            match &boots {
                Some(boots) => client.execute(&self.learn_boots, &boots.parameters()).await,
                None => Ok(0),
            }
        };
        let insert_gaps = async {
            match &gaps {
                Some(gaps) => client.execute(&self.insert_gaps, &gaps.parameters()).await,
                None => Ok(0),
            }
        };
        let date_anew = async {
            match &boots {
                Some(boots) => client.execute(&self.date_anew, &boots.names()).await,
                None => Ok(0),
            }
        };
        let (event_parameters, cursor_parameters) = (events.parameters(), cursors.parameters());
        // In this order: what is known of clocks dates the events that follow.
        let (_, rows, _, _, _) = try_join!(
            learn,
            client.query(&self.insert_events, &event_parameters),
            insert_gaps,
            date_anew,
            client.execute(&self.put_cursors, &cursor_parameters)
        )?;
        Ok(rows)
    }

    /// Forgets what was said of customers before the events of these numbers.
    async fn forget(&self, batch: &Batch, erased: &[i64]) -> Result<(), Error> {
        for item in &batch.items {
            if let Item::Event(event) = item
                && erased.contains(&number(event.seq))
                && let Some(customer) = event.customer
            {
                let (site, epoch, pos) = (batch.header.site.as_str(), batch.header.epoch.0, number(event.pos));
                let client = &self.link.client;
                client.execute(FORGET, &[&site, &customer, &epoch, &pos]).await?;
                client.execute(REMEMBER, &[&site, &customer, &epoch, &pos]).await?;
            }
        }
        Ok(())
    }
}

fn known(rows: &[Row]) -> Known {
    let read = |row: &Row| {
        let lane = Lane::from_name(row.get(1))?;
        let after = u64::try_from(row.get::<_, i64>(3)).ok()?;
        Some(((row.get(0), lane.as_str()), Cursor { epoch: Some(Epoch(row.get(2))), after }))
    };
    rows.iter().filter_map(read).collect()
}

/// What is to become of each batch, and those that are to be written.
fn judge<'a>(batches: &[&'a Batch], held: &[String], mut known: Known) -> (Vec<Verdict>, Vec<&'a Batch>) {
    let mut fit = Vec::new();
    let mut verdicts = Vec::new();
    for batch in batches {
        let header = &batch.header;
        let cursor = known.entry((header.site.to_string(), header.lane.as_str())).or_default();
        let gaps = batch.items.iter().filter(|item| matches!(item, Item::Gap(_))).count() as u64;
        let all_double = Stored { doubles: batch.items.len() as u64 - gaps, gaps, ..Stored::default() };
        verdicts.push(if cursor.epoch == Some(header.epoch) && cursor.after >= header.upto {
            Verdict::Stored(all_double)
        } else if !held.iter().any(|site| site == header.site.as_str()) {
            Verdict::NotHeld
        } else if cursor.after != header.after || cursor.epoch.is_some_and(|epoch| epoch != header.epoch) {
            Verdict::Elsewhere(*cursor)
        } else {
            *cursor = Cursor { epoch: Some(header.epoch), after: header.upto };
            fit.push(*batch);
            Verdict::Stored(all_double)
        });
    }
    (verdicts, fit)
}

/// Moves what was new from `doubles` to `new`; of two batches of one lane, to the first that has so many.
fn count(verdicts: &mut [Verdict], batches: &[&Batch], mut fresh: HashMap<(String, String), (u64, Vec<i64>)>) {
    for (verdict, batch) in verdicts.iter_mut().zip(batches) {
        let key = (batch.header.site.to_string(), batch.header.lane.as_str().to_owned());
        if let (Verdict::Stored(stored), Some((new, erased))) = (verdict, fresh.get_mut(&key)) {
            let mine = stored.doubles.min(*new);
            (stored.new, stored.doubles, *new) = (mine, stored.doubles - mine, *new - mine);
            stored.erased = std::mem::take(erased).len() as u64;
        }
    }
}
