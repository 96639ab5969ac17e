//! `showfloor demo`, as somebody who looks at the product for the first time.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{get, wait_for};

#[test]
fn the_demo_shows_visits_fills_the_cloud_and_leaves_nothing_behind() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_showfloor"))
        .args(["demo", "--speed", "5"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("showfloor starts");
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().expect("piped")).lines().take(5).map(|line| line.expect("text")).collect();
    let after = |word: &str| {
        let line = lines.iter().find(|line| line.starts_with(word)).expect("is said");
        line.split_once(':').map(|(_, rest)| rest.trim().to_owned()).expect("a value")
    };
    let page = after("the showroom");
    let (address, token) = page.split_once("/#token=").expect("a link with a token");
    let port: u16 = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let visits = || get(port, "/api/v1/visits", Some(token)).1;
    wait_for("a visit", || visits().contains("visitId").then_some(()));
    let cloud = after("the cloud's database");
    wait_for("events in the cloud", || {
        let db = rusqlite::Connection::open(&cloud).ok()?;
        let pulled: i64 = db.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).ok()?;
        (pulled > 12).then_some(())
    });
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs").success());
    assert_eq!(child.wait().expect("ended").code(), Some(0));
    assert!(!Path::new(&after("the box's directory")).exists(), "the directory is removed");
}
