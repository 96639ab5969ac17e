//! Two hundred boxes on one broker, and collectors that share them.

use std::{
    fs,
    time::{Duration, Instant},
};

use showfloor::domain::Lane;

use crate::{
    boxes::Boxes,
    postgres::{Collecting, Postgres},
    support::{Broker, wait_for},
};

const BOXES: usize = 200;

/// Sites, their highest number, how many events and how many numbers there are.
const SUMMARY: &str = "SELECT site, max(seq), count(*), count(DISTINCT seq), count(DISTINCT id) FROM showfloor.event
    WHERE lane = 'sales' GROUP BY 1 ORDER BY 1";

#[test]
fn collectors_share_two_hundred_boxes_and_one_that_dies_costs_nothing_but_seconds() {
    let server = Postgres::start();
    let broker = Broker::start();
    let boxes = Boxes::start(BOXES, broker.port);
    let dir = tempfile::TempDir::new().expect("a directory");
    let list = dir.path().join("sites");
    fs::write(&list, boxes.sites().map(ToString::to_string).collect::<Vec<_>>().join("\n")).expect("written");
    let sites = ["--sites-file", list.to_str().expect("text")];
    boxes.write(0, 20);
    let mut collectors: Vec<_> = (0..3).map(|_| Collecting::start(broker.port, &sites, &server.url())).collect();
    let held = |collector: &Collecting| collector.metric("showfloor_collect_sites_held");
    wait_for("fair shares", || {
        let shares: Vec<u64> = collectors.iter().map(held).collect();
        (shares.iter().sum::<u64>() == BOXES as u64 && shares.iter().all(|share| *share <= 67)).then_some(())
    });
    boxes.write(1, 40);
    let stored = || server.number("SELECT count(*) FROM showfloor.event WHERE lane = 'sales'");
    wait_for("half of it", || (stored() > 40 * BOXES as u64).then_some(()));
    let mut dead = collectors.remove(0);
    dead.kill();
    boxes.write(2, 20);
    let expected: Vec<String> =
        boxes.heads(Lane::Sales).iter().map(|(site, head)| format!("{site}|{head}|{head}|{head}|{head}")).collect();
    wait_for("each event of each box, once", || (server.ask(SUMMARY).ok()? == expected).then_some(()));
    wait_for("all acknowledgements", || (boxes.acknowledged(Lane::Sales) == boxes.heads(Lane::Sales)).then_some(()));
    let shares: Vec<u64> = collectors.iter().map(held).collect();
    assert_eq!(shares, [100, 100], "the living have taken over what the dead one held");
    for collector in &collectors {
        assert_eq!(collector.metric("showfloor_collect_doubles_total"), 0, "no work was done twice");
    }
    for mut collector in collectors {
        assert_eq!(collector.stop(), Some(0));
    }
}

#[test]
fn one_collector_empties_two_hundred_boxes_into_a_file() {
    let broker = Broker::start();
    let boxes = Boxes::start(BOXES, broker.port);
    boxes.write(0, 20);
    let dir = tempfile::TempDir::new().expect("a directory");
    let list = dir.path().join("sites");
    fs::write(&list, boxes.sites().map(ToString::to_string).collect::<Vec<_>>().join("\n")).expect("written");
    let into = dir.path().join("cloud.sqlite");
    let mut collector = Collecting::start(
        broker.port,
        &["--once", "--sites-file", list.to_str().expect("text")],
        &format!("sqlite:{}", into.display()),
    );
    assert_eq!(collector.child.wait().expect("ended").code(), Some(0));
    let db = rusqlite::Connection::open(&into).expect("opens");
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read");
    let written: u64 = boxes.heads(Lane::Sales).iter().map(|(_, head)| head).sum();
    assert_eq!(count("SELECT count(*) FROM event WHERE lane = 'sales'"), i64::try_from(written).expect("few"));
    assert_eq!(count("SELECT count(DISTINCT site) FROM event"), i64::try_from(BOXES).expect("few"));
    assert_eq!(boxes.acknowledged(Lane::Sales), boxes.heads(Lane::Sales));
}

