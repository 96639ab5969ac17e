//! The book of tokens: issued once, printed once, stored as their SHA-256, refused from the moment they are revoked.
//!
//! A token is `sf_` and 32 random bytes in hex. It is looked up by its hash, so that the time this takes tells nothing
//! of any token; with 256 random bits, nothing slower than SHA-256 is needed.

use std::{fmt, path::Path, sync::Arc};

use sha2::{Digest as _, Sha256};
use uuid::Builder;

use crate::{
    domain::{Clock as _, IdError, KioskId, StaffId, Timestamp},
    store::{StoreError, TokenRow, TokenTable},
    telemetry::SystemClock,
};

const PREFIX: &str = "sf_";
const SECRET_BYTES: usize = 32;
const MAX_NAME: usize = 64;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenRole {
    /// A salesperson's tablet: sees customers.
    Staff,
    /// A public kiosk: sees cars only.
    Kiosk,
    /// Other programs on the LAN.
    Service,
}

impl TokenRole {
    /// Its name on the command line and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Kiosk => "kiosk",
            Self::Service => "service",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Staff, Self::Kiosk, Self::Service].into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for TokenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who presents a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What they may do.
    pub role: TokenRole,
    /// Name of the token; of a kiosk: its [`KioskId`].
    pub name: String,
    /// For whom it was issued; of staff, where given: the [`StaffId`], which else is the name.
    pub subject: Option<String>,
    /// Id of the token, which is no secret.
    pub token_id: String,
}

/// A token as it is listed: never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Whose.
    pub identity: Identity,
    /// Since when.
    pub issued_at: Timestamp,
}

/// Why the book could not be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is a token of that name.
    #[error("a token named {name:?} exists; revoke it first, or choose another name")]
    Taken {
        /// Which.
        name: String,
    },
    /// There is no token of that name.
    #[error("no token is named {name:?}; `showfloor token list` shows those that are")]
    Unknown {
        /// Which.
        name: String,
    },
    /// A kiosk's name, or the subject of staff, must be an id.
    #[error("a {role} token cannot be issued for that")]
    BadId {
        /// Of which role.
        role: TokenRole,
        /// The rule that it breaks.
        source: IdError,
    },
    /// A name that nobody could type.
    #[error("a token's name must be 1 to 64 characters, none of them a control character")]
    BadName,
    /// The database does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database holds a role of a newer program.
    #[error("the role {0:?} of a token is not known to this program")]
    UnknownRole(String),
    /// No entropy.
    #[error("the system gave no random bytes")]
    Random,
}

/// A clonable book of tokens. Its calls read or write a small file on the calling thread: some tens of microseconds to
/// identify, one disk write to issue or revoke.
#[derive(Clone)]
pub struct AccessBook {
    table: Arc<TokenTable>,
    clock: SystemClock,
}

impl AccessBook {
    /// Opens or makes the book in the data directory; the daemon may be running.
    ///
    /// # Errors
    /// When the directory or the file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, AccessError> {
        Ok(Self { table: Arc::new(TokenTable::open(dir)?), clock: SystemClock::new() })
    }

    /// Issues a token and returns it: the only time that it can be seen.
    ///
    /// # Errors
    /// When the name is taken or the name or subject is not what the role asks for.
    pub fn issue(&self, role: TokenRole, name: &str, subject: Option<&str>) -> Result<String, AccessError> {
        check(role, name, subject)?;
        let secret: [u8; SECRET_BYTES] = random()?;
        let token = format!("{PREFIX}{}", hex::encode(secret));
        let row = TokenRow {
            id: Builder::from_random_bytes(random()?).into_uuid().to_string(),
            role: role.as_str().to_owned(),
            name: name.to_owned(),
            subject: subject.map(str::to_owned),
            issued_at: self.clock.now().wall,
        };
        if self.table.insert(hash(&token), &row)? {
            Ok(token)
        } else {
            Err(AccessError::Taken { name: name.to_owned() })
        }
    }

    /// Tokens that are not revoked, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self) -> Result<Vec<TokenInfo>, AccessError> {
        let info = |row: TokenRow| Ok(TokenInfo { issued_at: row.issued_at, identity: identity(row)? });
        self.table.list()?.into_iter().map(info).collect()
    }

    /// Ends the token of that name: it is refused from now on.
    ///
    /// # Errors
    /// When there is none of that name, or the file cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), AccessError> {
        if self.table.revoke(name, self.clock.now().wall)? {
            Ok(())
        } else {
            Err(AccessError::Unknown { name: name.to_owned() })
        }
    }

    /// Who presents `token`; `None` when it was never issued or is revoked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn identify(&self, token: &str) -> Result<Option<Identity>, AccessError> {
        let of_ours = token.len() == PREFIX.len() + 2 * SECRET_BYTES && token.starts_with(PREFIX);
        if !of_ours {
            return Ok(None);
        }
        self.table.find(hash(token))?.map(identity).transpose()
    }
}

