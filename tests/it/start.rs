//! Starting where it cannot: each is refused with a code and a sentence that says what to do.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    process::{Command, Output},
};

use crate::support::{Broker, DEADLINE, SITE, Showroom, data_dir, get};

fn run(showroom: &Showroom) -> Output {
    let config = showroom.config();
    Showroom::cli(&["run", "--config", config.to_str().expect("text")])
}

fn assert_refused(out: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn a_port_in_use_is_said() {
    let broker = Broker::start();
    let showroom = Showroom::new("hel-01", SITE, broker.port);
    let _taken = TcpListener::bind(("127.0.0.1", showroom.http)).expect("bound");
    assert_refused(&run(&showroom), 69, &[&showroom.http.to_string()]);
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    assert_eq!(showroom.stop(), 0);
    let data = showroom.dir.path().join("data");
    let file = fs::read_dir(&data).expect("data").filter_map(Result::ok).map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.ends_with("showfloor.sqlite")).expect("the database");
    let db = rusqlite::Connection::open(&file).expect("opens");
    db.pragma_update(None, "user_version", 9999).expect("set");
    drop(db);
    let before = fs::read(&file).expect("read");
    assert_refused(&run(&showroom), 74, &["newer"]);
    assert_eq!(fs::read(&file).expect("read"), before);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_said() {
    let broker = Broker::start();
    let showroom = Showroom::new("hel-01", SITE, broker.port);
    // A file stands where the directory should be: root is refused too.
    fs::write(showroom.dir.path().join("data"), "").expect("written");
    fs::set_permissions(showroom.dir.path().join("data"), fs::Permissions::from_mode(0o400)).expect("set");
    assert_refused(&run(&showroom), 74, &["data"]);
}

#[test]
fn problems_of_configuration_are_said_all_at_once() {
    let showroom = Showroom::new("hel-01", &SITE.replace("x = 1.0", "x = nan").replace("z = 2.6", "zz = 2.6"), 1);
    let text = fs::read_to_string(showroom.config()).expect("read");
    fs::write(showroom.config(), text.replace("[log]\nlevel = \"info\"", "[log]\nlevell = \"loud\"")).expect("written");
    let config = showroom.config();
    let out = Showroom::cli(&["check", "--config", config.to_str().expect("text")]);
    assert_refused(&out, 78, &["levell", "zz", "site.toml", "showfloor.toml"]);
}

#[test]
fn the_daemon_comes_back_after_a_stop_with_the_same_epoch() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let world = crate::world::World::connect(broker.port, "hel-01");
    showroom.start();
    let first = world.hear("status", |status| status["state"] == "online");
    assert_eq!(showroom.stop(), 0);
    world.hear("status", |status| status["state"] == "offline");
    showroom.start();
    let again = world.hear("status", |status| status["state"] == "online" && status["at"] != first["at"]);
    assert_eq!(first["epoch"], again["epoch"]);
}

#[test]
fn systemd_is_told_and_an_interrupt_stops_in_order() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let path = showroom.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).expect("bound");
    systemd.set_read_timeout(Some(DEADLINE)).expect("set");
    let hear = |word: &str| loop {
        let mut buffer = [0; 512];
        let length = systemd.recv(&mut buffer).expect("systemd is told");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.contains(word) {
            return;
        }
    };
    showroom.env =
        vec![("NOTIFY_SOCKET", path.to_str().expect("text").to_owned()), ("WATCHDOG_USEC", "1000000".to_owned())];
    showroom.start();
    hear("READY=1");
    hear("STATUS=all parts run");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    let pid = showroom.pid().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    hear("STOPPING=1");
    assert_eq!(showroom.ended(), 0);
}

#[test]
fn what_the_box_says_of_itself_is_asked_without_a_token_of_ones_own() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let config = showroom.config();
    let config = config.to_str().expect("text");
    assert_refused(&Showroom::cli(&["status", "--config", config]), 69, &["no daemon answers"]);
    showroom.start();
    let out = Showroom::cli(&["status", "--json", "--config", config]);
    let status: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&status["site"], &status["degraded"]), (&serde_json::json!("hel-01"), &serde_json::json!([])));
    let people = Showroom::cli(&["status", "--config", config]);
    assert!(String::from_utf8_lossy(&people.stdout).contains("site         hel-01 (Helsinki)"));
    let tokens = Showroom::cli(&["token", "list", "--config", config]);
    assert_eq!(String::from_utf8_lossy(&tokens.stdout), "", "its own token is gone");
}

#[test]
fn a_revoked_token_is_refused_from_then_on() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let token = showroom.token("staff", "anna");
    assert_eq!(get(showroom.http, "/api/v1/visits", Some(&token)).0, 200);
    let config = showroom.config();
    let config = config.to_str().expect("text");
    assert!(Showroom::cli(&["token", "revoke", "anna", "--config", config]).status.success());
    assert_eq!(get(showroom.http, "/api/v1/visits", Some(&token)).0, 401);
    assert_refused(&Showroom::cli(&["token", "revoke", "anna", "--config", config]), 64, &["no token is named"]);
    assert_refused(
        &Showroom::cli(&["token", "issue", "--role", "boss", "--name", "x", "--config", config]),
        64,
        &["staff"],
    );
}

#[test]
fn a_reader_who_has_gone_is_no_failure() {
    let showroom = Showroom::new("hel-01", SITE, 1);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut check = Command::new(env!("CARGO_BIN_EXE_showfloor"));
    check.arg("check").arg("--config").arg(showroom.config()).stdout(writer);
    let out = check.output().expect("showfloor runs");
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn the_site_files_of_all_recordings_are_accepted() {
    let Some(data) = data_dir() else { return };
    let sets = fs::read_dir(data.join("positioning")).expect("the sets").map(|set| set.expect("a set").path());
    let files: Vec<_> = sets.map(|set| set.join("site.toml")).filter(|file| file.exists()).collect();
    assert!(!files.is_empty());
    for file in files {
        showfloor::config::load_site(&file).expect("is accepted");
    }
}
