//! Which boxes are this collector's, while several share those of one consumer.
//!
//! Each collector writes a heartbeat every [`BEAT`], on the server's clock. A box is held by the collector named in its
//! row as long as that one's heartbeat is younger than [`LEASE`]; then it is free, and the others take it. Whoever could
//! not write its heartbeat for [`GIVE_UP`], by its own clock, holds itself for dead and stops before the others begin.
//! What it may still have on its way to the database finds the row in another's name and is not stored.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_postgres::{Error, types::ToSql};
use uuid::Uuid;

use super::{
    address::Address,
    link::{Link, explain},
    ssl::Ssl,
};
use crate::{
    collect::{
        error::CollectError,
        ledger::Roll,
        options::Options,
        share::{Change, change},
    },
    domain::SiteId,
};

const BEAT: Duration = Duration::from_secs(2);
/// As the statements below have it.
#[cfg(test)]
const LEASE: Duration = Duration::from_secs(8);
const GIVE_UP: Duration = Duration::from_secs(6);

const REGISTER: &str =
    "INSERT INTO showfloor.lease (consumer, site) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING";
const HEARTBEAT: &str = "INSERT INTO showfloor.collector (id, consumer, roster, host, heartbeat)
    VALUES ($1, $2, $3, $4, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET heartbeat = excluded.heartbeat";
const BURY: &str = "DELETE FROM showfloor.collector WHERE heartbeat < clock_timestamp() - interval '1 hour'";
const LIVING: &str = "SELECT count(*) FROM showfloor.collector
    WHERE consumer = $1 AND roster = $2 AND heartbeat > clock_timestamp() - interval '8 s'";
const MINE: &str = "SELECT site FROM showfloor.lease WHERE consumer = $1 AND holder = $2 AND site = ANY($3)";
const TAKE: &str = "UPDATE showfloor.lease SET holder = $2 WHERE consumer = $1 AND site IN (
        SELECT l.site FROM showfloor.lease l
        LEFT JOIN showfloor.collector c ON c.id = l.holder AND c.heartbeat > clock_timestamp() - interval '8 s'
        WHERE l.consumer = $1 AND l.site = ANY($3) AND c.id IS NULL
        LIMIT $4 FOR UPDATE OF l SKIP LOCKED)
    RETURNING site";
const GIVE: &str = "UPDATE showfloor.lease SET holder = NULL WHERE consumer = $1 AND holder = $2 AND site = ANY($3)";
/// Boxes of others that have given no sign of life since this collector came.
const ORPHANS: &str = "SELECT count(*) FROM showfloor.lease l
    LEFT JOIN showfloor.collector me ON me.id = $2
    LEFT JOIN showfloor.collector c ON c.id = l.holder AND c.heartbeat > me.joined
    WHERE l.consumer = $1 AND l.site = ANY($3) AND l.holder IS DISTINCT FROM $2 AND c.id IS NULL";
const LEAVE: &str = "DELETE FROM showfloor.collector WHERE id = $1";

/// The collector's place among the others.
pub(in crate::collect) struct Leases {
    address: Address,
    consumer: String,
    sites: Vec<SiteId>,
    names: Vec<String>,
    roster: String,
    me: Uuid,
    link: Option<Link>,
    held: BTreeSet<SiteId>,
}

impl Leases {
    /// Makes the tables if they are not there, and the rows of the boxes.
    ///
    /// # Errors
    /// When the server cannot be used.
    pub(in crate::collect) async fn open(address: &Address, options: &Options, me: Uuid) -> Result<Self, CollectError> {
        let mut sites = options.sites.clone();
        sites.sort();
        sites.dedup();
        let names: Vec<String> = sites.iter().map(SiteId::to_string).collect();
        let roster = hex::encode(&Sha256::digest(names.join("\n"))[..8]);
        let link = Link::open(address).await?;
        if matches!(address.ssl(), Ssl::Unchecked) {
            tracing::warn!(
                database = %address,
                "sslmode=require without sslrootcert encrypts, but does not check who answers; sslmode=verify-full does"
            );
        }
        link.make_tables(address).await?;
        let consumer = options.consumer.to_string();
        let registered = link.client.execute(REGISTER, &[&consumer, &names]).await;
        registered.map_err(|error| explain(address, "naming the sites", &error))?;
        let (address, link) = (address.clone(), Some(link));
        Ok(Self { address, consumer, sites, names, roster, me, link, held: BTreeSet::new() })
    }

