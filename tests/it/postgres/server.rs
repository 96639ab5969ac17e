//! PostgreSQL as Debian has it, a cluster of our own on a port of loopback, and a collector beside it.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    pki::mode,
    support::{free_port, get, wait_for},
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

/// Gives it to who runs the server.
fn own(path: &Path) {
    if rustix::process::getuid().is_root() {
        let of = |what| {
            let out = Command::new("id").args([what, "postgres"]).output().expect("id runs");
            String::from_utf8_lossy(&out.stdout).trim().parse().expect("a number")
        };
        chown(path, Some(of("-u")), Some(of("-g"))).expect("given");
    }
}

impl Postgres {
    pub fn start() -> Self {
        let dir = TempDir::new().expect("a directory");
        own(dir.path());
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

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file for it alone.
    pub fn give(&self, name: &str, text: &str) -> PathBuf {
        let path = self.data().join(name);
        fs::write(&path, text).expect("written");
        mode(&path, 0o600);
        own(&path);
        path
    }

    /// Sets it up; what it reads anew while it runs only.
    pub fn set(&self, setting: &str, value: &str) {
        self.ask(&format!("ALTER SYSTEM SET {setting} = {value}")).expect("set");
        self.ask("SELECT pg_reload_conf()").expect("reloaded");
        let wanted = value.trim_matches('\'');
        wait_for(setting, || (self.ask(&format!("SHOW {setting}")).ok()? == [wanted]).then_some(()));
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

    /// Until all is there.
    pub fn once(broker: u16, into: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_showfloor"));
        command.args(["collect", "--once", "--site", "hel-01", "--into", into]);
        command.args(["--broker", &format!("mqtt://127.0.0.1:{broker}")]).output().expect("showfloor runs")
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
