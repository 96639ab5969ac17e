//! The daemon's configuration as trusted. `systemd/showfloor.toml` shows each key with its default.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Problem, Secret, Storage,
    document::{Document, Section},
    storage,
};
use crate::domain::{BrokerAddress, ConsumerId, Site};

/// Everything a daemon is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The floor.
    pub site: Site,
    /// Where everything is kept.
    pub dir: PathBuf,
    /// How much of it and how long.
    pub storage: Storage,
    /// Pages, API and WebSocket.
    pub http: Http,
    /// Where anchors speak.
    pub anchors: Option<Broker>,
    /// Whether readings are dated by their arrival or by themselves.
    pub clock: EngineClock,
    /// Where the cloud pulls.
    pub uplink: Option<Uplink>,
    /// A broker of our own.
    pub broker: Option<EmbeddedBroker>,
    /// How visits are told.
    pub presence: Presence,
    /// What is said.
    pub log: Log,
}

/// The LAN's listener.
#[derive(Debug, Clone)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// A kiosk's session that nobody touches for so long is over.
    pub session_timeout: Duration,
    /// What a client may do.
    pub limits: Limits,
}

/// What one WebSocket client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages within a minute.
    pub messages_per_minute: u32,
    /// How long it is refused after more.
    pub blocked: Duration,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Without a sign of life for so long it is closed.
    pub idle: Duration,
}

/// An MQTT broker and who we are there.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// TLS; clear text without it.
    pub tls: Option<Tls>,
}

/// Which files TLS uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities that the broker's is believed of.
    pub ca: PathBuf,
    /// Our own certificate and its key, where the broker wants them.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Revocation lists of those authorities.
    pub crl: Option<PathBuf>,
}

impl Tls {
    /// With paths relative to `folder`.
    #[must_use]
    pub(super) fn within(&self, folder: &Path) -> Self {
        let identity = self.identity.as_ref().map(|(cert, key)| (folder.join(cert), folder.join(key)));
        Self { ca: folder.join(&self.ca), identity, crl: self.crl.as_ref().map(|crl| folder.join(crl)) }
    }
}

/// Which clock drives the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineClock {
    /// The box's: readings are dated when they arrive.
    Arrival,
    /// The readings' own `t`: recordings and simulations.
    Payload,
}

/// Where and by whom the log is pulled.
#[derive(Debug, Clone)]
pub struct Uplink {
    /// The broker.
    pub broker: Broker,
    /// Who may pull.
    pub consumers: Vec<ConsumerId>,
    /// How often the broker is asked for a sign of life.
    pub keep_alive: Duration,
    /// How long a broker may acknowledge or deliver nothing before it is asked again or left.
    pub patience: Duration,
    /// Longest pause between attempts to connect.
    pub longest_pause: Duration,
}

/// A broker inside the daemon, for demos and very small sites.
#[derive(Debug, Clone)]
pub struct EmbeddedBroker {
    /// Address and port.
    pub listen: SocketAddr,
    /// Who may connect; anybody on loopback when empty.
    pub users: Vec<(String, Secret)>,
}

/// How visits are told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Presence {
    /// Silence after being seen at a door that ends a visit.
    pub door_timeout: Duration,
    /// Silence elsewhere that ends a visit.
    pub silence_timeout: Duration,
    /// Who is back within it is `returning`.
    pub grace: Duration,
    /// Within how many metres of a spot one is at its car.
    pub dwell_radius_m: f64,
    /// Shorter stays are not told.
    pub min_dwell: Duration,
}

