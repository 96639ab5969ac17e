//! Records of SQLite's file format (<https://www.sqlite.org/fileformat2.html#record_format>): pure and total. Whatever the
//! bytes are, reading them ends, allocates no more than they hold, and never panics.

/// One column of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// NULL, also the place of an INTEGER PRIMARY KEY, which is the row id.
    Null,
    /// Any integer.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, when it is UTF-8.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn int(self) -> Option<i64> {
        if let Self::Int(n) = self { Some(n) } else { None }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Text, or nothing; `None` when it is neither.
    #[allow(clippy::option_option)] // what it is, and whether it is what it should be
    pub(super) fn some_text(self) -> Option<Option<&'a str>> {
        if self == Self::Null { Some(None) } else { self.text().map(Some) }
    }

    pub(super) fn blob<const N: usize>(self) -> Option<[u8; N]> {
        if let Self::Blob(bytes) = self { bytes.try_into().ok() } else { None }
    }

    /// Bytes of that length, or nothing; `None` when it is neither.
    #[allow(clippy::option_option)] // as above
    pub(super) fn some_blob<const N: usize>(self) -> Option<Option<[u8; N]>> {
        if self == Self::Null { Some(None) } else { self.blob().map(Some) }
    }

    /// A number: SQLite keeps a REAL without fraction as an integer.
    pub(super) fn real(self) -> Option<f64> {
        match self {
            Self::Real(x) => Some(x),
            Self::Int(n) => Some(n as f64),
            _ => None,
        }
    }
}

/// More columns than any table of ours will ever have: where a record claims more, it is none.
const MAX_COLUMNS: usize = 64;

/// A variable-length integer and the bytes after it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some(((value << 8) | u64::from(*byte), &bytes[9..]));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// The columns of a whole record; `None` when it is none.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Value<'_>>> {
    let (header, after) = varint(bytes)?;
    let length = usize::try_from(header).ok()?;
    let consumed = bytes.len() - after.len();
    let mut types = bytes.get(consumed..length)?;
    let mut body = bytes.get(length..)?;
    let mut values = Vec::new();
    while !types.is_empty() {
        let (serial, rest) = varint(types)?;
        types = rest;
        let (value, rest) = value(serial, body)?;
        body = rest;
        values.push(value);
        if values.len() > MAX_COLUMNS {
            return None;
        }
    }
    (body.is_empty() && !values.is_empty()).then_some(values)
}

/// How long the record is that begins with `bytes`, by its header.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let (header, after) = varint(bytes)?;
    let header = usize::try_from(header).ok()?;
    let mut types = bytes.get(bytes.len() - after.len()..header)?;
    let mut length = header;
    while !types.is_empty() {
        let (serial, rest) = varint(types)?;
        types = rest;
        length = length.checked_add(width(serial)?)?;
    }
    Some(length)
}

fn width(serial: u64) -> Option<usize> {
    match serial {
        0 | 8 | 9 => Some(0),
        1..=4 => Some(serial as usize),
        5 => Some(6),
        6 | 7 => Some(8),
        10 | 11 => None,
        _ => usize::try_from((serial - 12) / 2).ok(),
    }
}

fn value(serial: u64, body: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (own, rest) = body.split_at_checked(width(serial)?)?;
    let value = match serial {
        0 => Value::Null,
        8 => Value::Int(0),
        9 => Value::Int(1),
        1..=6 => Value::Int(integer(own)),
        7 => Value::Real(f64::from_bits(integer(own) as u64)),
        _ if serial.is_multiple_of(2) => Value::Blob(own),
        _ => Value::Text(std::str::from_utf8(own).ok()?),
    };
    Some((value, rest))
}

/// Two's complement, big-endian, 1 to 8 bytes.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |value, byte| (value << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_as_the_format_describes_it() {
        // Header of 7 bytes: NULL, 1, a byte, two bytes, text of 2, blob of 1.
        let bytes = [7, 0, 9, 1, 2, 17, 14, 0xff, 0x01, 0x02, b'h', b'i', 0xab];
        let values = read(&bytes).expect("is a record");
        assert_eq!(length(&bytes[..9]), Some(bytes.len()));
        let expected =
            [Value::Null, Value::Int(1), Value::Int(-1), Value::Int(258), Value::Text("hi"), Value::Blob(&[0xab])];
        assert_eq!(values, expected);
        assert_eq!(read(&bytes[..12]), None, "cut short");
        assert_eq!(read(&[&bytes[..], &[0]].concat()), None, "too long");
    }

    #[test]
    fn integers_of_every_width_have_a_sign() {
        assert_eq!(integer(&[0x80]), -128);
        assert_eq!(integer(&[0xff, 0xff, 0xfe]), -2);
        assert_eq!(integer(&i64::MIN.to_be_bytes()), i64::MIN);
        assert_eq!(varint(&[0x81, 0x00, 7]), Some((128, &[7][..])));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, &[][..])));
        assert_eq!(varint(&[0xff; 8]), None);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_reading_them_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(values) = read(&bytes) {
                prop_assert!(values.len() <= MAX_COLUMNS + 1);
            }
        }
    }
}
