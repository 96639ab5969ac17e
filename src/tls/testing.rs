//! Authorities, certificates and revocation lists, made for a test; the tests of the whole program use them as well.

#![allow(unreachable_pub, dead_code)] // compiled twice; neither side uses all of it

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// From when until when a certificate is valid, in days from now.
#[derive(Debug, Clone, Copy)]
pub struct Days(pub i64, pub i64);

/// What is valid now, and for long.
pub const GOOD: Days = Days(-1, 365);
/// What was valid until yesterday.
pub const EXPIRED: Days = Days(-30, -1);
/// What becomes valid in a month.
pub const EARLY: Days = Days(30, 365);

/// Who signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    serial: AtomicU64,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
    serial: u64,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = params(name, GOOD, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signed");
        Self { issuer, serial: AtomicU64::new(1) }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For a broker that answers to `names`.
    pub fn broker(&self, names: &[&str], days: Days) -> Issued {
        self.issue(params("broker", days, names), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client called `name`.
    pub fn client(&self, name: &str, days: Days) -> Issued {
        self.issue(params(name, days, &[]), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Issued {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("signed");
        Issued { cert: cert.pem(), key: key.serialize_pem(), serial }
    }

    /// A list of what is revoked, made 20 days ago and to be replaced in `due` days.
    pub fn revocations(&self, revoked: &[&Issued], due: i64) -> String {
        let epoch = date_time_ymd(1970, 1, 1);
        let entry = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: epoch + day(-1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: epoch + day(-20),
            next_update: epoch + day(due),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("signed").pem().expect("PEM")
    }
}

impl Issued {
    /// Writes both into `dir` as `NAME.pem` and `NAME.key`, the key for its owner alone.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        fs::write(&cert, &self.cert).expect("written");
        fs::write(&key, &self.key).expect("written");
        mode(&key, 0o600);
        (cert, key)
    }
}

/// Sets the rights of a file.
pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode is set");
}

fn params(name: &str, days: Days, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = date_time_ymd(1970, 1, 1);
    (params.not_before, params.not_after) = (epoch + day(days.0), epoch + day(days.1));
    params
}

/// So many days from now, since 1970.
fn day(from_now: i64) -> Duration {
    let now = UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    Duration::from_secs(now.checked_add_signed(from_now * 86_400).expect("after 1970"))
}
