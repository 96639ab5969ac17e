//! Boxes whose clock is corrected, or who got a new database, as PostgreSQL sees them.

use super::{Collecting, Postgres};
use crate::{
    clock::{Site, truth},
    cloud::logged,
    damage::{flip_a_bit_in_an_event, stock},
    support::{Broker, SITE, Showroom, wait_for},
    world::World,
};

/// Events that are not dated within a minute of `now`.
fn misdated(database: &Postgres, now: i64) -> u64 {
    let near = format!("dated BETWEEN to_timestamp({}) AND to_timestamp({})", now - 60, now + 60);
    database.number(&format!("SELECT count(*) FROM showfloor.event WHERE ({near}) IS NOT TRUE"))
}

#[test]
fn events_are_dated_by_the_newest_word_of_their_boot_in_whatever_order_they_come() {
    let server = Postgres::start();
    let mut site = Site::new();
    site.hands.set(100, "unsynced");
    site.boot(0);
    let mut collecting = Collecting::start(site.broker.port, &["--site", "hel-01"], &server.url());
    let all = |site: &Site| {
        let there = || server.number("SELECT count(*) FROM showfloor.event");
        wait_for("all of it", || (there() == site.events().len() as u64).then_some(()));
    };
    stock(&site.world, 0..3);
    all(&site);
    let undated = "SELECT count(*) FROM showfloor.event WHERE dated IS NULL AND at < '1970-01-02'";
    assert!(server.number(undated) >= 3, "nobody knows when that was");

    let hasty = truth() + 5_000;
    site.hands.set(hasty, "synced");
    site.wait_for_word(1, 0.0);
    all(&site);
    assert_eq!(misdated(&server, hasty), 0, "by the first word");
    site.hands.set(truth(), "synced");
    site.wait_for_word(2, -5_000.0);
    all(&site);
    let unsynced = "SELECT count(*) FROM showfloor.event WHERE NOT synced AND dated BETWEEN
        now() - interval '1 min' AND now()";
    let before = "SELECT count(*) FROM showfloor.event WHERE NOT synced";
    assert_eq!(server.number(unsynced), server.number(before), "by the newest word");
    assert_eq!(collecting.stop(), Some(0));

    // All over again, now that each lane holds its words: whichever comes first, the dates are the same.
    let dates = "SELECT id, dated FROM showfloor.event ORDER BY id";
    let as_it_came = server.ask(dates).expect("read");
    server.ask("DROP SCHEMA showfloor CASCADE").expect("dropped");
    let out = Collecting::once(site.broker.port, &server.url());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(server.ask(dates).expect("read"), as_it_came);
}

#[test]
fn a_salvaged_box_begins_a_new_epoch_and_each_event_is_there_once() {
    let server = Postgres::start();
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let token = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    let collect = || {
        let out = Collecting::once(broker.port, &server.url());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        server.ask("SELECT id FROM showfloor.event ORDER BY 1").expect("read")
    };
    stock(&world, 0..20);
    let before = collect();
    let epoch = server.ask("SELECT DISTINCT epoch FROM showfloor.cursor").expect("read");
    stock(&world, 20..30);
    assert_eq!(showroom.stop(), 0);
    flip_a_bit_in_an_event(&showroom);
    showroom.start_and_let_be();
    assert_eq!(showroom.ended(), 75, "{}", showroom.log());
    showroom.start();
    stock(&world, 30..35);

    let after = collect();
    let mut known = logged(&showroom, &token);
    known.extend(before.iter().cloned());
    assert_eq!(after, known.into_iter().collect::<Vec<_>>(), "what the box has and what it had, each once");
    let salvaged = format!("SELECT count(*) FROM showfloor.event WHERE body->'origin'->>'epoch' = '{}'", epoch[0]);
    assert!(server.number(&salvaged) >= 9, "those that came in the new epoch only say where they are from");
    assert_eq!(server.number("SELECT count(DISTINCT epoch) FROM showfloor.epoch"), 2);
    assert_eq!(server.number("SELECT count(*) FROM showfloor.gap WHERE reason = 'corruption'"), 1);
    assert_eq!(showroom.stop(), 0);
}