    /// Keeps `roll` right until nobody wants to know any more; then leaves, so that the others need not wait.
    pub(in crate::collect) async fn run(mut self, roll: &watch::Sender<Roll>) {
        let mut alive = Instant::now();
        loop {
            let began = Instant::now();
            let patience = if self.held.is_empty() { GIVE_UP } else { GIVE_UP.saturating_sub(alive.elapsed()) };
            let beat = tokio::select! {
                beat = tokio::time::timeout(patience, self.beat()) => beat,
                () = roll.closed() => break,
            };
            match beat {
                Ok(Ok(new)) => {
                    alive = began;
                    roll.send_if_modified(|old| std::mem::replace(old, new.clone()) != new);
                }
                Ok(Err(error)) => self.failed(&error.to_string()),
                Err(_) => self.failed("the server does not answer"),
            }
            if alive.elapsed() >= GIVE_UP && !self.held.is_empty() {
                tracing::warn!("no sign of life could be written; the sites are left to other collectors until it can");
                self.held.clear();
                roll.send_replace(Roll::default());
            }
            tokio::select! {
                () = tokio::time::sleep(BEAT.saturating_sub(began.elapsed())) => {}
                () = roll.closed() => break,
            }
        }
        self.leave().await;
    }

    fn failed(&mut self, why: &str) {
        tracing::warn!(database = %self.address, why, "no sign of life could be written; trying again");
        self.link = None;
    }

    /// Lives, and sees which boxes are its own.
    async fn beat(&mut self) -> Result<Roll, CollectError> {
        let link = match self.link.take().filter(|link| !link.client.is_closed()) {
            Some(link) => link,
            None => Link::open(&self.address).await?,
        };
        let roll = self.rounds(&link).await.map_err(|error| explain(&self.address, "sharing the sites", &error))?;
        self.link = Some(link);
        self.held.clone_from(&roll.held);
        Ok(roll)
    }

    async fn rounds(&self, link: &Link) -> Result<Roll, Error> {
        let client = &link.client;
        // For people who look into the table.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        client.execute(HEARTBEAT, &[&self.me, &self.consumer, &self.roster, &host.trim()]).await?;
        client.execute(BURY, &[]).await?;
        let living: i64 = client.query_one_scalar(LIVING, &[&self.consumer, &self.roster]).await?;
        let living = usize::try_from(living).unwrap_or(1).max(1);
        let mine: [&(dyn ToSql + Sync); 3] = [&self.consumer, &self.me, &self.names];
        let rows = client.query(MINE, &mine).await?;
        let mut held: BTreeSet<SiteId> = rows.iter().filter_map(|row| row.get::<_, &str>(0).parse().ok()).collect();
        match change(self.sites.len(), living, held.len()) {
            Change::Take(0) => {}
            Change::Take(most) => {
                let most = i64::try_from(most).unwrap_or(i64::MAX);
                let rows = client.query(TAKE, &[&self.consumer, &self.me, &self.names, &most]).await?;
                held.extend(rows.iter().filter_map(|row| row.get::<_, &str>(0).parse().ok()));
            }
            Change::Give(some) => {
                let given: Vec<SiteId> = held.iter().rev().take(some).cloned().collect();
                let names: Vec<&str> = given.iter().map(SiteId::as_str).collect();
                client.execute(GIVE, &[&self.consumer, &self.me, &names]).await?;
                held.retain(|site| !given.contains(site));
            }
        }
        let orphans: i64 = client.query_one_scalar(ORPHANS, &mine).await?;
        Ok(Roll { held, collectors: living, orphans: usize::try_from(orphans).unwrap_or(0) })
    }

    async fn leave(self) {
        let Self { address, link, me, .. } = self;
        // A server that was away since the last beat may be there again.
        let gone = async {
            let link = match link.filter(|link| !link.client.is_closed()) {
                Some(link) => link,
                None => Link::open(&address).await.ok()?,
            };
            link.client.execute(LEAVE, &[&me]).await.ok()
        };
        if !matches!(tokio::time::timeout(BEAT, gone).await, Ok(Some(_))) {
            tracing::debug!("the other collectors will find out by themselves that this one is gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_cut_off_stops_before_others_begin() {
        assert!(GIVE_UP + BEAT <= LEASE);
        for sql in [LIVING, TAKE] {
            assert!(sql.contains(&format!("interval '{} s'", LEASE.as_secs())), "{sql}");
        }
    }
}
