//! What the collector did and how far it is, for Prometheus and for the line on a terminal.
//!
//! No metric has a label that grows with the number of boxes: totals by lane, and the one that is worst.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{board::Lag, ledger::Stored};
use crate::{
    domain::{Lane, SiteId},
    tls::ClientTls,
};

macro_rules! tallies {
    ($($variant:ident = $text:literal $kind:literal, $help:literal;)+) => {
        /// A number that is kept.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Tally { $(#[doc = $help] $variant,)+ }

        impl Tally {
            const ALL: &[(Self, &str, &str, &str)] = &[$((Self::$variant, $text, $kind, $help),)+];
        }
    };
}

tallies! {
    Events = "showfloor_collect_events_total" "counter", "Events stored.";
    Doubles = "showfloor_collect_doubles_total" "counter", "Events that were there already and were not stored again.";
    Gaps = "showfloor_collect_gaps_total" "counter", "Gaps stored.";
    Erased = "showfloor_collect_erased_total" "counter", "Customers erased.";
    Batches = "showfloor_collect_batches_total" "counter", "Batches received.";
    Bytes = "showfloor_collect_bytes_total" "counter", "Bytes of batches received, as they came.";
    Empty = "showfloor_collect_empty_total" "counter", "Batches without a line: a question was held until its time was over.";
    Asked = "showfloor_collect_pulls_total" "counter", "Questions sent.";
    Acknowledged = "showfloor_collect_acks_total" "counter", "Acknowledgements sent.";
    Refused = "showfloor_collect_refused_total" "counter", "Questions and acknowledgements that boxes refused.";
    Unwanted = "showfloor_collect_unwanted_total" "counter", "Batches that nobody waited for: late or repeated.";
    Broken = "showfloor_collect_broken_total" "counter", "Answers that were not as they should be.";
    Dropped = "showfloor_collect_dropped_total" "counter", "Answers for which there was no room; they are asked for again.";
    DatabaseErrors = "showfloor_collect_database_errors_total" "counter", "Transactions that failed and were tried again.";
    Connections = "showfloor_collect_connections_total" "counter", "Connections to the broker.";
    Connected = "showfloor_collect_connected" "gauge", "1 while the broker is connected.";
    SitesListed = "showfloor_collect_sites_listed" "gauge", "Sites that this collector was told of.";
    SitesHeld = "showfloor_collect_sites_held" "gauge", "Sites that this collector works on.";
    Collectors = "showfloor_collect_collectors" "gauge", "Collectors that share the sites, this one included.";
    Orphans = "showfloor_collect_sites_orphaned" "gauge", "Sites that no living collector is known to hold.";
}

#[derive(Default)]
struct Inner {
    numbers: [AtomicU64; Tally::ALL.len()],
    lag: Mutex<Lag>,
    secured: Vec<(&'static str, ClientTls)>,
}

/// A handle to all numbers of one collector; clones share them.
#[derive(Clone, Default)]
pub struct Tallies(Arc<Inner>);

impl Tallies {
    /// Also of the certificates of these connections.
    pub(super) fn with(secured: Vec<(&'static str, ClientTls)>) -> Self {
        Self(Arc::new(Inner { secured, ..Inner::default() }))
    }

    pub(super) fn add(&self, tally: Tally, n: u64) {
        self.0.numbers[tally as usize].fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set(&self, tally: Tally, value: usize) {
        self.0.numbers[tally as usize].store(value as u64, Ordering::Relaxed);
    }

    pub(super) fn stored(&self, stored: Stored) {
        let Stored { new, doubles, gaps, erased } = stored;
        for (tally, n) in
            [(Tally::Events, new), (Tally::Doubles, doubles), (Tally::Gaps, gaps), (Tally::Erased, erased)]
        {
            self.add(tally, n);
        }
    }

    pub(super) fn lag(&self, lag: Lag) {
        *self.0.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }

    /// What a number stands at.
    #[must_use]
    pub fn get(&self, tally: Tally) -> u64 {
        self.0.numbers[tally as usize].load(Ordering::Relaxed)
    }

    /// Events that the boxes are known to have and the database has not.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.0.lag.lock().unwrap_or_else(PoisonError::into_inner).events.iter().sum()
    }

    /// The box that is behind most, and by how many events.
    #[must_use]
    pub fn worst(&self) -> Option<(SiteId, u64)> {
        self.0.lag.lock().unwrap_or_else(PoisonError::into_inner).worst.clone()
    }

    /// Boxes that do not answer, or answer wrongly.
    #[must_use]
    pub fn failing(&self) -> u64 {
        self.0.lag.lock().unwrap_or_else(PoisonError::into_inner).sites_failing
    }

    /// All numbers in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(4 * 1024);
        // Writing to a String cannot fail.
        for (tally, name, kind, help) in Tally::ALL {
            let value = self.get(*tally);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        let lag = self.0.lag.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = "showfloor_collect_behind_events";
        let _ = writeln!(out, "# HELP {name} Events that boxes are known to have and the database has not.");
        let _ = writeln!(out, "# TYPE {name} gauge");
        for (lane, events) in Lane::ALL.into_iter().zip(lag.events) {
            let _ = writeln!(out, "{name}{{lane=\"{}\"}} {events}", lane.as_str());
        }
        for (name, help, value) in [
            ("showfloor_collect_sites_behind", "Sites that are behind.", lag.sites_behind),
            ("showfloor_collect_sites_failing", "Sites that do not answer, or answer wrongly.", lag.sites_failing),
        ] {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        let name = "showfloor_collect_worst_behind_events";
        let _ = writeln!(out, "# HELP {name} By how many events the site is behind that is behind most.");
        let _ = writeln!(out, "# TYPE {name} gauge");
        if let Some((site, events)) = lag.worst {
            let _ = writeln!(out, "{name}{{site=\"{site}\"}} {events}");
        }
        // As of the daemon: nothing where there is no certificate of ours.
        for (what, days) in self.0.secured.iter().filter_map(|(what, tls)| Some((what, tls.days_left()?))) {
            let name = format!("showfloor_collect_{what}_certificate_days");
            let _ = writeln!(out, "# HELP {name} Days until our certificate at the {what} ends.");
            let _ = writeln!(out, "# TYPE {name} gauge\n{name} {days}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_the_worst_are_told() {
        let tallies = Tallies::default();
        tallies.stored(Stored { new: 3, doubles: 1, gaps: 0, erased: 0 });
        let worst = Some(("hel-01".parse().expect("id"), 7));
        tallies.lag(Lag { events: [0, 2, 5], sites_behind: 1, sites_failing: 0, worst });
        let text = tallies.render();
        for line in [
            "showfloor_collect_events_total 3",
            "showfloor_collect_behind_events{lane=\"trace\"} 5",
            "showfloor_collect_sites_behind 1",
            "showfloor_collect_worst_behind_events{site=\"hel-01\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
        assert_eq!(tallies.behind(), 7);
    }
}