fn check(role: TokenRole, name: &str, subject: Option<&str>) -> Result<(), AccessError> {
    if !(1..=MAX_NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(AccessError::BadName);
    }
    let bad = |source| AccessError::BadId { role, source };
    match role {
        TokenRole::Kiosk => KioskId::new(name).map(drop).map_err(bad),
        TokenRole::Staff => StaffId::new(subject.unwrap_or(name)).map(drop).map_err(bad),
        TokenRole::Service => Ok(()),
    }
}

fn identity(row: TokenRow) -> Result<Identity, AccessError> {
    let role = TokenRole::from_name(&row.role).ok_or(AccessError::UnknownRole(row.role))?;
    Ok(Identity { role, name: row.name, subject: row.subject, token_id: row.id })
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AccessError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_until_it_is_revoked_elsewhere() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let (daemon, cli) =
            (AccessBook::open(dir.path()).expect("opens"), AccessBook::open(dir.path()).expect("opens"));
        let token = cli.issue(TokenRole::Staff, "tablet 1", Some("anna")).expect("issues");
        let anna = daemon.identify(&token).expect("reads").expect("is known");
        assert_eq!((anna.role, anna.subject.as_deref()), (TokenRole::Staff, Some("anna")));
        assert_eq!(daemon.list().expect("reads").first().map(|info| info.identity.clone()), Some(anna));
        cli.revoke("tablet 1").expect("revokes");
        assert_eq!(daemon.identify(&token).expect("reads"), None);
        assert!(matches!(cli.revoke("tablet 1"), Err(AccessError::Unknown { .. })));
        assert_eq!(daemon.list().expect("reads"), []);
    }

    #[test]
    fn the_token_itself_is_in_no_file() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let book = AccessBook::open(dir.path()).expect("opens");
        let token = book.issue(TokenRole::Service, "crm", None).expect("issues");
        let secret = token.trim_start_matches(PREFIX);
        for entry in std::fs::read_dir(dir.path()).expect("lists") {
            let bytes = std::fs::read(entry.expect("entry").path()).expect("reads");
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }

    #[test]
    fn names_are_unique_among_tokens_that_live() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let book = AccessBook::open(dir.path()).expect("opens");
        let first = book.issue(TokenRole::Kiosk, "K1", None).expect("issues");
        assert!(matches!(book.issue(TokenRole::Kiosk, "K1", None), Err(AccessError::Taken { .. })));
        book.revoke("K1").expect("revokes");
        let second = book.issue(TokenRole::Kiosk, "K1", None).expect("issues again");
        assert_ne!(first, second);
        assert_eq!(book.identify(&first).expect("reads"), None);
        assert!(book.identify(&second).expect("reads").is_some());
    }

    #[test]
    fn what_is_no_id_or_no_token_is_refused() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let book = AccessBook::open(dir.path()).expect("opens");
        assert!(matches!(book.issue(TokenRole::Kiosk, "by the door", None), Err(AccessError::BadId { .. })));
        assert!(matches!(book.issue(TokenRole::Staff, "a b", None), Err(AccessError::BadId { .. })));
        assert!(matches!(book.issue(TokenRole::Service, "", None), Err(AccessError::BadName)));
        for wrong in ["", "sf_", "sf_00", &format!("{PREFIX}{}", "0".repeat(64)), &"x".repeat(67)] {
            assert_eq!(book.identify(wrong).expect("reads"), None, "{wrong}");
        }
    }
}
