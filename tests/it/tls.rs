//! TLS with certificates on both sides, against Mosquitto: everything works with good ones, and each wrong one is named.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cloud::{collected, logged},
    pki::{Authority, Days, EARLY, EXPIRED, GOOD, Issued, mode},
    support::{Broker, SITE, Showroom, free_port, get, wait_for},
    world::{TAG, World},
};

/// Mosquitto that wants certificates, with a listener for each kind of broker's certificate, and one in clear text.
struct House {
    authority: Authority,
    broker: Broker,
    /// The files of clients.
    dir: TempDir,
    revoked: Issued,
    good: u16,
    expired: u16,
    early: u16,
    stolen: u16,
}

impl House {
    fn open() -> Self {
        let (authority, dir) = (Authority::new("showrooms"), TempDir::new().expect("a directory"));
        let at_broker = TempDir::new().expect("a directory");
        let revoked = authority.client("hel-01", GOOD);
        fs::write(at_broker.path().join("ca.pem"), authority.pem()).expect("written");
        fs::write(at_broker.path().join("crl.pem"), authority.revocations(&[&revoked], 10)).expect("written");
        fs::write(dir.path().join("ca.pem"), authority.pem()).expect("written");
        let stolen = authority.broker(&["localhost"], GOOD);
        fs::write(dir.path().join("crl.pem"), authority.revocations(&[&stolen], 10)).expect("written");
        // Debian's Mosquitto gives its rights up before it reads certificates.
        let mut text = "user root\n".to_owned();
        let mut listener = |name: &str, issued: &Issued| {
            let (cert, key) = issued.write(at_broker.path(), name);
            let (port, at) = (free_port(), at_broker.path().display());
            text += &format!(
                "listener {port} 127.0.0.1\ncafile {at}/ca.pem\ncrlfile {at}/crl.pem\ncertfile {}\nkeyfile {}\n\
                 require_certificate true\n",
                cert.display(),
                key.display()
            );
            port
        };
        let good = listener("good", &authority.broker(&["localhost"], GOOD));
        let expired = listener("expired", &authority.broker(&["localhost"], EXPIRED));
        let early = listener("early", &authority.broker(&["localhost"], EARLY));
        let stolen = listener("stolen", &stolen);
        let broker = Broker::start_with(at_broker, &text);
        Self { authority, broker, dir, revoked, good, expired, early, stolen }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A client's certificate and key in files.
    fn client(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        issued.write(self.dir.path(), name)
    }

    /// A box whose connections go to these ports, as `box.pem`.
    fn showroom(&self, uplink: u16, anchors: u16) -> Showroom {
        let site = format!("{SITE}[[tag]]\nid = \"{TAG}\"\nrole = \"visitor\"\n");
        let mut showroom = Showroom::new("hel-01", &site, self.broker.port);
        let at = self.dir.path().display();
        let tls =
            format!("ca = \"{at}/ca.pem\"\ncert = \"{at}/box.pem\"\nkey = \"{at}/box.key\"\ncrl = \"{at}/crl.pem\"\n");
        let text = format!(
            "[site]\nfile = \"site.toml\"\n[storage]\ndir = \"data\"\n[http]\nlisten = \"127.0.0.1:{}\"\n\
             [anchors]\nbroker = \"mqtts://localhost:{anchors}\"\nclock = \"payload\"\n[anchors.tls]\n{tls}\
             [uplink]\nbroker = \"mqtts://localhost:{uplink}\"\n[uplink.tls]\n{tls}",
            showroom.http
        );
        fs::write(showroom.config(), text).expect("written");
        showroom.env = vec![("SHOWFLOOR_CLOCK_QUALITY", "synced".to_owned())];
        showroom
    }
}

#[derive(Clone, Copy)]
struct Collect<'a> {
    broker: &'a str,
    ca: &'a Path,
    identity: Option<&'a (PathBuf, PathBuf)>,
    crl: Option<&'a Path>,
    clock: &'a str,
}

impl Collect<'_> {
    fn once(&self, into: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_showfloor"));
        command.args(["collect", "--once", "--site", "hel-01", "--broker", self.broker, "--into"]);
        command.arg(format!("sqlite:{}", into.display())).arg("--ca").arg(self.ca);
        if let Some((cert, key)) = self.identity {
            command.arg("--cert").arg(cert).arg("--key").arg(key);
        }
        if let Some(crl) = self.crl {
            command.arg("--crl").arg(crl);
        }
        command.env("SHOWFLOOR_CLOCK_QUALITY", self.clock).output().expect("showfloor runs")
    }
}

fn status(showroom: &Showroom, token: &str) -> Value {
    serde_json::from_str(&get(showroom.http, "/api/v1/status", Some(token)).1).expect("JSON")
}

/// What the status says of the certificates of a connection.
fn certificate(status: &Value, connection: &str) -> Value {
    let all = status["certificates"].as_array().expect("a list");
    all.iter().find(|line| line["connection"] == connection).expect("a known connection").clone()
}

