//! The simulation keeps its promises: same seed, same readings; people stay on the floor; near is loud.

use super::*;
use crate::{
    decode::espresense_tag,
    domain::{Anchor, Registry, SiteId, Spot, SpotId, Survey, Zone, ZoneId, ZonePrints},
};

fn site() -> Site {
    let anchor = |id: &str, x, y| Anchor {
        id: AnchorId::new(id).expect("valid"),
        x,
        y,
        z: 2.6,
        rssi_at_1m: None,
        path_loss: None,
        survey: Survey::default(),
    };
    let entrance = Zone {
        id: ZoneId::new("entrance").expect("valid"),
        name: "Door".to_owned(),
        kind: ZoneKind::Entrance,
        polygon: vec![[0.0, 17.0], [4.0, 17.0], [4.0, 20.0], [0.0, 20.0]],
        prints: ZonePrints::default(),
    };
    let spot = |id: &str, x, y| Spot { id: SpotId::new(id).expect("valid"), x, y, zone: None };
    Site {
        id: SiteId::new("s").expect("valid"),
        name: "S".to_owned(),
        timezone: "Etc/UTC".to_owned(),
        bounds: [0.0, 0.0, 30.0, 20.0],
        tag_height_m: 1.2,
        anchors: vec![anchor("a", 1.0, 1.0), anchor("b", 29.0, 1.0), anchor("c", 1.0, 19.0), anchor("d", 29.0, 19.0)],
        zones: vec![entrance],
        spots: vec![spot("A1", 8.0, 6.0), spot("A2", 29.9, 0.1)],
        tags: Registry::default(),
    }
}

#[test]
fn the_same_seed_gives_the_same_readings() {
    let run = |seed| {
        let mut world = World::new(&site(), 5, seed);
        (0..600).flat_map(|_| world.step(0.1)).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(!run(1).is_empty());
}

#[test]
fn visitors_come_look_at_cars_leave_and_stay_on_the_floor() {
    let mut world = World::new(&site(), 3, 42);
    let (mut visits, mut at_car, mut was_here) = (0, 0, false);
    for _ in 0..36_000 {
        world.step(0.1);
        for [x, y] in world.truth().into_iter().flatten() {
            assert!((0.0..=30.0).contains(&x) && (0.0..=20.0).contains(&y), "{x} {y}");
        }
        let here = world.truth()[0];
        at_car += u32::from(here.is_some_and(|[x, y]| (x - 8.0).hypot(y - 6.0) < 2.2));
        visits += u32::from(here.is_some() && !was_here);
        was_here = here.is_some();
    }
    assert!(visits >= 5, "{visits} visits in an hour");
    assert!(at_car >= 600, "{at_car} tenths of a second beside a car");
}

#[test]
fn near_is_louder_than_far_and_a_tenth_is_lost() {
    let mut world = World::new(&site(), 20, 3);
    let (mut near, mut far, mut reports) = (Vec::new(), Vec::new(), 0);
    let from_c = |at: [f64; 2]| (at[0] - 1.0).hypot(at[1] - 19.0);
    for _ in 0..6_000 {
        let heard = world.step(1.0);
        let truth = world.truth();
        reports += truth.iter().flatten().filter(|at| from_c(**at) < 3.0).count();
        for emission in heard.iter().filter(|emission| emission.anchor.as_str() == "c") {
            let distance = from_c(truth[emission.visitor].expect("only those who are here are heard"));
            if distance < 3.0 {
                near.push(emission.rssi);
            } else if distance > 20.0 {
                far.push(emission.rssi);
            }
        }
    }
    let mean = |levels: &[f64]| levels.iter().sum::<f64>() / levels.len() as f64;
    assert!(mean(&near) > mean(&far) + 12.0, "{} {}", mean(&near), mean(&far));
    let share = near.len() as f64 / reports as f64;
    assert!((0.88..0.92).contains(&share), "{share} of {reports} heard");
}

#[test]
fn espresense_ids_become_the_registered_tags() {
    for n in [0, 7, 65_535] {
        assert_eq!(espresense_tag(&device_id(n)).expect("a tag"), tag(n).expect("a tag"));
    }
}
