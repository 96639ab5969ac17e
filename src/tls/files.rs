//! The files of TLS: read whole, checked whole, every flaw said at once.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    client::{VerifierBuilderError, WebPkiServerVerifier},
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject},
    },
    sign::CertifiedKey,
};

use super::{
    error::Flaw,
    validity::{Validity, next_list_due},
};
use crate::domain::Timestamp;

/// Largest file that is read: Debian's list of all public authorities has a quarter of it.
const MAX_BYTES: u64 = 1 << 20;
/// Rights of group and others.
const OTHERS: u32 = 0o077;

/// Which files a connection uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that the broker's is believed of.
    pub ca: PathBuf,
    /// Our own certificate, with those between it and its authority, and its private key; none where the broker wants none.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Revocation lists of those authorities; without them no certificate counts as revoked.
    pub crl: Option<PathBuf>,
}

/// What the files hold.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) verifier: Arc<WebPkiServerVerifier>,
    pub(super) identity: Option<Identity>,
    /// When the first of the revocation lists should be replaced.
    pub(super) list_due: Option<Timestamp>,
}

/// Who we are to the broker.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certificate: CertifiedKey,
    pub(super) validity: Validity,
}

/// Reads and checks all of them. Blocks for as long as the disk takes.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn read(files: &TlsFiles, provider: &Arc<CryptoProvider>) -> Result<Material, Vec<Flaw>> {
    let mut flaws = Vec::new();
    let roots = or_flaw(authorities(&files.ca), &mut flaws);
    let lists = files.crl.as_deref().and_then(|path| or_flaw(revocations(path), &mut flaws));
    let own = files.identity.as_ref().map(|(cert, key)| identity(cert, key, provider, &mut flaws));
    let (lists, list_due) = lists.unwrap_or_default();
    let verifier = roots.and_then(|roots| {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let built = verifier.with_crls(lists).only_check_end_entity_revocation().build();
        or_flaw(built.map_err(|error| unusable(&error, files)), &mut flaws)
    });
    match verifier {
        Some(verifier) if flaws.is_empty() => Ok(Material { verifier, identity: own.flatten(), list_due }),
        _ => Err(flaws),
    }
}

fn or_flaw<T>(read: Result<T, Flaw>, flaws: &mut Vec<Flaw>) -> Option<T> {
    read.map_err(|flaw| flaws.push(flaw)).ok()
}

fn flaw(key: &'static str, path: &Path, what: impl std::fmt::Display) -> Flaw {
    Flaw { key, message: format!("{} {what}", path.display()) }
}

fn contents(key: &'static str, path: &Path) -> Result<(Vec<u8>, u32), Flaw> {
    let read = || -> io::Result<(Vec<u8>, u32)> {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    let (bytes, mode) = read().map_err(|error| flaw(key, path, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(flaw(key, path, "has over 1 MiB; name the file with the certificates alone"));
    }
    Ok((bytes, mode))
}

/// All objects of one kind in a PEM file; at least one.
fn objects<T: PemObject>(key: &'static str, path: &Path, bytes: &[u8], kind: &str) -> Result<Vec<T>, Flaw> {
    let found: Result<Vec<T>, PemError> = T::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(flaw(key, path, format!("holds no {kind} in PEM (-----BEGIN …)"))),
        Ok(found) => Ok(found),
        Err(_) => Err(flaw(key, path, format!("is damaged: it begins like PEM, but a {kind} in it cannot be read"))),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, Flaw> {
    let (bytes, _) = contents("ca", path)?;
    let certificates: Vec<CertificateDer<'_>> = objects("ca", path, &bytes, "certificate of an authority")?;
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(flaw("ca", path, "holds no certificate that can be read")),
        _ => Ok(roots),
    }
}

type Lists = (Vec<CertificateRevocationListDer<'static>>, Option<Timestamp>);

fn revocations(path: &Path) -> Result<Lists, Flaw> {
    let (bytes, _) = contents("crl", path)?;
    let lists: Vec<CertificateRevocationListDer<'static>> = objects("crl", path, &bytes, "revocation list")?;
    let due: Result<Vec<_>, _> = lists.iter().map(|list| next_list_due(list)).collect();
    let due = due.map_err(|_| flaw("crl", path, "holds a revocation list that cannot be read"))?;
    Ok((lists, due.into_iter().flatten().min()))
}

fn unusable(error: &VerifierBuilderError, files: &TlsFiles) -> Flaw {
    match (&files.crl, error) {
        (Some(path), VerifierBuilderError::InvalidCrl(error)) => {
            flaw("crl", path, format!("holds a revocation list that cannot be used: {error:?}"))
        }
        _ => flaw("ca", &files.ca, format!("cannot be used: {error}")),
    }
}

/// Certificate and key, each checked by itself and both together.
fn identity(cert: &Path, key: &Path, provider: &CryptoProvider, flaws: &mut Vec<Flaw>) -> Option<Identity> {
    let chain = or_flaw(chain(cert), flaws);
    let private = or_flaw(private_key(key), flaws);
    let ((chain, validity), private) = chain.zip(private)?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let whose = format!("is not the key of {}; name the two that were made together", cert.display());
            flaw("key", key, whose)
        }
        Error::InvalidCertificate(error) => flaw("cert", cert, format!("cannot be used: {error:?}")),
        _ => flaw(
            "key",
            key,
            "is of a kind that is not known; take ECDSA (P-256, P-384), Ed25519, or RSA from 2048 bits",
        ),
    });
    or_flaw(certified, flaws).map(|certificate| Identity { certificate, validity })
}

fn chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Validity), Flaw> {
    let (bytes, _) = contents("cert", path)?;
    let chain: Vec<CertificateDer<'static>> = objects("cert", path, &bytes, "certificate")?;
    let validity = chain.first().map(|own| Validity::of(own));
    match validity {
        Some(Ok(validity)) => Ok((chain, validity)),
        _ => Err(flaw("cert", path, "holds a certificate that cannot be read")),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Flaw> {
    let (bytes, mode) = contents("key", path)?;
    if mode & OTHERS != 0 {
        let (mode, path_text) = (mode & 0o7777, path.display());
        let what = format!("may be read by others than its owner (mode {mode:04o}); run: chmod 600 {path_text}");
        return Err(flaw("key", path, what));
    }
    if bytes.windows(9).any(|word| word == b"ENCRYPTED") {
        let what = "asks for a passphrase, which nobody can type on a box; take it off: openssl pkey -in KEY -out NEW";
        return Err(flaw("key", path, what));
    }
    let keys: Vec<PrivateKeyDer<'static>> = objects("key", path, &bytes, "private key")?;
    keys.into_iter().next().ok_or_else(|| flaw("key", path, "holds no private key"))
}