/// Each box still holds three questions of the collector that was killed, and tells the next that they are superseded: twice
/// as many answers come at once as there are lanes, and those that find no room must be asked for again at once and not when
/// the patience of a minute is over.
#[test]
fn a_collector_that_takes_over_hears_every_box_at_once() {
    let broker = Broker::start();
    let boxes = Boxes::start(BOXES, broker.port);
    boxes.write(0, 5);
    let written: u64 = Lane::ALL.iter().flat_map(|lane| boxes.heads(*lane)).map(|(_, head)| head).sum();
    let dir = tempfile::TempDir::new().expect("a directory");
    let list = dir.path().join("sites");
    fs::write(&list, boxes.sites().map(ToString::to_string).collect::<Vec<_>>().join("\n")).expect("written");
    for name in ["first", "second"] {
        let into = format!("sqlite:{}", dir.path().join(name).display());
        let sites = ["--sites-file", list.to_str().expect("text")];
        let mut collector = Collecting::start(broker.port, &sites, &into);
        wait_for("all of it", || (collector.metric("showfloor_collect_events_total") == written).then_some(()));
        collector.kill();
    }
}

/// Processor time of a process so far, seconds.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident memory at its highest, megabytes.
fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse::<f64>().expect("a number") / 1024.0
}

/// For `docs/cloud.md`, which says how it is run.
#[test]
#[ignore = "prints figures, asserts nothing"]
fn figures_of_collecting() {
    let server = Postgres::start();
    let broker = Broker::start();
    let boxes = Boxes::start(BOXES, broker.port);
    for round in 0..10 {
        boxes.write(round, 100);
    }
    let dir = tempfile::TempDir::new().expect("a directory");
    let list = dir.path().join("sites");
    fs::write(&list, boxes.sites().map(ToString::to_string).collect::<Vec<_>>().join("\n")).expect("written");
    let sqlite = dir.path().join("cloud.sqlite");
    for into in [server.url(), format!("sqlite:{}", sqlite.display())] {
        let sites = ["--sites-file", list.to_str().expect("text")];
        let written: u64 = Lane::ALL.iter().flat_map(|lane| boxes.heads(*lane)).map(|(_, head)| head).sum();
        let began = Instant::now();
        let collector = Collecting::start(broker.port, &sites, &into);
        let mut first = None;
        wait_for("all of it", || {
            let events = collector.metric("showfloor_collect_events_total");
            if events > 0 {
                first.get_or_insert(Instant::now());
            }
            (events == written).then_some(())
        });
        let (pid, seconds) = (collector.child.id(), first.unwrap_or(began).elapsed().as_secs_f64());
        let (busy, bytes) = (cpu(pid), collector.metric("showfloor_collect_bytes_total"));
        eprintln!("{into}: {written} events in {seconds:.2} s, {:.0}/s", written as f64 / seconds);
        eprintln!("  {:.1} us of processor an event, {:.0} MB at most", busy / written as f64 * 1e6, memory(pid));
        eprintln!("  {:.0} bytes an event over MQTT", bytes as f64 / written as f64);
        if into.starts_with("sqlite") {
            continue;
        }
        // Settled: what is asked within 70 s by lanes that have nothing to tell.
        let (asked, before) = (collector.metric("showfloor_collect_pulls_total"), cpu(pid));
        std::thread::sleep(Duration::from_secs(70));
        let asked = collector.metric("showfloor_collect_pulls_total") - asked;
        eprintln!(
            "  idle: {:.3} pulls/s a site, {:.2} % of a core",
            asked as f64 / 70.0 / BOXES as f64,
            (cpu(pid) - before) / 0.7
        );
    }
    let size = server
        .number("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('showfloor.event') WHERE isleaf");
    let heap =
        server.number("SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('showfloor.event') WHERE isleaf");
    let events = server.number("SELECT count(*) FROM showfloor.event");
    eprintln!(
        "PostgreSQL: {:.0} bytes an event, {:.0} of them in the table",
        size as f64 / events as f64,
        heap as f64 / events as f64
    );
    let size = fs::metadata(&sqlite).expect("the file").len();
    eprintln!("SQLite: {:.0} bytes an event", size as f64 / events as f64);
}
