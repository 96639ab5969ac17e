//! Sealing of personal parts: XChaCha20-Poly1305 under one random key per subject.
//!
//! A sealed part is a random nonce (24 bytes) followed by the ciphertext; the id and the kind of its event are
//! authenticated with it, so that it cannot be moved to another event. Keys are made when first needed. A part whose key
//! is gone, or was replaced because the customer came back after being erased, reads [`Revealed::Erased`].

use std::collections::HashMap;

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use rusqlite::{Connection, OptionalExtension as _};

use super::error::DbError;
use crate::domain::{EventId, Personal, Revealed, Subject};

const NONCE_BYTES: usize = 24;
/// A key as the table holds it.
pub(super) type KeyBytes = [u8; 32];

/// What binds a sealed part to its event.
#[derive(Clone, Copy)]
pub(super) struct Bond<'a> {
    pub(super) id: EventId,
    pub(super) kind: &'a str,
}

impl Bond<'_> {
    fn bytes(self) -> Vec<u8> {
        [self.id.0.as_bytes().as_slice(), self.kind.as_bytes()].concat()
    }
}

/// How the key table names a subject.
pub(super) fn subject_text(subject: &Subject) -> String {
    match subject {
        Subject::Customer(id) => format!("customer:{id}"),
        Subject::Staff(id) => format!("staff:{id}"),
        Subject::Site => "site".into(),
    }
}

/// Fresh random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], DbError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| DbError::Random)?;
    Ok(bytes)
}

/// Seals `fields` under the key of `subject`, which is made if there is none.
pub(super) fn seal(conn: &Connection, subject: &str, bond: Bond<'_>, fields: &Personal) -> Result<Vec<u8>, DbError> {
    let key = match key_of(conn, subject)? {
        Some(key) => key,
        None => make_key(conn, subject)?,
    };
    let plain = serde_json::to_vec(fields).map_err(|_| DbError::Seal)?;
    let nonce: [u8; NONCE_BYTES] = random()?;
    let payload = Payload { msg: &plain, aad: &bond.bytes() };
    let cipher = XChaCha20Poly1305::new(&key.into());
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| DbError::Seal)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Whether `sealed` was sealed under `key`.
pub(super) fn opens(key: KeyBytes, bond: Bond<'_>, sealed: &[u8]) -> bool {
    unseal(key, bond, sealed).is_some()
}

/// Puts a key in that was found.
pub(super) fn keep(conn: &Connection, subject: &str, key: KeyBytes) -> Result<(), DbError> {
    let sql = "INSERT OR IGNORE INTO sealing_key (subject, key) VALUES (?1, ?2)";
    conn.prepare_cached(sql)?.execute((subject, key))?;
    Ok(())
}

fn unseal(key: KeyBytes, bond: Bond<'_>, sealed: &[u8]) -> Option<Personal> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload { msg: body, aad: &bond.bytes() };
    let plain = XChaCha20Poly1305::new(&key.into()).decrypt(&XNonce::from(*nonce), payload).ok()?;
    serde_json::from_slice(&plain).ok()
}

fn key_of(conn: &Connection, subject: &str) -> Result<Option<KeyBytes>, DbError> {
    let mut statement = conn.prepare_cached("SELECT key FROM sealing_key WHERE subject = ?1")?;
    Ok(statement.query_row([subject], |row| row.get(0)).optional()?)
}

fn make_key(conn: &Connection, subject: &str) -> Result<KeyBytes, DbError> {
    let key: KeyBytes = random()?;
    conn.prepare_cached("INSERT INTO sealing_key (subject, key) VALUES (?1, ?2)")?.execute((subject, key))?;
    Ok(key)
}

/// Deletes the key of `subject`: what it sealed cannot be read from then on.
pub(super) fn forget(conn: &Connection, subject: &Subject) -> Result<(), DbError> {
    let subject = subject_text(subject);
    conn.prepare_cached("DELETE FROM sealing_key WHERE subject = ?1")?.execute([subject])?;
    Ok(())
}

/// Opens sealed parts within one snapshot; asks for each key once.
pub(super) struct Keyring<'a> {
    conn: &'a Connection,
    known: HashMap<String, Option<KeyBytes>>,
}

impl<'a> Keyring<'a> {
    pub(super) fn new(conn: &'a Connection) -> Self {
        Self { conn, known: HashMap::new() }
    }

    pub(super) fn reveal(&mut self, subject: &str, bond: Bond<'_>, sealed: &[u8]) -> Result<Revealed, DbError> {
        let key = match self.known.get(subject) {
            Some(key) => *key,
            None => *self.known.entry(subject.to_owned()).or_insert(key_of(self.conn, subject)?),
        };
        let fields = key.and_then(|key| unseal(key, bond, sealed));
        Ok(fields.map_or(Revealed::Erased, Revealed::Present))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_part_opens_only_for_its_event_and_with_its_key() {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(include_str!("schema_1.sql")).expect("makes tables");
        let id = EventId(uuid::Uuid::from_u128(7));
        let bond = Bond { id, kind: "customer.upserted" };
        let fields = Personal::default().with("name", "Aino");
        let sealed = seal(&conn, "site", bond, &fields).expect("seals");
        let reveal = |subject: &str, bond| Keyring::new(&conn).reveal(subject, bond, &sealed).expect("reads");
        assert!(!sealed.windows(4).any(|window| window == b"Aino"));
        assert_eq!(reveal("site", bond), Revealed::Present(fields));
        assert_eq!(reveal("site", Bond { kind: "tag.assigned", ..bond }), Revealed::Erased);
        assert_eq!(reveal("site", Bond { id: EventId(uuid::Uuid::nil()), ..bond }), Revealed::Erased);
        assert_eq!(reveal("staff:anna", bond), Revealed::Erased);
        forget(&conn, &Subject::Site).expect("forgets");
        assert_eq!(reveal("site", bond), Revealed::Erased);
    }
}
