//! The rules of the house that a program can check (`docs/architecture.md`): who imports what, how long files are, what
//! begins with a word of explanation, what is banned.

#![allow(clippy::expect_used)] // helpers of tests are tests

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders and files that know no sockets, files, clocks, logs or databases, and of ours only what is listed.
const PURE: &[(&str, &[&str])] = &[
    ("src/domain/", &["domain"]),
    ("src/decode/", &["decode", "domain"]),
    ("src/sim/", &["sim", "domain"]),
    ("src/showroom/", &["showroom", "domain"]),
    ("src/wire/", &["wire", "domain"]),
    ("src/presence/approx.rs", &["presence", "domain"]),
    ("src/presence/belief.rs", &["presence", "domain"]),
    ("src/presence/calibrate.rs", &["presence", "domain"]),
    ("src/presence/calibrate_zones.rs", &["presence", "domain"]),
    ("src/presence/clock.rs", &["presence", "domain"]),
    ("src/presence/departures.rs", &["presence", "domain"]),
    ("src/presence/engine.rs", &["presence", "domain"]),
    ("src/presence/floor.rs", &["presence", "domain"]),
    ("src/presence/heat.rs", &["presence", "domain"]),
    ("src/presence/motion.rs", &["presence", "domain"]),
    ("src/presence/prints.rs", &["presence", "domain"]),
    ("src/presence/radio.rs", &["presence", "domain"]),
    ("src/presence/settings.rs", &["presence", "domain"]),
    ("src/presence/shadows.rs", &["presence", "domain"]),
    ("src/presence/trace.rs", &["presence", "domain"]),
    ("src/presence/track.rs", &["presence", "domain"]),
    ("src/presence/visit.rs", &["presence", "domain"]),
    ("src/presence/zoning.rs", &["presence", "domain"]),
    // What the store says of an event is data; nothing is asked of it here.
    ("src/hub/frames.rs", &["hub", "domain", "store"]),
    ("src/hub/payloads.rs", &["hub", "domain", "store", "showroom"]),
    ("src/hub/near.rs", &["hub", "domain", "store"]),
    ("src/hub/rooms.rs", &["hub", "domain", "access"]),
    ("src/hub/messages.rs", &["hub", "domain", "showroom"]),
    ("src/hub/limits.rs", &["hub", "domain"]),
    ("src/hub/silence.rs", &["hub", "domain"]),
    // Reading damaged files: total, whatever the bytes are.
    ("src/store/salvage/record.rs", &["store"]),
    ("src/store/salvage/page.rs", &["store"]),
    ("src/store/salvage/wal.rs", &["store"]),
    ("src/store/salvage/gaps.rs", &["store", "domain"]),
    ("src/uplink/sync.rs", &["uplink", "domain", "store"]),
    ("src/uplink/topics.rs", &["uplink", "domain"]),
    ("src/uplink/status.rs", &["uplink", "domain"]),
    ("src/tls/explain.rs", &["tls", "domain"]),
    ("src/tls/validity.rs", &["tls", "domain"]),
    ("src/uplink/batch.rs", &["uplink", "domain", "wire"]),
    ("src/uplink/messages.rs", &["uplink", "domain"]),
    ("src/uplink/allowance.rs", &[]),
    ("src/uplink/flight.rs", &[]),
    ("src/uplink/pace.rs", &["uplink"]),
    ("src/uplink/places.rs", &["domain"]),
    ("src/uplink/rounds.rs", &[]),
    ("src/uplink/vigil.rs", &["uplink"]),
    ("src/collect/board.rs", &["collect", "domain"]),
    ("src/collect/dating.rs", &["collect", "domain"]),
    ("src/collect/row.rs", &["collect", "domain"]),
    ("src/collect/share.rs", &["collect", "domain"]),
    ("src/collect/subscriptions.rs", &["collect", "domain"]),
    ("src/collect/verify.rs", &["collect", "domain"]),
    ("src/config/daemon.rs", &["config", "domain"]),
    ("src/config/site.rs", &["config", "domain"]),
    ("src/config/document.rs", &["config", "domain"]),
    ("src/config/polygon.rs", &["config"]),
];

