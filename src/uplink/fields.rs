//! Reading JSON objects that strangers wrote, field by field, so that each error names its field.
//!
//! Fields that nobody asks for are ignored: newer clouds may say more. What is over [`MAX_PAYLOAD`], not UTF-8, not JSON
//! or not an object is refused as a whole; an id is then looked for in its beginning, so that the sender can be told.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Longest message from the cloud, bytes.
pub(super) const MAX_PAYLOAD: usize = 1024 * 1024;
/// Longest `id` of a message, characters.
pub(super) const MAX_ID: usize = 64;
/// How far an id is looked for in a message that cannot be read, bytes.
const ID_SEARCH: usize = 4096;

/// A message's JSON object.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(pub Map<String, Value>);

impl Fields {
    /// Reads a payload.
    ///
    /// # Errors
    /// When it is over 1 MiB, not UTF-8, not JSON or not an object.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Refusal::bad(format!("the message is longer than {MAX_PAYLOAD} bytes")));
        }
        let text = std::str::from_utf8(payload).map_err(|_| Refusal::bad("the message is not UTF-8"))?;
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(Refusal::bad("the message is JSON, but not an object")),
            Err(error) => Err(Refusal::bad(format!("the message is not JSON: {error}"))),
        }
    }

    /// A field that is there and not `null`.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// When it is missing or no text.
    pub(super) fn text(&self, name: &str) -> Result<&str, Refusal> {
        self.optional_text(name)?.ok_or_else(|| Refusal::bad(format!("{name} is missing")))
    }

    /// A text that may be missing or `null`.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let text = |value: &'_ Value| matches!(value, Value::String(_));
        match self.get(name) {
            Some(value) if !text(value) => Err(Refusal::bad(format!("{name} must be a text"))),
            value => Ok(value.and_then(Value::as_str)),
        }
    }

    /// A whole number from 0 that may be missing.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn whole(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let wrong = || Refusal::bad(format!("{name} must be a whole number from 0"));
        self.get(name).map(|value| value.as_u64().ok_or_else(wrong)).transpose()
    }

    /// A text of some form that may be missing.
    ///
    /// # Errors
    /// When it is no text or not of that form.
    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Refusal> {
        let text = self.optional_text(name)?;
        text.map(|text| text.parse().map_err(|error| Refusal::bad(format!("{name}: {error}")))).transpose()
    }

    /// The message's own `id`.
    ///
    /// # Errors
    /// When it is missing, empty, no text or too long.
    pub(super) fn id(&self) -> Result<&str, Refusal> {
        let id = self.text("id")?;
        if id.is_empty() || id.chars().count() > MAX_ID {
            return Err(Refusal::bad(format!("id must have 1 to {MAX_ID} characters")));
        }
        Ok(id)
    }

    /// A text for an answer that names it, at most 64 characters of it.
    #[must_use]
    pub(super) fn short_text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(Value::as_str).map(|text| text.chars().take(MAX_ID).collect())
    }

    /// What an answer to this message may call it, when its id breaks a rule.
    #[must_use]
    pub(super) fn shown_id(&self) -> Option<String> {
        self.short_text("id").filter(|id| !id.is_empty())
    }
}

/// Looks for `"id":"…"` in a message that could not be read.
#[must_use]
pub(super) fn find_id(payload: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&payload[..payload.len().min(ID_SEARCH)]);
    let after = &text[text.find("\"id\"")? + 4..];
    let quoted = after.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let id = &quoted[..quoted.find('"')?];
    let printable = id.chars().all(|c| !c.is_control() && c != '\\' && c != char::REPLACEMENT_CHARACTER);
    (printable && (1..=MAX_ID).contains(&id.chars().count())).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_what_cannot_be_read() {
        for (broken, found) in [
            (r#"{"id":"q1","lane":"sales","#, Some("q1")),
            (r#"{"lane" : 1, "id" : "q 2" oops"#, Some("q 2")),
            (r#"{"id":7,"#, None),
            (r#"{"id":"","#, None),
            (r#"{"id":"a\"b"#, None),
            ("", None),
            ("\"id\"", None),
        ] {
            assert_eq!(find_id(broken.as_bytes()).as_deref(), found, "{broken}");
        }
        assert_eq!(find_id(b"\xff{\"id\":\"x\"}\xff"), Some("x".into()));
        assert_eq!(find_id(format!("{{\"id\":\"{}\"", "x".repeat(65)).as_bytes()), None);
    }

    #[test]
    fn what_is_no_object_is_refused_as_a_whole() {
        for bad in [&b"[]"[..], b"1", b"", b"{", b"\xff\xfe", b"{\"a\":NaN}", b"{\"a\":1e999}"] {
            assert!(Fields::parse(bad).is_err(), "{bad:?}");
        }
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_PAYLOAD));
        assert!(Fields::parse(large.as_bytes()).is_err());
        assert!(Fields::parse(b"{\"a\":null}").is_ok_and(|fields| fields.get("a").is_none()));
    }
}
