//! PostgreSQL as Debian has it, a cluster of our own on a port of loopback, and the collector against it.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cloud::logged,
    support::{Broker, SITE, Showroom, free_port, get, wait_for},
    world::World,
};

/// The server; it does not run as root.
pub struct Postgres {
    dir: TempDir,
    pub port: u16,
    child: Option<Child>,
}

fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL; see `make deps`");
    let mut found: Vec<PathBuf> =
        versions.filter_map(Result::ok).map(|version| version.path().join("bin").join(name)).collect();
    found.sort();
    found.pop().expect("a version")
}

/// `name`, by a user who may run it.
fn command(name: &str) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program(name));
    command
}

impl Postgres {
    pub fn start() -> Self {
        let dir = TempDir::new().expect("a directory");
        if rustix::process::getuid().is_root() {
            let owned = Command::new("chown").arg("postgres").arg(dir.path()).status().expect("chown runs");
            assert!(owned.success());
        }
        let mut init = command("initdb");
        init.arg("-D").arg(dir.path().join("data")).args(["-U", "floor", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        let out = init.arg("--no-sync").current_dir("/").output().expect("initdb runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let mut server = Self { dir, port: free_port(), child: None };
        server.start_again();
        server
    }

    /// On the same port as before.
    pub fn start_again(&mut self) {
        let mut server = command("postgres");
        server.arg("-D").arg(self.dir.path().join("data")).args(["-p", &self.port.to_string()]);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=40", "-c"]);
        server.arg(format!("unix_socket_directories={}", self.dir.path().display()));
        let child = server.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("postgres starts"));
        wait_for("PostgreSQL", || self.ask("SELECT 1").ok());
    }

    /// At once, as when its machine loses power, but for what is in its disk's cache.
    pub fn crash(&mut self) {
        let mut child = self.child.take().expect("running");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-QUIT", &pid]).status().expect("kill runs").success());
        child.wait().expect("dead");
    }

    pub fn url(&self) -> String {
        format!("postgres://floor@127.0.0.1:{}/postgres", self.port)
    }

    /// Rows of a query, `|` between columns.
    pub fn ask(&self, sql: &str) -> Result<Vec<String>, String> {
        let mut psql = Command::new(program("psql"));
        psql.args(["-XAtq", "-d", &self.url(), "-c", sql]);
        let out = psql.output().expect("psql runs");
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
    }

    /// The one number of a query; 0 while there is none.
    pub fn number(&self, sql: &str) -> u64 {
        self.ask(sql).ok().and_then(|rows| rows.first()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.crash();
        }
    }
}

/// A collector that is killed with the test.
pub struct Collecting {
    pub child: Child,
    pub metrics: u16,
}

impl Collecting {
    pub fn start(broker: u16, sites: &[&str], into: &str) -> Self {
        let metrics = free_port();
        // Figures are of the release build, whatever the tests are.
        let told = std::env::var_os("SHOWFLOOR_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_showfloor").into());
        let mut command = Command::new(told);
        command.args(["collect", "--broker", &format!("mqtt://127.0.0.1:{broker}"), "--into", into]).args(sites);
        command.args(["--metrics", &format!("127.0.0.1:{metrics}")]).stderr(Stdio::null());
        Self { child: command.spawn().expect("showfloor starts"), metrics }
    }

    /// A metric's value; 0 while nobody answers.
    pub fn metric(&self, name: &str) -> u64 {
        let (_, body) = get(self.metrics, "/metrics", None);
        let line = body.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("kill runs").success());
        self.child.wait().expect("ended").code()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("dead");
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cars(world: &World, round: usize) {
    for n in 0..20 {
        let car = json!({"id": format!("V{round}-{n}"), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv",
            "status": "available"});
        assert_eq!(world.command("vehicle.upsert", &car)["ok"], true);
    }
}

fn acked(showroom: &Showroom, token: &str) -> Value {
    let status = get(showroom.http, "/api/v1/status", Some(token)).1;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    json!({"acked": status["lanes"]["sales"]["acked"]["cloud"], "last": status["lanes"]["sales"]["last"]})
}

#[test]
fn a_server_that_dies_in_the_middle_has_all_that_was_acknowledged_and_in_the_end_each_event_once() {
    let mut server = Postgres::start();
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let service = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    let customer = uuid::Uuid::new_v4();
    world.command("customer.upsert", &json!({"id": customer, "personal": {"name": "Aino\u{0}"}, "profile": {}}));
    let mut collecting = Collecting::start(broker.port, &["--site", "hel-01"], &server.url());
    let stored = |server: &Postgres| server.number("SELECT count(*) FROM showfloor.event");
    for round in 0..2 {
        cars(&world, 2 * round);
        wait_for("some events", || (stored(&server) > 40 * round as u64).then_some(()));
        server.crash();
        cars(&world, 2 * round + 1);
        let told = acked(&showroom, &service)["acked"].as_u64().expect("a number");
        server.start_again();
        let cursor = server.number("SELECT after FROM showfloor.cursor WHERE lane = 'sales'");
        assert!(cursor >= told, "{told} was acknowledged, {cursor} is committed");
    }
    world.command("customer.erase", &json!({"id": customer}));
    let log = logged(&showroom, &service);
    wait_for("all of it", || (stored(&server) >= log.len() as u64).then_some(()));
    let ids = server.ask("SELECT id FROM showfloor.event").expect("read");
    assert_eq!(ids.len(), log.len(), "each once");
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), log);
    assert_eq!(server.number("SELECT count(*) FROM showfloor.event WHERE personal IS NOT NULL"), 0, "erased");
    assert_eq!(server.number("SELECT count(*) FROM showfloor.event WHERE dated IS NULL AND synced"), 0);
    wait_for("the last acknowledgement", || {
        let status = acked(&showroom, &service);
        (status["acked"] == status["last"]).then_some(())
    });
    assert!(collecting.metric("showfloor_collect_database_errors_total") > 0);
    assert_eq!(collecting.stop(), Some(0));
    assert_eq!(server.number("SELECT count(*) FROM showfloor.collector"), 0, "it left in order");
}

#[test]
fn a_server_that_may_lose_what_it_commits_is_refused_and_a_missing_one_is_named() {
    let server = Postgres::start();
    let once = |into: &str| {
        Showroom::cli(&["collect", "--broker", "mqtt://127.0.0.1:1", "--site", "a", "--once", "--into", into])
    };
    server.ask("ALTER SYSTEM SET fsync = off").expect("set");
    server.ask("SELECT pg_reload_conf()").expect("reloaded");
    wait_for("the setting", || (server.ask("SHOW fsync").ok()? == ["off"]).then_some(()));
    let out = once(&server.url());
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(74) && text.contains("fsync = off"), "{text}");
    let out = once(&format!("postgres://floor:s3cret@127.0.0.1:{}/x", free_port()));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(74) && text.contains("refused") && !text.contains("s3cret"), "{text}");
}
