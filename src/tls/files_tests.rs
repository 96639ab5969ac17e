use std::{fs, path::Path, sync::Arc};

use rustls::crypto::ring;
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    files::{TlsFiles, read},
    inspect,
    testing::{Authority, Days, EARLY, EXPIRED, GOOD, mode},
};
use crate::domain::{BootId, Clock as _, ClockQuality, Stamp};

/// Good files of every kind in a directory.
fn good(authority: &Authority) -> (TempDir, TlsFiles) {
    let dir = TempDir::new().expect("a directory");
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("written");
    let identity = authority.client("hel-01", GOOD).write(dir.path(), "box");
    let crl = dir.path().join("crl.pem");
    fs::write(&crl, authority.revocations(&[], 10)).expect("written");
    (dir, TlsFiles { ca, identity: Some(identity), crl: Some(crl) })
}

fn now() -> Stamp {
    let clock = crate::telemetry::SystemClock::new();
    Stamp { quality: ClockQuality::Synced, boot: BootId(Uuid::nil()), ..clock.now() }
}

/// What is wrong, one a line, without the directory.
fn wrong(files: &TlsFiles, dir: &Path) -> String {
    let flaws = inspect(files, now());
    let lines = flaws.iter().map(|flaw| format!("{}: {}", flaw.key, flaw.message));
    lines.collect::<Vec<_>>().join("\n").replace(&format!("{}/", dir.display()), "")
}

#[test]
fn good_files_are_taken() {
    let (dir, files) = good(&Authority::new("ours"));
    assert_eq!(wrong(&files, dir.path()), "");
    let material = read(&files, &Arc::new(ring::default_provider())).expect("good");
    let days = material.identity.expect("ours").validity.days_left(now().wall);
    assert!((363..=365).contains(&days), "{days}");
    assert!(material.list_due.is_some());
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let (dir, files) = good(&Authority::new("ours"));
    let key = &files.identity.as_ref().expect("ours").1;
    fs::write(&files.ca, "nothing of interest").expect("written");
    fs::remove_file(files.crl.as_ref().expect("a list")).expect("removed");
    mode(key, 0o640);
    insta::assert_snapshot!(wrong(&files, dir.path()), @r"
    ca: ca.pem holds no certificate of an authority in PEM (-----BEGIN …)
    crl: crl.pem cannot be read: No such file or directory (os error 2)
    key: box.key may be read by others than its owner (mode 0640); run: chmod 600 box.key
    ");
}

#[test]
fn each_of_these_files_is_refused() {
    let authority = Authority::new("ours");
    let (dir, files) = good(&authority);
    let (cert, key) = files.identity.clone().expect("ours");
    let other = authority.client("hel-01", GOOD);
    let pem = fs::read_to_string(&cert).expect("read");
    let broken = pem.replace("MII", "MI!");
    let truncated = &pem[..pem.len() / 2];
    let begin = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let good_key = fs::read_to_string(&key).expect("read");
    for (path, text, says) in [
        (&key, other.key.as_str(), "key: box.key is not the key of box.pem; name the two that were made together"),
        (&key, begin, "key: box.key asks for a passphrase"),
        (&key, pem.as_str(), "key: box.key holds no private key in PEM"),
        (&cert, good_key.as_str(), "cert: box.pem holds no certificate in PEM"),
        (&cert, truncated, "cert: box.pem is damaged"),
        (&cert, not_der, "cert: box.pem holds a certificate that cannot be read"),
        (&cert, broken.as_str(), "cert: box.pem is damaged"),
        (&files.ca, not_der, "ca: ca.pem holds no certificate that can be read"),
        (files.crl.as_ref().expect("a list"), pem.as_str(), "crl: crl.pem holds no revocation list in PEM"),
    ] {
        let before = fs::read(path).expect("read");
        fs::write(path, text).expect("written");
        let said = wrong(&files, dir.path());
        assert!(said.contains(says), "{says:?} is not in: {said}");
        assert!(!said.contains("PRIVATE") && !said.contains("MII"), "no contents: {said}");
        fs::write(path, before).expect("written");
    }
    assert_eq!(wrong(&files, dir.path()), "");
}

#[test]
fn dates_are_looked_at_by_whoever_checks() {
    let authority = Authority::new("ours");
    for (days, says) in [(EXPIRED, "cert: box.pem ended on "), (EARLY, "cert: box.pem begins on "), (Days(-9, 9), "")] {
        let (dir, files) = good(&authority);
        authority.client("hel-01", days).write(dir.path(), "box");
        let said = wrong(&files, dir.path());
        assert!(if says.is_empty() { said.is_empty() } else { said.starts_with(says) }, "{said}");
    }
    let (dir, files) = good(&authority);
    fs::write(files.crl.as_ref().expect("a list"), authority.revocations(&[], -2)).expect("written");
    assert!(wrong(&files, dir.path()).starts_with("crl: crl.pem should have been replaced on "));
    let stopped = Stamp { quality: ClockQuality::Unsynced, ..now() };
    assert!(inspect(&files, stopped)[0].message.contains("clock, which nothing confirms, says"));
}
