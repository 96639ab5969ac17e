//! What the tests run: a broker, the daemon, and the outside world.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub const DEADLINE: Duration = Duration::from_mins(1);

/// A floor with two anchors and a place for a car.
pub const SITE: &str = r#"
[site]
id = "hel-01"
name = "Helsinki"
timezone = "Europe/Helsinki"
bounds = [0.0, 0.0, 30.0, 20.0]
tag_height_m = 1.2
[[anchor]]
id = "north-door"
x = 1.0
y = 19.5
z = 2.6
[[anchor]]
id = "desk"
x = 15.0
y = 5.0
z = 2.6
[[spot]]
id = "A1"
x = 14.0
y = 6.0
"#;

/// Where the recordings are; `None`, said aloud, where they are not. In CI they must be there.
pub fn data_dir() -> Option<PathBuf> {
    let told = std::env::var_os("SHOWFLOOR_DATA").map(PathBuf::from);
    let dir = told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(
        std::env::var_os("SHOWFLOOR_REQUIRE_DATA").is_none(),
        "the recordings are required and not at {}",
        dir.display()
    );
    eprintln!("skipped: no recordings at {}", dir.display());
    None
}

/// The black-box clients that come with the recordings.
pub fn tool(name: &str) -> PathBuf {
    data_dir().expect("asked after data_dir").join("../tools").join(name)
}

/// The project's Python with what the clients need.
pub fn python() -> PathBuf {
    let told = std::env::var_os("SHOWFLOOR_PYTHON").map(PathBuf::from);
    told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"))
}

/// Waits until `check` gives something; fails with `what` after [`DEADLINE`].
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < end, "gave up waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections: one of these might be taken
/// before it is used here. Each process begins elsewhere.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() % 1_000 * 20 + ASKED.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (number % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Mosquitto on a port of its own.
pub struct Broker {
    child: Child,
    pub port: u16,
    dir: TempDir,
}

impl Broker {
    pub fn start() -> Self {
        Self::start_with(TempDir::new().expect("a directory"), "")
    }

    /// With more lines of configuration, about files in `dir`.
    pub fn start_with(dir: TempDir, more: &str) -> Self {
        let port = free_port();
        let text = format!(
            "listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 100
\
             set_tcp_nodelay true
{more}"
        );
        fs::write(dir.path().join("mosquitto.conf"), text).expect("written");
        let child = Self::spawn(&dir, port);
        Self { child, port, dir }
    }

    fn spawn(dir: &TempDir, port: u16) -> Child {
        let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"];
        let program = program.into_iter().find(|path| Path::new(path).exists()).expect("mosquitto; see `make deps`");
        let mut command = Command::new(program);
        let child = command.arg("-c").arg(dir.path().join("mosquitto.conf")).stderr(Stdio::null()).spawn();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait_for("mosquitto", || TcpStream::connect(address).ok());
        child.expect("mosquitto starts")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("dead");
    }

    /// On the same port as before.
    pub fn start_again(&mut self) {
        self.child = Self::spawn(&self.dir, self.port);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A site file, a configuration and a data directory; the daemon runs on them, again and again.
pub struct Showroom {
    pub dir: TempDir,
    pub http: u16,
    pub site: String,
    /// Environment of the daemon.
    pub env: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Showroom {
    /// On `site_toml`, connected to the broker at `broker` for anchors and cloud; readings are dated by their payload.
    pub fn new(site_id: &str, site_toml: &str, broker: u16) -> Self {
        let dir = TempDir::new().expect("a directory");
        let http = free_port();
        fs::write(dir.path().join("site.toml"), site_toml).expect("written");
        let text = format!(
            r#"
[site]
file = "site.toml"
[storage]
dir = "data"
[http]
listen = "127.0.0.1:{http}"
[anchors]
broker = "mqtt://127.0.0.1:{broker}"
clock = "payload"
[uplink]
broker = "mqtt://127.0.0.1:{broker}"
consumers = ["cloud"]
[log]
level = "info"
"#
        );
        fs::write(dir.path().join("showfloor.toml"), text).expect("written");
        Self { dir, http, site: site_id.to_owned(), env: Vec::new(), child: None }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("showfloor.toml")
    }

    /// Runs a command of the program to its end.
    pub fn cli(args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_showfloor")).args(args).output().expect("showfloor runs")
    }

    pub fn token(&self, role: &str, name: &str) -> String {
        let config = self.config();
        let config = config.to_str().expect("text");
        let out = Self::cli(&["token", "issue", "--role", role, "--name", name, "--config", config]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("text").trim().to_owned()
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start(&mut self) {
        self.start_and_let_be();
        let child = self.child.as_mut().expect("started");
        let http = self.http;
        let log = self.dir.path().join("log");
        wait_for("the daemon", || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("the daemon ended with {status}:\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            (get(http, "/health/ready", None).0 == 200).then_some(())
        });
    }

    /// Starts the daemon.
    pub fn start_and_let_be(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_showfloor"));
        command.arg("run").arg("--config").arg(self.config()).stderr(log).stdout(Stdio::null());
        command.envs(self.env.iter().map(|(key, value)| (*key, value.as_str())));
        self.child = Some(command.spawn().expect("showfloor starts"));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("killed");
        child.wait().expect("dead");
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> i32 {
        assert!(Command::new("kill").arg(self.pid().to_string()).status().expect("kill runs").success());
        self.ended()
    }

    /// Waits for its end, and gives its exit code.
    pub fn ended(&mut self) -> i32 {
        self.child.take().expect("running").wait().expect("ended").code().unwrap_or(-1)
    }

    /// Waits until so many clients are connected to the WebSocket.
    pub fn wait_for_clients(&self, token: &str, clients: u64) {
        wait_for("the clients", || (self.metric(token, "showfloor_ws_clients") == clients).then_some(()));
    }

    /// The daemon's process.
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("running")
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A metric's value.
    pub fn metric(&self, token: &str, name: &str) -> u64 {
        let (status, body) = get(self.http, "/metrics", Some(token));
        assert_eq!(status, 200, "{body}");
        let line = body.lines().find(|line| line.split(' ').next() == Some(name)).expect("a known metric");
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }
}

impl Drop for Showroom {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// Status and body of one GET; status 0 when nobody answers.
pub fn get(port: u16, path: &str, token: Option<&str>) -> (u16, String) {
    request(port, "GET", path, token)
}

/// Status and body of one request without a body; status 0 when nobody answers.
pub fn request(port: u16, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
    use std::io::{Read, Write};
    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else { return (0, String::new()) };
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n");
    let mut answer = Vec::new();
    if socket.write_all(request.as_bytes()).is_err() || socket.read_to_end(&mut answer).is_err() {
        return (0, String::new());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}