/// What no pure file names.
const IMPURE: &[&str] = &[
    "tokio::",
    "tracing::",
    "rusqlite",
    "rumqttc",
    "axum",
    "hyper",
    "std::fs",
    "std::net",
    "SystemTime",
    "Instant::now",
    "getrandom",
    "new_v4",
    "new_v7",
];

/// Where the types of a library may be named, tests aside.
const AT_HOME: &[(&str, &[&str])] = &[
    ("rusqlite", &["src/store/", "src/collect/sqlite.rs", "src/collect/clock_rows.rs"]),
    ("tokio_postgres", &["src/collect/postgres/"]),
    ("tokio_postgres_rustls", &["src/collect/postgres/"]),
    ("indicatif", &["src/cli/progress.rs"]),
    ("rumqttc", &["src/uplink/", "src/collect/", "src/sources/anchors", "src/sources/simulator.rs"]),
    ("rustls", &["src/tls/"]),
    ("x509_cert", &["src/tls/"]),
    ("rumqttd", &["src/broker/", "src/telemetry/log.rs"]),
    ("axum", &["src/http/"]),
    ("tokio_tungstenite", &["src/hub/", "src/http/handshake.rs"]),
    ("sd_notify", &["src/supervisor/"]),
    ("tracing_subscriber", &["src/telemetry/"]),
    ("anyhow", &["src/cli/", "src/main.rs", "src/app.rs"]),
];

/// Adapters: each knows the others by their handles at most, which `app.rs` gives it.
const ADAPTERS: &[&str] = &["sources", "hub", "uplink", "collect", "http", "broker"];
/// Fronts that one adapter may have of another.
const HANDLES: &[(&str, &str)] = &[("http", "hub")];

const BANNED: &[&str] = &["unbounded_channel", "todo!", "unimplemented!", ".unwrap()", ".expect(", "TODO", "FIXME"];
const LONGEST: usize = 500;

struct File {
    path: String,
    text: String,
}

impl File {
    /// Its own code: what comes before the tests in it.
    fn code(&self) -> &str {
        let tests = self.text.find("#[cfg(test)]\nmod tests").or_else(|| self.text.find("#[cfg(test)]\n#[path"));
        &self.text[..tests.unwrap_or(self.text.len())]
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.contains("/tests/")
            || name.contains("test")
            || ["laws.rs", "model.rs"].contains(&name) && !self.path.starts_with("src/showroom/")
    }
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "tests", "benches"].iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                let path = path.strip_prefix(root).expect("inside").to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    assert!(files.len() > 150, "the sources are found");
    files
}

/// Names of our own folders that `text` imports.
fn imports(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            names.extend(first_names(list));
        } else {
            names.push(word(rest));
        }
    }
    names
}

