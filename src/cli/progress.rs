//! One line at the foot of a terminal that says how far a collector is. Log lines go above it.

use std::{
    io,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::collect::{Tallies, Tally};

const EVERY: Duration = Duration::from_millis(250);

/// The line.
#[derive(Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// On standard error.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        // The template is right; if a newer library does not think so, its own will do.
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Takes the line away while `write` writes.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.suspend(write)
    }

    /// Shows how far the collector is until `over`.
    pub(super) async fn follow(&self, tallies: &Tallies, over: &CancellationToken) {
        let (mut known, mut at, mut rate) = (0, Instant::now(), 0.0);
        loop {
            let events = tallies.get(Tally::Events);
            let seconds = at.elapsed().as_secs_f64().max(1e-3);
            // A mean of the last two seconds or so.
            rate += ((events - known) as f64 / seconds - rate) * (seconds / 2.0).min(1.0);
            (known, at) = (events, Instant::now());
            self.0.set_length(events + tallies.behind());
            self.0.set_position(events);
            self.0.set_message(message(tallies, events, rate));
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = over.cancelled() => break,
            }
        }
        self.0.set_message(message(tallies, tallies.get(Tally::Events), rate));
        self.0.abandon();
    }
}

fn message(tallies: &Tallies, events: u64, rate: f64) -> String {
    let sites = format!("{} of {} sites", tallies.get(Tally::SitesHeld), tallies.get(Tally::SitesListed));
    let behind = match (tallies.behind(), tallies.worst()) {
        (behind, Some((worst, its))) => format!("{behind} behind (most: {worst}, {its})"),
        _ => "at the head".to_owned(),
    };
    let connected = if tallies.get(Tally::Connected) == 1 { "" } else { ", no broker" };
    format!("{events} events, {rate:.0}/s, {behind}, {sites}{connected}")
}
