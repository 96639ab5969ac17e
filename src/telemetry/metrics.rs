//! Every metric by name, in one enum each for counters and gauges; one call counts and writes the log line.
//!
//! A problem of a source is counted each time and logged once per source and minute, so that no sender of garbage can
//! fill a disk with log lines.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const LOG_AGAIN_AFTER: Duration = Duration::from_mins(1);
const MAX_SOURCES: usize = 1024;

macro_rules! metrics {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal, $help:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $help] $variant,)+ }

        impl $name {
            const ALL: &[(Self, &str, &str)] = &[$((Self::$variant, $text, $help),)+];
        }
    };
}

metrics! {
    /// What only goes up.
    Count {
        AnchorMessages = "showfloor_anchor_messages_total", "Messages received from anchors.";
        AnchorMessagesBad = "showfloor_anchor_messages_bad_total", "Messages from anchors that could not be read.";
        AnchorUnknown = "showfloor_anchor_unknown_total", "Messages from anchors the site file does not know.";
        Readings = "showfloor_readings_total", "Readings decoded.";
        ReadingsDropped = "showfloor_readings_dropped_total", "Readings dropped because the engine was behind.";
        ReadingsBad = "showfloor_readings_bad_total", "Readings with an absurd level, time or tag.";
        ReadingsUnregistered = "showfloor_readings_unregistered_total", "Readings of tags nobody registered; not kept.";
        Facts = "showfloor_facts_total", "Facts found by the presence engine.";
        Commits = "showfloor_store_commits_total", "Transactions committed.";
        Events = "showfloor_store_events_total", "Events written to the log.";
        CommandsRefused = "showfloor_commands_refused_total", "Commands refused.";
        StoreErrors = "showfloor_store_errors_total", "Transactions that failed.";
        EventsRetired = "showfloor_store_events_retired_total", "Events gone because every consumer has them and they were kept long enough.";
        EventsShed = "showfloor_store_events_shed_total", "Events shed to make room; each is inside a gap.";
        FactsLost = "showfloor_store_facts_lost_total", "Facts given up because the disk failed for too long.";
        ClientsAccepted = "showfloor_ws_clients_total", "WebSocket clients accepted.";
        ClientsRefused = "showfloor_ws_clients_refused_total", "WebSocket clients refused for a missing or bad token.";
        ClientMessages = "showfloor_ws_messages_total", "Messages from WebSocket clients.";
        ClientMessagesBad = "showfloor_ws_messages_bad_total", "Messages from WebSocket clients that could not be taken.";
        ClientsRateLimited = "showfloor_ws_rate_limited_total", "WebSocket clients blocked for sending too much.";
        ClientsDropped = "showfloor_ws_clients_dropped_total", "WebSocket clients closed because they did not read.";
        HttpRefused = "showfloor_http_refused_total", "HTTP requests answered with an error.";
        Pulls = "showfloor_uplink_pulls_total", "Pulls answered.";
        PullsRefused = "showfloor_uplink_pulls_refused_total", "Pulls and acknowledgements refused.";
        UplinkMessagesBad = "showfloor_uplink_messages_bad_total", "Messages from the cloud that could not be read.";
        CloudCommands = "showfloor_uplink_commands_total", "Commands from the cloud.";
        UnitRestarts = "showfloor_unit_restarts_total", "Parts restarted after a failure.";
    }
}

metrics! {
    /// What goes up and down.
    Gauge {
        Clients = "showfloor_ws_clients", "WebSocket clients connected.";
        OpenVisits = "showfloor_open_visits", "Visits that are open.";
        LogPos = "showfloor_store_pos", "Position of the newest event.";
        SalvagedEvents = "showfloor_store_salvaged_events", "Events that live on from the newest damaged database.";
        LostEvents = "showfloor_store_lost_events", "Events that were lost with the newest damaged database.";
        StoreBytes = "showfloor_store_bytes", "Bytes of the database file.";
        StoreLimit = "showfloor_store_limit_bytes", "Bytes that the store may take.";
        StoreDaysLeft = "showfloor_store_days_left", "Days until something unacknowledged would have to be shed; -1 while not known.";
        StoreShedding = "showfloor_store_shedding", "1 while old events are shed to make room.";
        StoreFailing = "showfloor_store_failing", "1 while the disk takes nothing.";
        FactsWaiting = "showfloor_store_facts_waiting", "Facts that wait for a disk that fails.";
        UplinkConnected = "showfloor_uplink_connected", "1 while the uplink's broker is connected.";
        ClockSynced = "showfloor_clock_synced", "1 while the wall clock is believed.";
        AnchorsConnected = "showfloor_anchors_connected", "1 while the anchors' broker is connected.";
        UplinkCertificateDays = "showfloor_uplink_certificate_days", "Days until our certificate at the uplink's broker ends.";
        AnchorsCertificateDays = "showfloor_anchors_certificate_days", "Days until our certificate at the anchors' broker ends.";
    }
}

