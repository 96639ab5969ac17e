//! What systemd's watchdog is fed with: progress of the parts that must never stand still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The life of one part: a counter that goes up while it gets on.
pub struct Pulse {
    name: &'static str,
    counter: Arc<AtomicU64>,
    nudge: Box<dyn Fn() + Send + Sync>,
}

impl Pulse {
    /// Of a part that gets on by itself.
    #[must_use]
    pub fn new(name: &'static str, counter: Arc<AtomicU64>) -> Self {
        Self { name, counter, nudge: Box::new(|| {}) }
    }

    /// Of a part that rests when nobody asks anything of it: `nudge` gives it a little to do.
    #[must_use]
    pub fn nudged(name: &'static str, counter: Arc<AtomicU64>, nudge: impl Fn() + Send + Sync + 'static) -> Self {
        Self { name, counter, nudge: Box::new(nudge) }
    }
}

/// Compares the pulses with what they were.
pub(super) struct Watchdog {
    pulses: Vec<(Pulse, u64)>,
}

impl Watchdog {
    pub(super) fn new(pulses: Vec<Pulse>) -> Self {
        let pulses: Vec<_> = pulses
            .into_iter()
            .map(|pulse| {
                let now = pulse.counter.load(Ordering::Relaxed);
                (pulse, now)
            })
            .collect();
        for (pulse, _) in &pulses {
            (pulse.nudge)();
        }
        Self { pulses }
    }

    /// Who stood still since the last look; nobody when systemd may be fed.
    pub(super) fn look(&mut self) -> Vec<&'static str> {
        let mut still = Vec::new();
        for (pulse, before) in &mut self.pulses {
            let now = pulse.counter.load(Ordering::Relaxed);
            if now == *before {
                still.push(pulse.name);
            }
            *before = now;
            (pulse.nudge)();
        }
        still
    }

    /// Feeds systemd for ever, `every` so often, as long as all get on.
    pub(super) async fn feed(mut self, every: Duration, tell: impl Fn()) {
        let mut look = tokio::time::interval(every);
        look.tick().await;
        loop {
            look.tick().await;
            let still = self.look();
            if still.is_empty() {
                tell();
            } else {
                tracing::error!("no progress of {} for {} s", still.join(", "), every.as_secs());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stands_still_is_named_and_a_nudge_is_progress() {
        let (engine, store) = (Arc::new(AtomicU64::new(5)), Arc::new(AtomicU64::new(0)));
        let nudged = Arc::clone(&store);
        let pulses = vec![
            Pulse::new("engine", Arc::clone(&engine)),
            Pulse::nudged("store", store, move || {
                nudged.fetch_add(1, Ordering::Relaxed);
            }),
        ];
        let mut watchdog = Watchdog::new(pulses);
        assert_eq!(watchdog.look(), ["engine"]);
        engine.store(6, Ordering::Relaxed);
        assert!(watchdog.look().is_empty());
        assert_eq!(watchdog.look(), ["engine"]);
    }

    #[tokio::test(start_paused = true)]
    async fn systemd_is_fed_while_all_get_on_and_not_while_one_stands_still() {
        let (engine, store, meals) = (Arc::default(), Arc::default(), AtomicU64::new(0));
        let pulses = vec![Pulse::new("engine", Arc::clone(&engine)), Pulse::new("store", Arc::clone(&store))];
        let feed = Watchdog::new(pulses).feed(Duration::from_secs(15), || {
            meals.fetch_add(1, Ordering::Relaxed);
        });
        // The engine beats for a minute and hangs for another; the store gets on all the time.
        let life = async {
            for second in 0..120 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                store.fetch_add(1, Ordering::Relaxed);
                if second < 60 {
                    engine.fetch_add(1, Ordering::Relaxed);
                }
                if second == 62 {
                    assert_eq!(meals.load(Ordering::Relaxed), 4, "each 15 s of a minute");
                }
            }
        };
        tokio::select! {
            () = feed => unreachable!("it feeds for ever"),
            () = life => {}
        }
        assert!(meals.load(Ordering::Relaxed) <= 5, "nothing is fed once the beats of the first minute are seen");
    }
}
