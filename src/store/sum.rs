//! The checksum that each row of the log carries: CRC-32 over its columns in their order, each with its type and length.
//!
//! SQLite notices a page that makes no sense, not a bit that flipped inside of a number or a text. Four bytes a row make
//! that a thing that is found instead of one that is believed.

use rusqlite::types::ValueRef;

/// Takes columns in one after the other.
#[derive(Default)]
pub(super) struct Sum(flate2::Crc);

impl Sum {
    pub(super) fn null(&mut self) {
        self.0.update(&[0]);
    }

    pub(super) fn int(&mut self, n: i64) {
        self.0.update(&[1]);
        self.0.update(&n.to_le_bytes());
    }

    pub(super) fn real(&mut self, x: f64) {
        self.0.update(&[2]);
        self.0.update(&x.to_bits().to_le_bytes());
    }

    pub(super) fn text(&mut self, bytes: &[u8]) {
        self.bytes(3, bytes);
    }

    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.bytes(4, bytes);
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update(&[kind]);
        self.0.update(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn column(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.null(),
            ValueRef::Integer(n) => self.int(n),
            ValueRef::Real(x) => self.real(x),
            ValueRef::Text(text) => self.text(text),
            ValueRef::Blob(bytes) => self.blob(bytes),
        }
    }

    /// As the column `sum` holds it.
    pub(super) fn value(&self) -> i64 {
        i64::from(self.0.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_do_not_run_into_each_other() {
        let sum = |columns: &[&str]| {
            let mut sum = Sum::default();
            for text in columns {
                sum.text(text.as_bytes());
            }
            sum.value()
        };
        assert_eq!(sum(&["ab", "c"]), sum(&["ab", "c"]));
        assert_ne!(sum(&["ab", "c"]), sum(&["a", "bc"]));
        assert_ne!(sum(&["ab", "c"]), sum(&["ab", "b"]));
    }
}
