//! Parts that fail, panic, hang and stop, under a clock that stands still unless everybody waits.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Phase, Supervisor, SupervisorError, Unit};
use crate::telemetry::{Ailments, Count, Telemetry};

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Orders at these seconds, and none afterwards.
fn orders(at: &'static [u64]) -> BoxStream<'static, ()> {
    let begun = Instant::now();
    let each = stream::iter(at).then(move |second| tokio::time::sleep_until(begun + Duration::from_secs(*second)));
    each.chain(stream::pending()).boxed()
}

fn house() -> (Supervisor, watch::Receiver<Vec<String>>, Telemetry) {
    let degraded = Ailments::default();
    let seen = degraded.subscribe();
    let telemetry = Telemetry::default();
    (Supervisor::new(degraded, telemetry.clone()), seen, telemetry)
}

/// Notes its start and, `slow` after it was told to, its end.
fn worker(name: &'static str, phase: Phase, slow: Duration, diary: &Diary) -> Unit {
    let diary = diary.clone();
    Unit::new(name, phase, move |stop: CancellationToken| {
        let diary = diary.clone();
        async move {
            stop.cancelled().await;
            tokio::time::sleep(slow).await;
            diary.note(name);
            Ok::<_, Infallible>(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn parts_stop_phase_by_phase_each_after_the_ones_before() {
    let (mut supervisor, _, _) = house();
    let diary = Diary::default();
    for (name, phase, slow) in [
        ("store", Phase::Store, 0),
        ("uplink", Phase::Uplink, 0),
        ("hub", Phase::Lan, 1),
        ("engine", Phase::Engine, 2),
        ("anchors", Phase::Intake, 1),
    ] {
        supervisor.add(worker(name, phase, Duration::from_secs(slow), &diary));
    }
    supervisor.run(orders(&[1]), std::future::ready(())).await.expect("ends in order");
    assert_eq!(diary.read(), ["anchors", "engine", "hub", "uplink", "store"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_or_panics_is_started_anew_with_growing_waits_and_is_well_again_after_a_while() {
    let (mut supervisor, seen, telemetry) = house();
    let (diary, begun) = (Diary::default(), Instant::now());
    let (book, mut runs) = (diary.clone(), 0);
    supervisor.add(Unit::new("anchors", Phase::Intake, move |stop: CancellationToken| {
        runs += 1;
        let run = runs;
        book.note(format!("{run} after {} s", begun.elapsed().as_secs()));
        async move {
            match run {
                1 => Err("the broker is a teapot".to_owned()),
                2 => panic!("out of tea"),
                3 => Ok(()),
                _ => {
                    stop.cancelled().await;
                    Ok(())
                }
            }
        }
    }));
    let watcher = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let during = seen.borrow().clone();
        tokio::time::sleep(Duration::from_secs(20)).await;
        (during, seen.borrow().clone())
    };
    let (ended, (during, after)) = tokio::join!(supervisor.run(orders(&[60]), std::future::ready(())), watcher);
    ended.expect("ends in order");
    assert_eq!((during.as_slice(), after.as_slice()), (["anchors".to_owned()].as_slice(), [].as_slice()));
    assert_eq!(telemetry.get(Count::UnitRestarts), 3);
    let told = diary.read();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0], "1 after 0 s");
    assert!(["4 after 5 s", "4 after 6 s"].contains(&told[3].as_str()), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn when_a_critical_part_fails_the_others_stop_in_order() {
    let (mut supervisor, _, _) = house();
    let diary = Diary::default();
    supervisor.add(worker("hub", Phase::Lan, Duration::ZERO, &diary));
    let store = Unit::new("store", Phase::Store, |_stop| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err("the disk is gone")
    });
    supervisor.add(store.critical());
    let ended = supervisor.run(orders(&[]), std::future::ready(())).await;
    assert!(matches!(ended, Err(SupervisorError::Failed { name: "store", cause }) if cause == "the disk is gone"));
    assert_eq!(diary.read(), ["hub"]);
}

#[tokio::test(start_paused = true)]
async fn a_critical_part_that_fails_while_it_is_stopped_is_no_orderly_end() {
    let (mut supervisor, _, _) = house();
    let store = Unit::new("store", Phase::Store, |stop: CancellationToken| async move {
        stop.cancelled().await;
        Err("the last commit failed")
    });
    supervisor.add(store.critical());
    let ended = supervisor.run(orders(&[1]), std::future::ready(())).await;
    assert!(
        matches!(ended, Err(SupervisorError::Failed { name: "store", cause }) if cause == "the last commit failed")
    );
}

#[tokio::test(start_paused = true)]
async fn a_critical_part_that_panics_or_just_ends_is_a_failure() {
    for (panics, says) in [(true, "it panicked: no more"), (false, "it ended without being told to")] {
        let (mut supervisor, _, telemetry) = house();
        let store = Unit::new("store", Phase::Store, move |_stop| async move {
            assert!(!panics, "no more");
            Ok::<_, Infallible>(())
        });
        supervisor.add(store.critical());
        let ended = supervisor.run(orders(&[]), std::future::ready(())).await;
        assert!(matches!(ended, Err(SupervisorError::Failed { name: "store", cause }) if cause == says));
        assert_eq!(telemetry.get(Count::UnitRestarts), 0, "a critical part is started once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_does_not_stop_is_left_behind_and_a_second_order_ends_at_once() {
    for (seconds, cut) in [(&[1_u64] as &'static [u64], false), (&[1, 2], true)] {
        let (mut supervisor, _, _) = house();
        let diary = Diary::default();
        supervisor.add(worker("anchors", Phase::Intake, Duration::from_hours(1), &diary));
        supervisor.add(worker("store", Phase::Store, Duration::ZERO, &diary));
        let ended = supervisor.run(orders(seconds), std::future::ready(())).await;
        assert_eq!(matches!(ended, Err(SupervisorError::CutShort)), cut);
        assert_eq!(diary.read(), if cut { vec![] } else { vec!["store".to_owned()] });
    }
}
