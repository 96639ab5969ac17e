//! The statements of `docs/cloud.md`, run as they stand there.

use super::{Collecting, Postgres};
use crate::{
    cloud::{blocks_of_the_manual, manual},
    support::{Broker, SITE, Showroom},
};

#[test]
fn a_lane_is_divided_by_months_and_old_events_are_deleted_as_the_manual_says() {
    let server = Postgres::start();
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let mut collect = || {
        // Each boot has a word about its clock, in each lane.
        let boot = uuid::Uuid::new_v4().to_string();
        showroom.env = vec![("SHOWFLOOR_CLOCK_QUALITY", "synced".to_owned()), ("SHOWFLOOR_BOOT_ID", boot)];
        showroom.start();
        let out = Collecting::once(broker.port, &server.url());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(showroom.stop(), 0);
    };
    let count = |table: &str| server.number(&format!("SELECT count(*) FROM showfloor.{table}"));
    collect();
    let before = count("event_trace");
    assert!(before > 0);
    let [delete, divide] = &blocks_of_the_manual("sql")[..] else { panic!("two blocks") };
    server.ask(divide).expect("divided");
    assert_eq!((count("event_trace"), count("event_trace_before")), (0, before));
    collect();
    let now = count("event_trace");
    assert!(now > 0 && count("event_trace_before") == before, "what is new goes to the new partitions");
    assert_eq!(count("event_trace_rest") + count("event_trace_2026_12"), now);

    let formula = manual().split("A bound is `").nth(1).and_then(|rest| rest.split('`').next()).expect("it").to_owned();
    let bound = server.ask(&format!("SELECT {formula}")).expect("computed").remove(0);
    assert!(divide.contains(&format!("FROM ('{}-{}-0000", &bound[..8], &bound[8..])), "{bound}");

    let delete = format!("PREPARE old (text) AS {delete} EXECUTE old ('hel-01')");
    server.ask(&delete).expect("deleted");
    assert_eq!(count("event_trace"), now, "nothing is old");
    server.ask("UPDATE showfloor.event SET dated = dated - interval '31 days' WHERE lane = 'trace'").expect("aged");
    server.ask(&delete).expect("deleted");
    assert_eq!(count("event_trace"), 0);
}
