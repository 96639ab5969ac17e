//! A Bluetooth device address. It is personal: it has no `Debug` or `Display` that prints it.

use std::fmt;

use crate::domain::{IdError, TagId};

/// Six bytes, the most significant first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads 12 hexadecimal digits of any case, bare or in pairs joined by `:` or `-`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let text = text.as_bytes();
        match text.len() {
            12 => hex::decode_to_slice(text, &mut bytes).ok()?,
            17 => {
                for (byte, part) in bytes.iter_mut().zip(text.chunks(3)) {
                    let (digits, joint) = part.split_at_checked(2)?;
                    if !matches!(joint, [] | [b':' | b'-']) {
                        return None;
                    }
                    hex::decode_to_slice(digits, std::slice::from_mut(byte)).ok()?;
                }
            }
            _ => return None,
        }
        Some(Self(bytes))
    }

    /// `mac:<12 hex>`.
    ///
    /// # Errors
    /// Never in practice: what is written is always a tag.
    pub fn tag(self) -> Result<TagId, IdError> {
        TagId::new(format!("mac:{}", hex::encode(self.0)))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_bare_and_in_pairs() {
        for text in ["aabbccddeeff", "AABBCCDDEEFF", "aa:bb:cc:dd:ee:ff", "AA-bb-CC-dd-EE-ff"] {
            let tag = Mac::parse(text).expect(text).tag().expect("a tag");
            assert_eq!(tag.as_str(), "mac:aabbccddeeff", "{text}");
        }
        for text in [
            "",
            "aabbccddeef",
            "aabbccddeefg",
            "aabbccddeeff00",
            "aa.bb:cc:dd:ee:ff",
            "aa:bb:cc:dd:ee:f:",
            "é0bbccddeef",
        ] {
            assert!(Mac::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_address_does_not_print() {
        let mac = Mac::parse("aabbccddeeff").expect("valid");
        assert!(!format!("{mac:?}").contains("aa"));
    }
}