#[test]
fn anchors_uplink_and_collector_speak_tls() {
    let house = House::open();
    house.client("box", &house.authority.client("hel-01", GOOD));
    let cloud = house.client("cloud", &house.authority.client("cloud", GOOD));
    let mut showroom = house.showroom(house.good, house.good);
    showroom.start();
    let service = showroom.token("service", "probe");
    let connected = |name: &str| (showroom.metric(&service, name) == 1).then_some(());
    wait_for("the anchors", || connected("showfloor_anchors_connected"));
    wait_for("the uplink", || connected("showfloor_uplink_connected"));
    let world = World::connect(house.broker.port, "hel-01");
    let car = json!({"id": "V1", "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "status": "available"});
    assert_eq!(world.command("vehicle.upsert", &car)["ok"], true);
    for second in 0..10 {
        world.reading("north-door", -60.0, 1_581_252_411.0 + f64::from(second));
    }
    wait_for("the readings", || (showroom.metric(&service, "showfloor_readings_total") >= 10).then_some(()));
    let into = house.path("cloud.sqlite");
    let ca = house.path("ca.pem");
    let crl = house.path("crl.pem");
    let collect = Collect {
        broker: &format!("mqtts://localhost:{}", house.good),
        ca: &ca,
        identity: Some(&cloud),
        crl: Some(&crl),
        clock: "synced",
    };
    let out = collect.once(&into);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let log = logged(&showroom, &service);
    assert!(collected(&into).into_iter().collect::<BTreeSet<_>>().is_subset(&log) && !collected(&into).is_empty());
    let status = status(&showroom, &service);
    assert_eq!(status["degraded"], json!([]));
    assert_eq!(certificate(&status, "uplink")["problem"], Value::Null);
    assert!(showroom.metric(&service, "showfloor_uplink_certificate_days") >= 363);
    assert!(showroom.metric(&service, "showfloor_anchors_certificate_days") >= 363);
    let check = Showroom::cli(&["check", "--config", showroom.config().to_str().expect("text")]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    assert!(!showroom.log().contains("WARN"), "{}", showroom.log());
}

#[test]
fn each_wrong_certificate_has_its_sentence() {
    let house = House::open();
    let stranger = Authority::new("strangers");
    fs::write(house.path("strange.pem"), stranger.pem()).expect("written");
    let (ca, strange, crl) = (house.path("ca.pem"), house.path("strange.pem"), house.path("crl.pem"));
    let good = house.client("cloud", &house.authority.client("cloud", GOOD));
    let old = house.client("old", &house.authority.client("cloud", EXPIRED));
    let revoked = house.client("revoked", &house.revoked);
    let foreign = house.client("foreign", &stranger.client("cloud", GOOD));
    let mixed = (good.0.clone(), old.1.clone());
    let open = house.client("open", &house.authority.client("cloud", GOOD));
    mode(&open.1, 0o644);
    let local = |port: u16| format!("mqtts://localhost:{port}");
    let by_address = format!("mqtts://127.0.0.1:{}", house.good);
    let [at_good, at_expired, at_early, at_stolen] = [house.good, house.expired, house.early, house.stolen].map(local);
    let ours = Collect { broker: &at_good, ca: &ca, identity: Some(&good), crl: None, clock: "synced" };
    let cases = [
        (Collect { identity: Some(&old), ..ours }, 69, "refuses our certificate OLD as expired: it ended on "),
        (Collect { identity: Some(&revoked), ..ours }, 69, "refuses our certificate REVOKED: it is revoked"),
        (Collect { identity: Some(&foreign), ..ours }, 69, "it does not know the authority that signed it"),
        (Collect { identity: None, ..ours }, 69, "wants a certificate of ours; name one with its key"),
        (Collect { identity: Some(&open), ..ours }, 78, "(mode 0644); run: chmod 600 "),
        (Collect { identity: Some(&mixed), ..ours }, 78, "old.key is not the key of "),
        (Collect { ca: &strange, ..ours }, 69, "is not signed by an authority in "),
        (Collect { broker: &by_address, ..ours }, 69, "is for localhost, not for 127.0.0.1"),
        (Collect { broker: &at_expired, ..ours }, 69, "the broker's certificate ended on "),
        (Collect { broker: &at_early, ..ours }, 69, "the broker's certificate begins on "),
        (Collect { broker: &at_early, clock: "unsynced", ..ours }, 69, "this box does not know the time"),
        (Collect { broker: &at_stolen, crl: Some(&crl), ..ours }, 69, "the broker's certificate is revoked"),
    ];
    for (collect, code, says) in cases {
        let out = collect.once(&house.path("cloud.sqlite"));
        let said = String::from_utf8_lossy(&out.stderr);
        let says =
            says.replace("OLD", &old.0.display().to_string()).replace("REVOKED", &revoked.0.display().to_string());
        assert!(said.contains(&says), "{says:?} is not in: {said}");
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
}

#[test]
fn a_box_with_bad_certificates_goes_on_and_takes_the_new_ones() {
    let house = House::open();
    let (_, key) = house.client("box", &house.revoked);
    mode(&key, 0o640);
    let mut showroom = house.showroom(house.good, house.early);
    showroom.env = vec![("SHOWFLOOR_CLOCK_QUALITY", "unsynced".to_owned())];
    showroom.start();
    let service = showroom.token("service", "probe");
    let problem = |connection: &str, says: &str| {
        wait_for(says, || {
            let status = status(&showroom, &service);
            let problem = certificate(&status, connection)["problem"].as_str().unwrap_or_default().to_owned();
            problem.contains(says).then_some(status["degraded"].clone())
        })
    };
    let chmod = format!("chmod 600 {}", key.display());
    assert_eq!(problem("uplink", &chmod), json!(["anchors-certificate", "uplink-certificate"]));
    let check = Showroom::cli(&["check", "--config", showroom.config().to_str().expect("text")]);
    assert_eq!(check.status.code(), Some(78));
    let said = String::from_utf8_lossy(&check.stderr);
    assert_eq!(said.matches(&chmod).count(), 2, "for both connections: {said}");
    mode(&key, 0o600);
    problem("uplink", "refuses our certificate");
    problem("anchors", "this box does not know the time");
    // Renewed in place: the next attempt takes it.
    house.client("box", &house.authority.client("hel-01", Days(-1, 10)));
    wait_for("the uplink", || (showroom.metric(&service, "showfloor_uplink_connected") == 1).then_some(()));
    let status = status(&showroom, &service);
    let uplink = certificate(&status, "uplink");
    assert_eq!((&uplink["problem"], uplink["daysLeft"].as_i64()), (&Value::Null, Some(9)), "{status}");
    assert!(status["degraded"].to_string().contains("uplink-certificate"), "it is old: {status}");
    let log = showroom.log();
    for says in
        ["it is revoked; issue this box a new one", "in 9 days; renew it", "this box does not know the time", &chmod]
    {
        assert!(log.contains(says), "{says:?} is not in the log");
    }
    assert!(!log.contains("PRIVATE KEY"));
}

/// The commands of the manual's chapter on certificates, in order.
fn commands_of_the_manual() -> Vec<String> {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).expect("read");
    let chapter =
        manual.split("## Certificates").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the chapter");
    let blocks = chapter.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("its end").to_owned()).collect()
}

fn sh(dir: &Path, commands: &str) {
    let out = Command::new("sh").args(["-ec", commands]).current_dir(dir).output().expect("sh runs");
    assert!(out.status.success(), "{commands}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn the_commands_of_the_manual_work() {
    let (dir, port) = (TempDir::new().expect("a directory"), free_port());
    let at = dir.path().to_owned();
    let mut commands = commands_of_the_manual();
    let revoke = commands.pop().expect("commands");
    assert!(revoke.contains("-revoke hel-01.pem") && commands.len() == 4, "{revoke}");
    sh(&at, &commands.concat());
    let acl = "pattern readwrite showfloor/v1/%u/#\nuser cloud\ntopic write showfloor/v1/+/pull/cloud\n\
               topic write showfloor/v1/+/ack/cloud\ntopic write showfloor/v1/+/command\ntopic read showfloor/v1/#\n";
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).expect("read");
    assert!(manual.contains(acl), "these rights stand in the manual");
    fs::write(at.join("acl"), acl).expect("written");
    let d = at.display();
    let text = format!(
        "user root\nlistener {port} 127.0.0.1\ncafile {d}/ca.pem\ncertfile {d}/broker.pem\n\
         keyfile {d}/broker.key\ncrlfile {d}/crl.pem\nrequire_certificate true\nuse_identity_as_username true\n\
         acl_file {d}/acl\n"
    );
    let mut broker = Broker::start_with(dir, &text);
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let config = fs::read_to_string(showroom.config()).expect("read");
    let config = config.split("[anchors]").next().expect("its begin");
    let tls = format!("ca = \"{d}/ca.pem\"\ncert = \"{d}/hel-01.pem\"\nkey = \"{d}/box.key\"\ncrl = \"{d}/crl.pem\"\n");
    let config = format!("{config}[uplink]\nbroker = \"mqtts://localhost:{port}\"\n[uplink.tls]\n{tls}");
    fs::write(showroom.config(), config).expect("written");
    showroom.start();
    let service = showroom.token("service", "probe");
    wait_for("the uplink", || (showroom.metric(&service, "showfloor_uplink_connected") == 1).then_some(()));
    broker.kill();
    sh(&at, &revoke);
    broker.start_again();
    wait_for("the refusal", || {
        let problem = certificate(&status(&showroom, &service), "uplink")["problem"].clone();
        problem.as_str().is_some_and(|problem| problem.contains("it is revoked")).then_some(())
    });
}
