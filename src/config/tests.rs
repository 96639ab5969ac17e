//! What is accepted and what is said of the rest.

use std::path::Path;

use super::{daemon, load, load_site, site};

const SITE: &str = r#"
[site]
id = "hel-01"
name = "Helsinki"
timezone = "Europe/Helsinki"
bounds = [0.0, 0.0, 30.0, 20.0]

[[anchor]]
id = "north-door"
x = 1
y = 19.5
z = 2.6

[[zone]]
id = "entrance"
kind = "entrance"
polygon = [[0.0, 17.0], [4.0, 17.0], [4.0, 20.0], [0.0, 20.0]]
"#;

fn problems(text: &str) -> Vec<String> {
    let problems = site::check("site.toml", text).expect_err("refused");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_site_is_read_as_written() {
    let site = site::check("site.toml", SITE).expect("good");
    assert_eq!(site.anchors[0].x.to_bits(), 1.0_f64.to_bits());
    assert_eq!(site.zone_at(2.0, 18.0).map(|zone| zone.id.as_str()), Some("entrance"));
}

#[test]
fn every_problem_is_said_at_once_with_its_line() {
    let text = SITE
        .replace("x = 1\n", "x = inf\n")
        .replace("z = 2.6", "zz = 2.6")
        .replace("kind = \"entrance\"", "kind = \"door\"")
        .replace("[4.0, 17.0], [4.0, 20.0]", "[4.0, 20.0], [4.0, 17.0]");
    insta::assert_snapshot!(problems(&text).join("\n"), @r#"
    site.toml:8: anchor[0].z: is missing
    site.toml:10: anchor[0].x: must be a finite number
    site.toml:12: anchor[0].zz: unknown key; did you mean z?
    site.toml:16: zone[0].kind: "door" is not one of entrance, vehicle, desk, lounge, service, outside
    site.toml:17: zone[0].polygon: crosses itself; list the corners in order around the zone
    "#);
}

#[test]
fn each_of_these_is_refused() {
    let doubled = format!("{SITE}\n[[anchor]]\nid = \"north-door\"\nx = 2.0\ny = 2.0\nz = 2.0\n");
    for (text, word) in [
        (doubled.as_str(), "used twice"),
        (&SITE.replace("y = 19.5", "y = 41.0"), "21.0 m outside"),
        (&SITE.replace("[0.0, 0.0, 30.0, 20.0]", "[0.0, 0.0, -1.0, 20.0]"), "bounds"),
        (&SITE.replace("hel-01", "Hel 01"), "site.id"),
        (&format!("{SITE}\n[[spot]]\nid = \"A1\"\nx = 1.0\ny = 1.0\nzone = \"nowhere\"\n"), "no zone"),
        (&format!("{SITE}\n[[tag]]\nid = \"x\"\nrole = \"visitor\"\nsubject = \"anna\"\n"), "customer id"),
        ("[site", "site.toml:1"),
        ("", "site: is missing"),
    ] {
        let said = problems(text).join("\n");
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

fn config_problems(text: &str) -> String {
    let world = daemon::World {
        secrets: &|_| Err("no such file".to_owned()),
        certificates: &|tls| vec![("ca", format!("{} is no good", tls.ca.display()))],
    };
    let draft = daemon::check("showfloor.toml", text, world);
    draft.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn problems_of_the_configuration_name_key_line_and_remedy() {
    let text = "[site]\nfile = \"site.toml\"\n[http]\nlisten = \"0.0.0.0:80\"\nlimit = 3\n[anchors]\nbroker = \"http://x\"\n\
                user = \"u\"\npassword_file = \"p\"\n[uplnk]\n";
    insta::assert_snapshot!(config_problems(text), @r#"
    showfloor.toml:4: http.listen: is reachable from the LAN in clear text; listen on loopback, or say allow_clear_text = true
    showfloor.toml:5: http.limit: unknown key; known here: listen, allow_clear_text, session_timeout_s, messages_per_minute, max_message_bytes, blocked_s, idle_s
    showfloor.toml:7: anchors.broker: "http://x" is no broker: write mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS
    showfloor.toml:9: anchors.password_file: no such file
    showfloor.toml:10: uplnk: unknown key; did you mean uplink?
    "#);
    assert_eq!(config_problems("[site]\nfile = \"site.toml\"\n"), "");
}

#[test]
fn tls_is_asked_for_by_the_address_and_told_by_a_section() {
    let text = "[site]\nfile = \"site.toml\"\n[anchors]\nbroker = \"mqtts://x\"\n[uplink]\nbroker = \"mqtt://y\"\n\
                [uplink.tls]\nca = \"ca.pem\"\ncert = \"box.pem\"\nkee = \"box.key\"\n";
    insta::assert_snapshot!(config_problems(text), @r#"
    showfloor.toml:4: anchors.broker: speaks TLS; say in a section tls which ca to believe
    showfloor.toml:6: uplink.broker: is in clear text; write mqtts:// to use the section tls
    showfloor.toml:8: uplink.tls.ca: ca.pem is no good
    showfloor.toml:9: uplink.tls.cert: stands alone; cert and key belong together
    showfloor.toml:10: uplink.tls.kee: unknown key; did you mean key?
    "#);
}

#[test]
fn what_is_wrong_about_the_disk_is_said_with_its_line() {
    let text = "[site]\nfile = \"site.toml\"\n[storage]\nlimit_bytes = 1_000\nreserve_bytes = 2_000_000_000\n\
                keep_days = { sales = -1, traces = 3 }\n";
    insta::assert_snapshot!(config_problems(text), @r"
    showfloor.toml:4: storage.limit_bytes: must be a whole number in 67108864..=1125899906842624
    showfloor.toml:5: storage.reserve_bytes: must be a whole number in 0..=1073741824
    showfloor.toml:6: storage.keep_days.sales: must be a whole number in 0..=3650
    showfloor.toml:6: storage.keep_days.traces: unknown key; did you mean trace?
    ");
    let text = "[site]\nfile = \"site.toml\"\n[storage]\nlimit_bytes = 67108864\nreserve_bytes = 33554432\n";
    assert!(config_problems(text).contains("storage.reserve_bytes: is more than a quarter of limit_bytes"));
}

#[test]
fn the_samples_that_we_ship_are_good() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let config = load(&dir.join("showfloor.toml")).map_err(|problems| problems.to_string()).expect("good");
    assert!(config.anchors.is_some() && config.uplink.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.storage, super::Storage::default());
}

#[test]
fn the_sites_of_the_recordings_are_good() {
    let told = std::env::var_os("SHOWFLOOR_DATA").map(std::path::PathBuf::from);
    let data = told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    if !data.is_dir() {
        assert!(std::env::var_os("SHOWFLOOR_REQUIRE_DATA").is_none(), "the recordings are required");
        eprintln!("skipped: no recordings at {}", data.display());
        return;
    }
    for name in ["office12", "carbay", "sim6x4"] {
        let path = data.join("positioning").join(name).join("site.toml");
        load_site(&path).map_err(|problems| problems.to_string()).expect("good");
    }
}
