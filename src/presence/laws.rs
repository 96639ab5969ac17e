//! What must hold for the engine as a whole, by stories and for any readings whatever.

use std::{collections::HashMap, sync::Arc, time::Duration};

use Verdict::{Ahead, Crowded, Late, Taken, UnknownAnchor, Unregistered};
use proptest::{prelude::*, strategy::ValueTree};
use uuid::Uuid;

use super::testing::{at, dwell, engine, heard_at, square_site, story, tag, visitors};
use super::{Engine, Output, Settings, Track, Verdict, Visitors};
use crate::domain::{
    CustomerId, Dbm, Fact, OpenVisit, Presence, Reading, Registration, Registry, Role, VisitId, ZoneId,
};

#[test]
fn a_visit_is_told_from_the_door_to_the_car_and_back() {
    let (mut engine, mut out) = (engine(visitors(1)), Output::default());
    dwell(&mut engine, (60, 80), (5.0, 1.0), &mut out);
    dwell(&mut engine, (80, 110), (2.5, 8.0), &mut out);
    dwell(&mut engine, (110, 125), (5.0, 1.0), &mut out);
    engine.advance(at(400.0), &mut out);
    insta::assert_snapshot!(story(&out.facts).join("\n"), @"
    61 entered floor
    70 dwelled in floor
    70 moved floor to door
    81 dwelled in door
    81 moved door to floor
    112 dwelled at A1
    122 dwelled in floor
    122 moved floor to door
    140 exited after 64 s by Door
    ");
}

#[test]
fn a_tag_that_returns_within_the_grace_time_is_told_so_and_a_stray_reading_is_no_visit() {
    let (mut engine, mut out) = (engine(visitors(2)), Output::default());
    dwell(&mut engine, (0, 20), (5.0, 8.0), &mut out);
    dwell(&mut engine, (300, 310), (5.0, 8.0), &mut out);
    dwell(&mut engine, (2000, 2010), (5.0, 8.0), &mut out);
    for reading in heard_at(1, 2005.2, 5.0, 5.0) {
        assert_eq!(engine.reading(&reading, &mut out), Late, "the other tag was heard until 2009.5");
    }
    for reading in heard_at(1, 2020.2, 5.0, 5.0) {
        assert_eq!(engine.reading(&reading, &mut out), Taken);
    }
    engine.advance(at(9000.0), &mut out);
    insta::assert_snapshot!(story(&out.facts).join("\n"), @"
    1 entered floor
    140 dwelled in floor
    140 exited after 18 s by Silence
    301 entered floor again
    430 dwelled in floor
    430 exited after 8 s by Silence
    2001 entered floor
    2130 dwelled in floor
    2130 exited after 8 s by Silence
    ");
}

#[test]
fn what_cannot_count_is_refused_by_name() {
    let (mut engine, mut out) = (engine(visitors(1)), Output::default());
    let reading = |anchor: &str, i, seconds| Reading {
        at: at(seconds),
        anchor: anchor.parse().expect("id"),
        tag: tag(i),
        rssi: Dbm::new(-60.0).expect("in range"),
    };
    let verdicts = [
        reading("sw", 0, 1000.0),
        reading("attic", 0, 1000.0),
        reading("sw", 7, 1000.1),
        reading("sw", 0, 2e9),
        reading("sw", 0, 1001.5),
        reading("sw", 0, 997.0),
        reading("sw", 0, 998.5),
    ]
    .map(|reading| engine.reading(&reading, &mut out));
    assert_eq!(verdicts, [Taken, UnknownAnchor, Unregistered, Ahead, Taken, Late, Taken]);
    assert_eq!(engine.last_tick(), Some(1001));
    let again: Vec<_> = (0..8).map(|i| engine.reading(&reading("sw", 0, 90_000.0 + f64::from(i)), &mut out)).collect();
    assert_eq!(again[6..], [Ahead, Taken], "that many cannot be one broken time");
}

#[test]
fn tags_beyond_the_bound_are_refused_until_one_is_forgotten() {
    let settings = Settings { max_tags: 2, track: Track::All, ..Settings::default() };
    let mut engine = Engine::new(square_site(), settings, Arc::default());
    let mut out = Output::default();
    let mut hear = |i, seconds| engine.reading(&heard_at(i, seconds, 5.0, 5.0)[0], &mut out);
    assert_eq!([hear(0, 10.0), hear(1, 10.0), hear(2, 10.0)], [Taken, Taken, Crowded]);
    for second in 11..140 {
        hear(0, f64::from(second));
    }
    assert_eq!(hear(2, 140.0), Taken);
}

#[test]
fn a_restored_visit_goes_on_without_entering_again() {
    let (mut first, mut out) = (engine(visitors(1)), Output::default());
    dwell(&mut first, (0, 20), (5.0, 8.0), &mut out);
    let Some(Presence::Entered { visit, .. }) = out.facts.first().map(|fact| &fact.presence) else {
        panic!("no visit began: {:?}", out.facts)
    };
    let open = |i, last: f64| OpenVisit {
        visit: *visit,
        tag: tag(i),
        customer: None,
        entered_at: at(1.0),
        last_at: at(last),
        zone: "floor".parse().ok(),
        x: 5.0,
        y: 8.0,
    };
    let (mut again, mut out) = (engine(visitors(1)), Output::default());
    again.restore(vec![open(0, 15.0)]);
    assert_eq!(again.snapshot().visits.len(), 1);
    dwell(&mut again, (200, 220), (5.0, 8.0), &mut out);
    again.advance(at(900.0), &mut out);
    insta::assert_snapshot!(story(&out.facts).join("\n"), @"
    340 dwelled in floor
    340 exited after 218 s by Silence
    ");

    let (mut silent, mut out) = (engine(visitors(1)), Output::default());
    silent.restore(vec![open(0, 15.0)]);
    silent.advance(at(20.0), &mut out);
    assert_eq!(out.facts, []);
    silent.advance(at(500.0), &mut out);
    insta::assert_snapshot!(story(&out.facts).join("\n"), @"135 exited after 14 s by Silence");
}

#[test]
fn a_tag_handed_to_another_customer_is_another_visit() {
    let owned = |customer: u128| {
        let mut registry = Registry::default();
        let subject = Some(CustomerId(Uuid::from_u128(customer)).to_string());
        registry.assign(tag(0), Registration { role: Role::Visitor, subject, until: None });
        Arc::new(registry)
    };
    let (mut engine, mut out) = (engine(owned(1)), Output::default());
    dwell(&mut engine, (0, 10), (5.0, 8.0), &mut out);
    engine.set_registry(owned(2));
    dwell(&mut engine, (10, 20), (5.0, 8.0), &mut out);
    insta::assert_snapshot!(story(&out.facts).join("\n"), @"
    1 entered floor
    10 dwelled in floor
    10 exited after 8 s by Silence
    10 entered floor
    ");
}

#[test]
fn staff_have_positions_and_no_visits() {
    let mut registry = Registry::default();
    registry.assign(tag(0), Registration { role: Role::Staff, subject: None, until: Some(at(15.0)) });
    let (mut engine, mut out) = (engine(Arc::new(registry)), Output::default());
    dwell(&mut engine, (0, 10), (5.0, 8.0), &mut out);
    assert_eq!((out.facts.len(), out.positions.len()), (0, 10));
    let verdict = engine.reading(&heard_at(0, 15.5, 5.0, 5.0)[0], &mut out);
    assert_eq!(verdict, Unregistered, "the registration has run out");
}

#[test]
fn hours_of_silence_end_what_is_open_at_the_right_time_and_cost_nothing() {
    let (mut engine, mut out) = (engine(visitors(1)), Output::default());
    dwell(&mut engine, (0, 20), (5.0, 8.0), &mut out);
    engine.advance(at(3e9), &mut out);
    let Some(last) = out.facts.iter().rfind(|fact| matches!(fact.presence, Presence::Exited { .. })) else {
        panic!("no exit")
    };
    assert_eq!(last.at, at(140.0), "120 s after 19.5");
    assert_eq!(engine.last_tick(), Some(3_000_000_000));
    assert!(out.positions.len() < 40);
}

/// Checks the facts of every visit against the only legal order.
#[derive(Default)]
struct Judge {
    open: HashMap<VisitId, Option<ZoneId>>,
    ended: Vec<VisitId>,
}

impl Judge {
    fn hear(&mut self, fact: &Fact) {
        let finite = |values: &[f64]| assert!(values.iter().all(|v| v.is_finite()), "{fact:?}");
        match &fact.presence {
            Presence::Entered { visit, zone, x, y, .. } => {
                finite(&[*x, *y]);
                assert!(!self.ended.contains(visit), "enters twice: {fact:?}");
                assert!(self.open.insert(*visit, zone.clone()).is_none(), "enters twice: {fact:?}");
            }
            Presence::Moved { visit, from, to, x, y } => {
                finite(&[*x, *y]);
                let zone = self.open.get_mut(visit).expect("open");
                assert_eq!(zone, from);
                assert_ne!(from, to);
                *zone = to.clone();
            }
            Presence::Dwelled { visit, seconds, .. } => {
                finite(&[*seconds]);
                assert!(*seconds >= 5.0 && self.open.contains_key(visit), "{fact:?}");
            }
            Presence::Traced { visit, trace } => {
                assert!(self.open.contains_key(visit), "{fact:?}");
                assert!((1..=60).contains(&trace.x_cm.len()) && trace.x_cm.len() == trace.y_cm.len(), "{fact:?}");
            }
            Presence::Exited { visit, duration_s, .. } => {
                finite(&[*duration_s]);
                assert!(*duration_s >= 0.0 && self.open.remove(visit).is_some(), "{fact:?}");
                self.ended.push(*visit);
            }
            Presence::Heated(heat) => {
                finite(&heat.cells.iter().map(|cell| cell.2).collect::<Vec<_>>());
                assert!(!heat.cells.is_empty());
            }
        }
    }
}

/// What drives an engine.
#[derive(Debug, Clone)]
enum Step {
    Hear { tag: usize, anchor: usize, rssi: f32, after_ms: i64 },
    Advance { after_ms: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly the next fraction of a second; now and then back, or a jump of minutes to years.
    let after = prop_oneof![
        20 => 0..700_i64,
        3 => -8_000..0_i64,
        2 => 1_000..200_000_i64,
        1 => Just(90_000_000_000_i64),
        1 => Just(-90_000_000_000_i64)
    ];
    let hear = (0..5_usize, 0..5_usize, -127.0..20.0_f32, after.clone())
        .prop_map(|(tag, anchor, rssi, after_ms)| Step::Hear { tag, anchor, rssi, after_ms });
    let advance = after.prop_map(|after_ms| Step::Advance { after_ms });
    prop::collection::vec(prop_oneof![12 => hear, 1 => advance], 1..160)
}

fn play(steps: &[Step], follow: Track) -> Output {
    let settings = Settings { track: follow, visitors: Visitors::All, ..Settings::default() };
    let mut engine = Engine::new(square_site(), settings, visitors(3));
    let (mut out, mut now) = (Output::default(), at(1_000_000.0));
    for step in steps {
        match *step {
            Step::Hear { tag: i, anchor, rssi, after_ms } => {
                let anchor = ["sw", "se", "ne", "nw", "attic"][anchor].parse().expect("id");
                let there = now.plus_micros(after_ms * 1000);
                let reading = Reading { at: there, anchor, tag: tag(i), rssi: Dbm::new(rssi).expect("in range") };
                if engine.reading(&reading, &mut out) == Taken {
                    now = there;
                }
            }
            Step::Advance { after_ms } => {
                now = now.plus_micros(after_ms.min(200_000) * 1000);
                engine.advance(now, &mut out);
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_heard_every_visit_is_a_legal_sequence(steps in steps(), all in any::<bool>()) {
        let out = play(&steps, if all { Track::All } else { Track::Registered });
        let mut judge = Judge::default();
        out.facts.iter().for_each(|fact| judge.hear(fact));
        prop_assert!(out.facts.is_sorted_by_key(|fact| fact.at));
        prop_assert!(out.positions.is_sorted_by_key(|position| position.t));
        for p in &out.positions {
            prop_assert!(p.x.is_finite() && p.y.is_finite() && p.sigma.is_finite() && p.sigma > 0.0, "{p:?}");
            prop_assert!((0.0..=10.0).contains(&p.x) && (0.0..=10.0).contains(&p.y), "{p:?}");
        }
    }

    #[test]
    fn replaying_a_prefix_gives_a_prefix(steps in steps(), share in 0.0..1.0_f64) {
        let whole = play(&steps, Track::All);
        let part = play(&steps[..(steps.len() as f64 * share) as usize], Track::All);
        prop_assert_eq!(&whole.facts[..part.facts.len()], &part.facts[..]);
        prop_assert_eq!(&whole.positions[..part.positions.len()], &part.positions[..]);
    }
}

#[test]
fn the_steps_above_make_whole_visits_with_moves_and_dwells() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [0_usize; 4];
    for _ in 0..200 {
        let steps = steps().new_tree(&mut runner).expect("steps").current();
        for fact in play(&steps, Track::All).facts {
            match fact.presence {
                Presence::Entered { .. } => seen[0] += 1,
                Presence::Moved { .. } => seen[1] += 1,
                Presence::Dwelled { .. } => seen[2] += 1,
                Presence::Exited { .. } => seen[3] += 1,
                Presence::Traced { .. } | Presence::Heated(_) => {}
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn any_settings_of_patience_keep_the_order() {
    let impatient = Settings {
        door_after: Duration::ZERO,
        silence_after: Duration::ZERO,
        dwell_at_least: Duration::ZERO,
        ..Settings::default()
    };
    let mut engine = Engine::new(square_site(), impatient, visitors(1));
    let mut out = Output::default();
    for second in 0..20 {
        for reading in heard_at(0, f64::from(second) * 1.5, 5.0, 8.0) {
            engine.reading(&reading, &mut out);
        }
    }
    let entered = out.facts.iter().filter(|fact| matches!(fact.presence, Presence::Entered { .. })).count();
    let exited = out.facts.iter().filter(|fact| matches!(fact.presence, Presence::Exited { .. })).count();
    assert!(entered >= 1 && entered - exited <= 1, "{entered} and {exited}");
}
