//! TLS to PostgreSQL: each mode does what it says, and each wrong certificate has its sentence.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Collecting, Postgres};
use crate::{
    pki::{Authority, EXPIRED, GOOD, Issued, mode},
    support::{Broker, SITE, Showroom, wait_for},
};

/// In clear for who sets the server up; others in TLS, by password or by certificate.
const RIGHTS: &str = "host all floor 127.0.0.1/32 trust
hostssl all walker 127.0.0.1/32 scram-sha-256
hostssl all cloud 127.0.0.1/32 cert
";

/// A server, and one box whose log goes there.
struct House {
    server: Postgres,
    authority: Authority,
    dir: TempDir,
    broker: Broker,
    _showroom: Showroom,
}

impl House {
    fn open() -> Self {
        let (server, dir) = (Postgres::start(), TempDir::new().expect("a directory"));
        let authority = Authority::new("databases");
        fs::write(dir.path().join("ca.pem"), authority.pem()).expect("written");
        server.ask("CREATE ROLE walker SUPERUSER LOGIN PASSWORD 's3cret'").expect("made");
        server.ask("CREATE ROLE cloud SUPERUSER LOGIN").expect("made");
        server.give("pg_hba.conf", RIGHTS);
        server.give("ca.pem", &authority.pem());
        server.set("ssl_ca_file", "'ca.pem'");
        let broker = Broker::start();
        let mut showroom = Showroom::new("hel-01", SITE, broker.port);
        showroom.start();
        Self { server, authority, dir, broker, _showroom: showroom }
    }

    /// Has the server show this certificate from now on.
    fn shows(&self, name: &str, issued: &Issued) {
        self.server.give(&format!("{name}.crt"), &issued.cert);
        self.server.give(&format!("{name}.key"), &issued.key);
        self.server.ask(&format!("ALTER SYSTEM SET ssl_cert_file = '{name}.crt'")).expect("set");
        self.server.set("ssl_key_file", &format!("'{name}.key'"));
        self.server.set("ssl", "on");
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn client(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        issued.write(self.dir.path(), name)
    }

    /// An address of the server.
    fn url(&self, login_at_host: &str, options: &str) -> String {
        format!("postgres://{login_at_host}:{}/postgres?{options}", self.server.port)
    }

    /// Exit code and what a collector said that was to fetch everything once.
    fn collect(&self, login_at_host: &str, options: &str) -> (Option<i32>, String) {
        let out = Collecting::once(self.broker.port, &self.url(login_at_host, options));
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!said.contains("s3cret") && !said.contains("PRIVATE KEY"), "{said}");
        (out.status.code(), said)
    }

    fn refused(&self, login_at_host: &str, options: &str, says: &str) {
        let (code, said) = self.collect(login_at_host, options);
        assert!(code == Some(74) && said.contains(says), "{options}: {says:?} is not in: {said}");
    }

    fn fine(&self, login_at_host: &str, options: &str) -> String {
        let (code, said) = self.collect(login_at_host, options);
        assert_eq!(code, Some(0), "{options}: {said}");
        said
    }
}

fn identity((cert, key): &(PathBuf, PathBuf)) -> String {
    let text = |path: &Path| path.display().to_string();
    format!("sslcert={}&sslkey={}", text(cert), text(key))
}

const BY_PASSWORD: &str = "walker:s3cret@127.0.0.1";

#[test]
fn each_mode_checks_what_it_says() {
    let house = House::open();
    let ca = format!("sslrootcert={}", house.path("ca.pem"));
    house.refused(BY_PASSWORD, "sslmode=require", "switch ssl on there");
    house.shows("good", &house.authority.broker(&["localhost"], GOOD));
    let said = house.fine(BY_PASSWORD, "sslmode=require&channel_binding=require");
    assert!(said.contains("does not check who answers; sslmode=verify-full does"), "{said}");
    let said = house.fine(BY_PASSWORD, &format!("sslmode=verify-ca&{ca}"));
    assert!(!said.contains("does not check"), "{said}");
    house.refused(BY_PASSWORD, &format!("sslmode=verify-full&{ca}"), "is for localhost, not for 127.0.0.1");
    house.fine("walker:s3cret@localhost", &format!("sslmode=verify-full&{ca}"));
    house.refused("walker:s3cret@127.0.0.1", "sslmode=disable", "no encryption");

    fs::write(house.path("strange.pem"), Authority::new("strangers").pem()).expect("written");
    let strange = format!("sslrootcert={}", house.path("strange.pem"));
    for mode in ["require", "verify-ca", "verify-full"] {
        let options = format!("sslmode={mode}&{strange}");
        house.refused("walker:s3cret@localhost", &options, "the database server's certificate is not signed by");
    }
    house.refused(BY_PASSWORD, "sslmode=verify-ca&sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem cannot be read");
}

#[test]
fn certificates_on_both_sides_are_checked_and_counted() {
    let house = House::open();
    let ca = format!("sslmode=verify-full&sslrootcert={}", house.path("ca.pem"));
    let good = house.authority.broker(&["localhost"], GOOD);
    house.shows("good", &good);
    let ours = house.client("ours", &house.authority.client("cloud", GOOD));
    let old = house.client("old", &house.authority.client("cloud", EXPIRED));
    let options = format!("{ca}&{}", identity(&ours));
    house.refused("cloud@localhost", &ca, "valid client certificate");
    house.refused("cloud@localhost", &format!("{ca}&{}", identity(&old)), "as expired: it ended on ");
    mode(&old.1, 0o644);
    house.refused("cloud@localhost", &format!("{ca}&{}", identity(&old)), "run: chmod 600 ");

    let url = house.url("cloud@localhost", &options);
    let mut collecting = Collecting::start(house.broker.port, &["--site", "hel-01"], &url);
    let secured = "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'showfloor-collect'";
    wait_for("all its connections", || (house.server.ask(secured).ok()? == ["5|5"]).then_some(()));
    let days = || collecting.metric("showfloor_collect_database_certificate_days");
    wait_for("the days that are left", || (days() >= 363).then_some(()));
    assert_eq!(collecting.stop(), Some(0));

    fs::write(house.path("crl.pem"), house.authority.revocations(&[&good], 10)).expect("written");
    let with_list = format!("{options}&sslcrl={}", house.path("crl.pem"));
    house.refused("cloud@localhost", &with_list, "the database server's certificate is revoked");
    house.shows("old", &house.authority.broker(&["localhost"], EXPIRED));
    house.refused("cloud@localhost", &options, "the database server's certificate ended on ");
}
