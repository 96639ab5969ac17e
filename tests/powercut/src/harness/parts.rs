//! What the harness runs: Mosquitto and the daemon; and how it asks the daemon over HTTP.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub(super) const SITE: &str = "hel-01";
/// For anything that should be there in a moment, on a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

const FLOOR: &str = r#"
[site]
id = "hel-01"
name = "Helsinki"
timezone = "Europe/Helsinki"
bounds = [0.0, 0.0, 30.0, 20.0]
tag_height_m = 1.2
[[anchor]]
id = "west"
x = 2.0
y = 10.0
z = 2.6
[[anchor]]
id = "east"
x = 28.0
y = 10.0
z = 2.6
[[zone]]
id = "entrance"
name = "Entrance"
kind = "entrance"
polygon = [[0.0, 0.0], [15.0, 0.0], [15.0, 20.0], [0.0, 20.0]]
[[zone]]
id = "bay"
name = "Bay"
kind = "vehicle"
polygon = [[15.0, 0.0], [30.0, 0.0], [30.0, 20.0], [15.0, 20.0]]
[[spot]]
id = "A0"
x = 27.0
y = 10.0
[[tag]]
id = "ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:7"
role = "visitor"
[[tag]]
id = "ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:8"
role = "visitor"
"#;

pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Asks until there is an answer.
pub(super) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> Result<T, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(format!("gave up waiting for {what}"));
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// Mosquitto on a port of its own, which remembers nothing.
pub(super) struct Broker {
    child: Child,
    pub(super) port: u16,
    dir: TempDir,
}

impl Broker {
    pub(super) fn start() -> io::Result<Self> {
        let dir = TempDir::new()?;
        let port = free_port()?;
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_inflight_messages 100\n"
        );
        fs::write(dir.path().join("mosquitto.conf"), text)?;
        let child = Self::spawn(&dir, port)?;
        Ok(Self { child, port, dir })
    }

    fn spawn(dir: &TempDir, port: u16) -> io::Result<Child> {
        let places = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"];
        let missing = || io::Error::new(io::ErrorKind::NotFound, "mosquitto is not installed; see `make deps`");
        let program = places.into_iter().find(|path| Path::new(path).exists()).ok_or_else(missing)?;
        let mut command = Command::new(program);
        let child = command.arg("-c").arg(dir.path().join("mosquitto.conf")).stderr(Stdio::null()).spawn()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait_for("mosquitto", || TcpStream::connect(address).ok()).map_err(io::Error::other)?;
        Ok(child)
    }

    /// `kill -9`, and again on the same port.
    pub(super) fn kill_and_start(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = Self::spawn(&self.dir, self.port)?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a start went.
pub(super) enum Started {
    Ready,
    /// The power went meanwhile.
    Cut,
    /// It ended by itself, or never was ready.
    Failed(String),
}

/// The program with a configuration, a floor and a data directory that may be on another file system.
pub(super) struct Daemon {
    binary: PathBuf,
    dir: TempDir,
    pub(super) http: u16,
    pub(super) child: Option<Child>,
}

impl Daemon {
    pub(super) fn new(binary: &Path, data: &Path, broker: u16) -> io::Result<Self> {
        let dir = TempDir::new()?;
        let http = free_port()?;
        fs::write(dir.path().join("site.toml"), FLOOR)?;
        let daemon = Self { binary: binary.to_owned(), dir, http, child: None };
        fs::write(daemon.config(), daemon.document(data, broker))?;
        Ok(daemon)
    }

    fn document(&self, data: &Path, broker: u16) -> String {
        let (data, http) = (data.display(), self.http);
        format!(
            r#"
[site]
file = "site.toml"
[storage]
dir = "{data}"
reserve_bytes = 262144
[http]
listen = "127.0.0.1:{http}"
messages_per_minute = 1000000
[anchors]
broker = "mqtt://127.0.0.1:{broker}"
clock = "payload"
[uplink]
broker = "mqtt://127.0.0.1:{broker}"
consumers = ["cloud", "archive"]
[log]
level = "info"
"#
        )
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("showfloor.toml")
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn cli(&self, args: &[&str], config: &Path) -> io::Result<Output> {
        Command::new(&self.binary).args(args).arg("--config").arg(config).output()
    }

    pub(super) fn token(&self, role: &str, name: &str) -> io::Result<String> {
        let out = self.cli(&["token", "issue", "--role", role, "--name", name], &self.config())?;
        if !out.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&out.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// What the program itself finds wrong in a copy of its data directory.
    pub(super) fn audit(&self, data: &Path) -> io::Result<Result<(), String>> {
        let config = self.dir.path().join("audit.toml");
        fs::write(&config, self.document(data, 1))?;
        let out = self.cli(&["check", "--store"], &config)?;
        let said = || String::from_utf8_lossy(&out.stderr).into_owned();
        Ok(if out.status.success() { Ok(()) } else { Err(said()) })
    }

    /// Starts it and waits until it is ready, ends, or `cut` says that there is no power.
    pub(super) fn start(&mut self, cut: impl Fn() -> bool) -> io::Result<Started> {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(self.config()).stderr(log).stdout(Stdio::null());
        let child = self.child.insert(command.spawn()?);
        let http = self.http;
        let outcome = wait_for("the daemon to be ready", || {
            if cut() {
                return Some(Started::Cut);
            }
            match child.try_wait() {
                Ok(None) => {}
                ended => return Some(Started::Failed(format!("the daemon ended: {ended:?}"))),
            }
            (get(http, "/health/ready", None).ok()?.0 == 200).then_some(Started::Ready)
        });
        Ok(outcome.unwrap_or_else(Started::Failed))
    }

    /// Stops it in order; its exit code.
    pub(super) fn stop(&mut self) -> io::Result<Option<i32>> {
        let Some(mut child) = self.child.take() else { return Ok(None) };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        Ok(child.wait()?.code())
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Status and body of a GET.
pub(super) fn get(port: u16, path: &str, token: Option<&str>) -> io::Result<(u16, String)> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    // A daemon whose disk froze answers nobody.
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

/// The JSON of a GET that must go well.
pub(super) fn get_json(port: u16, path: &str, token: &str) -> Result<Value, String> {
    let (status, body) = get(port, path, Some(token)).map_err(|error| format!("GET {path}: {error}"))?;
    if status != 200 {
        return Err(format!("GET {path}: {status} {body}"));
    }
    serde_json::from_str(&body).map_err(|error| format!("GET {path}: {error}"))
}