/// The first words of the parts of a use list, up to its closing brace.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut fresh) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && c.is_alphanumeric() => {
                names.push(word(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What is wrong with a file that should be pure.
fn impurities(file: &File) -> Vec<String> {
    let Some((_, allowed)) = PURE.iter().find(|(place, _)| file.path.starts_with(place)) else { return Vec::new() };
    if file.is_test() {
        return Vec::new();
    }
    let code = without_comments(file.code());
    let impure = IMPURE.iter().filter(|word| code.contains(*word)).map(|word| format!("{}: {word}", file.path));
    let foreign = imports(file.code()).into_iter().filter(|name| !allowed.contains(&name.as_str()));
    impure.chain(foreign.map(|name| format!("{}: crate::{name}", file.path))).collect()
}

/// Libraries that a file names and should not.
fn strangers(file: &File) -> Vec<String> {
    if file.is_test() || !file.path.starts_with("src/") {
        return Vec::new();
    }
    let code = without_comments(file.code());
    let mentions = |library: &str| {
        let found = code.match_indices(&format!("{library}::")).map(|(at, _)| &code[..at]).collect::<Vec<_>>();
        found.iter().any(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let named = AT_HOME
        .iter()
        .filter(|(library, places)| mentions(library) && !places.iter().any(|place| file.path.starts_with(place)));
    named.map(|(library, _)| format!("{}: {library}", file.path)).collect()
}

/// Adapters that know each other.
fn entanglements(file: &File) -> Vec<String> {
    let Some(me) = file.path.strip_prefix("src/").and_then(|path| path.split_once('/')).map(|(folder, _)| folder)
    else {
        return Vec::new();
    };
    if !ADAPTERS.contains(&me) || file.is_test() {
        return Vec::new();
    }
    let others = imports(file.code()).into_iter().filter(|name| name != me && ADAPTERS.contains(&name.as_str()));
    let others = others.filter(|name| !HANDLES.contains(&(me, name.as_str())));
    others.map(|name| format!("{}: crate::{name}", file.path)).collect()
}

/// What every file has to keep to.
fn untidiness(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let lines = file.text.lines().count();
    if lines > LONGEST {
        found.push(format!("{} has {lines} lines; {LONGEST} at most", file.path));
    }
    let own_module = !file.path.ends_with("_tests.rs");
    if own_module && !file.text.starts_with("//!") {
        found.push(format!("{} does not begin with what it is for (//!)", file.path));
    }
    if file.path.starts_with("src/") && !file.is_test() {
        let code = without_comments(file.code());
        found.extend(BANNED.iter().filter(|word| code.contains(*word)).map(|word| format!("{}: {word}", file.path)));
        if code.contains("unsafe {") && file.path != "src/telemetry/kernel_clock.rs" {
            found.push(format!("{}: unsafe", file.path));
        }
    }
    if file.path.ends_with("/mod.rs") {
        let odd = file.code().lines().find(|line| {
            ["fn ", "pub fn ", "struct ", "pub struct ", "impl "].iter().any(|word| line.starts_with(word))
        });
        found.extend(odd.map(|line| format!("{} holds more than modules and uses: {line}", file.path)));
    }
    found
}

fn all(check: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(check).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn pure_rooms_stay_pure() {
    assert_eq!(all(impurities), NONE);
    for (place, _) in PURE {
        assert!(sources().iter().any(|file| file.path.starts_with(place)), "{place} is not there any more");
    }
}

#[test]
fn libraries_stay_at_home() {
    assert_eq!(all(strangers), NONE);
}

#[test]
fn adapters_do_not_know_each_other() {
    assert_eq!(all(entanglements), NONE);
}

#[test]
fn files_are_short_explained_and_free_of_what_is_banned() {
    assert_eq!(all(untidiness), NONE);
}

#[test]
fn the_checks_can_fail() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let pure = file("src/domain/x.rs", "//! X.\nuse crate::{domain::A, store::{B, C}};\nfn f() { tokio::spawn(x); }");
    assert_eq!(impurities(&pure), ["src/domain/x.rs: tokio::", "src/domain/x.rs: crate::store"]);
    assert_eq!(strangers(&file("src/http/x.rs", "use rusqlite::Connection;")), ["src/http/x.rs: rusqlite"]);
    assert_eq!(strangers(&file("src/http/x.rs", "use my_rusqlite::Connection;")), NONE);
    assert_eq!(entanglements(&file("src/hub/x.rs", "use crate::uplink::Y;")), ["src/hub/x.rs: crate::uplink"]);
    assert_eq!(entanglements(&file("src/http/x.rs", "use crate::hub::Hub;")), NONE);
    let bad = file("src/hub/x.rs", "fn f() { x.unwrap() }");
    assert_eq!(untidiness(&bad).len(), 2, "{:?}", untidiness(&bad));
    assert_eq!(untidiness(&file("src/hub/mod.rs", "//! X.\nfn f() {}")).len(), 1);
    assert_eq!(untidiness(&file("src/hub/x.rs", &format!("//! X.\n{}", "\n".repeat(501)))).len(), 1);
}