/// What is said on stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Reads a file or an environment variable that holds a secret; the error says why it cannot.
pub(super) type Lookup<'a> = &'a dyn Fn(Source<'_>) -> Result<Secret, String>;

/// Where a secret stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    File(&'a str),
    Env(&'a str),
}

/// What is wrong with the files of TLS: the key that names a file, and a sentence.
pub(super) type Inspect<'a> = &'a dyn Fn(&Tls) -> Vec<(&'static str, String)>;

/// What the checks ask of the world.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) secrets: Lookup<'a>,
    pub(super) certificates: Inspect<'a>,
}

/// A configuration before its site file is read.
pub(super) struct Draft {
    pub(super) site_file: Option<PathBuf>,
    pub(super) build: Option<Box<dyn FnOnce(Site) -> Config>>,
    pub(super) problems: Vec<Problem>,
}

/// Checks the text of a configuration.
pub(super) fn check(file: &str, text: &str, world: World<'_>) -> Draft {
    let document = Document::new(file, text);
    let table = document.parse();
    let mut root = document.root(&table);
    let site_file = in_section(&mut root, "site", |section| {
        let file = section.text("file");
        section.required("file", file)
    });
    let site_file = root.required("site", site_file).flatten().map(PathBuf::from);
    let stored = in_section(&mut root, "storage", |section| (section.text("dir"), storage::read(section)));
    let (dir, storage) = stored.unwrap_or_default();
    let http = in_section(&mut root, "http", http).unwrap_or_else(default_http);
    let anchors = in_section(&mut root, "anchors", |section| {
        let clocks = [("arrival", EngineClock::Arrival), ("payload", EngineClock::Payload)];
        let clock = section.choice("clock", &clocks).unwrap_or(EngineClock::Arrival);
        (broker(section, world), clock)
    });
    let uplink = in_section(&mut root, "uplink", |section| uplink(section, world)).flatten();
    let embedded = in_section(&mut root, "broker", |section| embedded(section, world.secrets)).flatten();
    let presence = in_section(&mut root, "presence", presence).unwrap_or(DEFAULT_PRESENCE);
    let log = in_section(&mut root, "log", log).unwrap_or(Log { level: "info", json: false });
    root.finish();
    let clock = anchors.as_ref().map_or(EngineClock::Arrival, |(_, clock)| *clock);
    let anchors = anchors.and_then(|(broker, _)| broker);
    let dir = PathBuf::from(dir.unwrap_or_else(|| "/var/lib/showfloor".to_owned()));
    let build =
        move |site| Config { site, dir, storage, http, anchors, clock, uplink, broker: embedded, presence, log };
    Draft { site_file, build: Some(Box::new(build)), problems: document.into_problems() }
}

/// Reads a section and complains about what it did not know in it; none when it is not there.
fn in_section<'t, 'i, T>(
    root: &mut Section<'t, 'i>,
    key: &'static str,
    read: impl FnOnce(&mut Section<'t, 'i>) -> T,
) -> Option<T> {
    let mut section = root.section(key)?;
    let value = read(&mut section);
    section.finish();
    Some(value)
}

fn default_http() -> Http {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    Http { listen, session_timeout: Duration::from_mins(1), limits: DEFAULT_LIMITS }
}

const DEFAULT_LIMITS: Limits = Limits {
    messages_per_minute: 100,
    blocked: Duration::from_mins(5),
    message_bytes: 1 << 20,
    idle: Duration::from_mins(5),
};

const DEFAULT_PRESENCE: Presence = Presence {
    door_timeout: Duration::from_secs(15),
    silence_timeout: Duration::from_mins(2),
    grace: Duration::from_mins(15),
    dwell_radius_m: 2.5,
    min_dwell: Duration::from_secs(5),
};

fn http(section: &mut Section<'_, '_>) -> Http {
    let mut http = default_http();
    http.listen = section.parsed("listen").unwrap_or(http.listen);
    let clear = section.flag("allow_clear_text").unwrap_or(false);
    if !is_loopback(http.listen.ip()) && !clear {
        let message = "is reachable from the LAN in clear text; listen on loopback, or say allow_clear_text = true";
        section.complain("listen", message);
    }
    http.session_timeout = seconds(section, "session_timeout_s", 5..=3600).unwrap_or(http.session_timeout);
    let limits = &mut http.limits;
    if let Some(messages) = section.whole("messages_per_minute", 1..=1_000_000) {
        limits.messages_per_minute = messages as u32;
    }
    if let Some(bytes) = section.whole("max_message_bytes", 1024..=16 << 20) {
        limits.message_bytes = bytes as usize;
    }
    limits.blocked = seconds(section, "blocked_s", 1..=86_400).unwrap_or(limits.blocked);
    limits.idle = seconds(section, "idle_s", 10..=86_400).unwrap_or(limits.idle);
    http
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn seconds(section: &mut Section<'_, '_>, key: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<Duration> {
    section.whole(key, range).map(Duration::from_secs)
}

fn broker(section: &mut Section<'_, '_>, world: World<'_>) -> Option<Broker> {
    let url = section.text("broker");
    let user = section.text("user");
    let password = password(section, world.secrets);
    if password.is_some() && user.is_none() {
        section.complain("user", "is missing; a password without a user is not sent");
    }
    let given = in_section(section, "tls", |section| tls(section, world));
    let url = section.required("broker", url)?;
    let address: BrokerAddress = url.parse().map_err(|error| section.complain("broker", error)).ok()?;
    let BrokerAddress { host, port, secure } = address;
    match &given {
        None if secure => section.complain("broker", "speaks TLS; say in a section tls which ca to believe"),
        Some(_) if !secure => section.complain("broker", "is in clear text; write mqtts:// to use the section tls"),
        _ => {}
    }
    Some(Broker { host, port, user, password, tls: given.flatten() })
}

fn tls(section: &mut Section<'_, '_>, world: World<'_>) -> Option<Tls> {
    let [ca, cert, key, crl] = ["ca", "cert", "key", "crl"].map(|key| section.text(key).map(PathBuf::from));
    for (one, other, given) in [("cert", "key", cert.is_some()), ("key", "cert", key.is_some())] {
        if given {
            let other = if other == "key" { key.as_ref() } else { cert.as_ref() };
            if other.is_none() {
                section.complain(one, "stands alone; cert and key belong together");
            }
        }
    }
    let ca = section.required("ca", ca)?;
    let tls = Tls { ca, identity: cert.zip(key), crl };
    for (key, message) in (world.certificates)(&tls) {
        section.complain(key, message);
    }
    Some(tls)
}

fn password(section: &mut Section<'_, '_>, lookup: Lookup<'_>) -> Option<Secret> {
    let (file, env) = (section.text("password_file"), section.text("password_env"));
    let (key, source) = match (&file, &env) {
        (Some(_), Some(_)) => {
            section.complain("password_env", "stands beside password_file; write one of them");
            return None;
        }
        (Some(file), None) => ("password_file", Source::File(file)),
        (None, Some(name)) => ("password_env", Source::Env(name)),
        (None, None) => return None,
    };
    lookup(source).map_err(|message| section.complain(key, message)).ok()
}

fn uplink(section: &mut Section<'_, '_>, world: World<'_>) -> Option<Uplink> {
    let broker = broker(section, world);
    let names = section.texts("consumers").unwrap_or_else(|| vec!["cloud".to_owned()]);
    let mut consumers: Vec<ConsumerId> = Vec::new();
    for name in names {
        match name.parse() {
            Ok(id) if consumers.contains(&id) => section.complain("consumers", format!("{name:?} stands twice")),
            Ok(id) => consumers.push(id),
            Err(error) => section.complain("consumers", error),
        }
    }
    let keep_alive = seconds(section, "keep_alive_s", 1..=600).unwrap_or(Duration::from_mins(1));
    let patience = seconds(section, "patience_s", 1..=3_600).unwrap_or(Duration::from_mins(2));
    let longest_pause = seconds(section, "longest_pause_s", 1..=3_600).unwrap_or(Duration::from_mins(1));
    Some(Uplink { broker: broker?, consumers, keep_alive, patience, longest_pause })
}

fn embedded(section: &mut Section<'_, '_>, lookup: Lookup<'_>) -> Option<EmbeddedBroker> {
    let listen: Option<SocketAddr> = section.parsed("listen");
    let mut users = Vec::new();
    for mut user in section.sections("users") {
        let name = user.text("name");
        let (name, secret) = (user.required("name", name), password(&mut user, lookup));
        if secret.is_none() {
            user.complain("password_file", "or password_env must be given");
        }
        users.extend(name.zip(secret));
        user.finish();
    }
    let listen = section.required("listen", listen)?;
    if users.is_empty() && !is_loopback(listen.ip()) {
        section.complain("listen", "is reachable from the LAN without a password; list users, or listen on loopback");
    }
    Some(EmbeddedBroker { listen, users })
}

fn presence(section: &mut Section<'_, '_>) -> Presence {
    let default = DEFAULT_PRESENCE;
    Presence {
        door_timeout: seconds(section, "door_timeout_s", 3..=600).unwrap_or(default.door_timeout),
        silence_timeout: seconds(section, "silence_timeout_s", 10..=3600).unwrap_or(default.silence_timeout),
        grace: seconds(section, "grace_s", 0..=86_400).unwrap_or(default.grace),
        dwell_radius_m: section.number("dwell_radius_m", 0.5..=10.0).unwrap_or(default.dwell_radius_m),
        min_dwell: seconds(section, "min_dwell_s", 1..=600).unwrap_or(default.min_dwell),
    }
}

fn log(section: &mut Section<'_, '_>) -> Log {
    let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
    let level = section.choice("level", &levels).unwrap_or("info");
    let json = section.choice("format", &[("text", false), ("json", true)]).unwrap_or(false);
    Log { level, json }
}
