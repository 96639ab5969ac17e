//! One line at the foot of a terminal that says how far a collector is. Log lines go above it. What a narrow terminal has no
//! room for is cut off, so the most important comes first.

use std::{
    io,
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
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
        if let Ok(style) = ProgressStyle::with_template("{bar:20} {percent:>3} %  {wide_msg}") {
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
            self.show(tallies, rate);
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = over.cancelled() => break,
            }
        }
        self.show(tallies, rate);
        self.0.abandon();
    }

    fn show(&self, tallies: &Tallies, rate: f64) {
        let events = tallies.get(Tally::Events);
        // Nothing of nothing is not yet all.
        self.0.set_length((events + tallies.behind()).max(1));
        self.0.set_position(events);
        self.0.set_message(message(tallies, events, rate));
    }
}

fn message(tallies: &Tallies, events: u64, rate: f64) -> String {
    let mut parts = Vec::new();
    if tallies.get(Tally::Connected) == 0 {
        parts.push("no broker".to_owned());
    }
    parts.push(format!("{} events, {rate:.0}/s", HumanCount(events)));
    parts.push(match (tallies.behind(), tallies.worst()) {
        (behind, Some((worst, its))) => format!("{} behind (most: {worst}, {})", HumanCount(behind), HumanCount(its)),
        _ => "at the head".to_owned(),
    });
    parts.push(format!("{} of {} sites", tallies.get(Tally::SitesHeld), tallies.get(Tally::SitesListed)));
    match tallies.failing() {
        0 => {}
        sites => parts.push(format!("{sites} without a good answer")),
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_first_what_matters_most() {
        assert_eq!(message(&Tallies::default(), 1_234, 5.4), "no broker, 1,234 events, 5/s, at the head, 0 of 0 sites");
    }
}