/// Gauges that say nothing until they are set: 0 would be an alarm.
const SILENT_UNTIL_SET: [Gauge; 2] = [Gauge::UplinkCertificateDays, Gauge::AnchorsCertificateDays];
const UNSET: i64 = i64::MIN;

struct Inner {
    counts: [AtomicU64; Count::ALL.len()],
    gauges: [AtomicI64; Gauge::ALL.len()],
    logged: Mutex<HashMap<(Count, String), Instant>>,
}

impl Default for Inner {
    fn default() -> Self {
        let start = |(gauge, ..): &(Gauge, _, _)| if SILENT_UNTIL_SET.contains(gauge) { UNSET } else { 0 };
        Self {
            counts: Default::default(),
            gauges: std::array::from_fn(|n| AtomicI64::new(start(&Gauge::ALL[n]))),
            logged: Mutex::default(),
        }
    }
}

/// A handle to all metrics of one daemon; clones share them.
#[derive(Clone, Default)]
pub struct Telemetry(Arc<Inner>);

impl Telemetry {
    /// Adds one.
    pub fn count(&self, count: Count) {
        self.add(count, 1);
    }

    /// Adds `n`.
    pub fn add(&self, count: Count, n: u64) {
        self.0.counts[count as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// What a counter stands at.
    #[must_use]
    pub fn get(&self, count: Count) -> u64 {
        self.0.counts[count as usize].load(Ordering::Relaxed)
    }

    /// Sets a gauge.
    pub fn set(&self, gauge: Gauge, value: i64) {
        self.0.gauges[gauge as usize].store(value, Ordering::Relaxed);
    }

    /// What a gauge stands at.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.0.gauges[gauge as usize].load(Ordering::Relaxed)
    }

    /// Moves a gauge by `delta`.
    pub fn shift(&self, gauge: Gauge, delta: i64) {
        self.0.gauges[gauge as usize].fetch_add(delta, Ordering::Relaxed);
    }

    /// Counts a problem that `source` caused, and says so in the log unless it did within the last minute.
    /// `problem` must hold nothing personal and no secret.
    pub fn problem(&self, count: Count, source: &str, problem: &dyn fmt::Display) {
        self.count(count);
        if self.is_news(count, source) {
            tracing::warn!(source, "{problem}");
        }
    }

    fn is_news(&self, count: Count, source: &str) -> bool {
        let now = Instant::now();
        let mut logged = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() >= MAX_SOURCES {
            logged.retain(|_, at| now.duration_since(*at) < LOG_AGAIN_AFTER);
        }
        let key = (count, source.chars().take(64).collect());
        let known = logged.get(&key).is_some_and(|at| now.duration_since(*at) < LOG_AGAIN_AFTER);
        if known || logged.len() >= MAX_SOURCES {
            return false;
        }
        logged.insert(key, now);
        true
    }

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(8 * 1024);
        for (count, name, help) in Count::ALL {
            let value = self.get(*count);
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        for (gauge, name, help) in Gauge::ALL {
            let value = self.gauge(*gauge);
            if value != UNSET {
                let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_counted_each_time_and_is_news_once_a_minute() {
        let telemetry = Telemetry::default();
        assert!(telemetry.is_news(Count::ReadingsBad, "north-door"));
        assert!(!telemetry.is_news(Count::ReadingsBad, "north-door"));
        assert!(telemetry.is_news(Count::ReadingsBad, "south-door"));
        telemetry.problem(Count::ReadingsBad, "north-door", &"rssi of 300 dBm");
        telemetry.problem(Count::ReadingsBad, "north-door", &"rssi of 300 dBm");
        assert!(telemetry.render().contains("\nshowfloor_readings_bad_total 2\n"));
    }

    #[test]
    fn days_of_a_certificate_that_is_not_there_are_not_told() {
        let telemetry = Telemetry::default();
        assert!(!telemetry.render().contains("certificate_days"));
        telemetry.set(Gauge::UplinkCertificateDays, 0);
        assert!(telemetry.render().contains("\nshowfloor_uplink_certificate_days 0\n"));
        assert!(!telemetry.render().contains("anchors_certificate_days"));
    }
}
