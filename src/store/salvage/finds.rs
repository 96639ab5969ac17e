//! What a record was a row of, told by its shape alone: in a damaged file the tables' own pages may be what is broken. Pure
//! and total. A row of the log must carry the right checksum; one of an older program, without, must make sense.

use super::{
    page::Tree,
    record::{self, Value},
};
use crate::{
    domain::{EventBody, Lane},
    store::sum::Sum,
};

/// Columns of the log before its checksum.
pub(super) const LOG_COLUMNS: usize = 19;

/// A row of a table that is salvaged.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Find<'a> {
    /// Of the log; its columns but the position.
    Event { pos: i64, columns: Vec<Value<'a>>, sum: Option<i64> },
    /// What settled when it left the log; its columns but the position.
    Settled { slot: &'a str, pos: i64, columns: Vec<Value<'a>>, sum: Option<i64> },
    /// A key of a subject.
    Key { subject: &'a str, key: [u8; 32] },
    /// The head of a lane.
    Head { lane: Lane, head: i64 },
    /// The last position given.
    Pos(i64),
    /// A fact about the database.
    Meta { key: &'a str, value: Value<'a> },
    /// An answered request, as its nine columns.
    Request(Vec<Value<'a>>),
    /// `lane, to, from, count, reason, at`.
    Gap(Vec<Value<'a>>),
    /// An open visit, as its eight to twelve columns.
    OpenVisit(Vec<Value<'a>>),
    /// A customer who is erased.
    Erased([u8; 16]),
}

/// What the record of a whole row is.
pub(super) fn recognise(tree: Tree, row: i64, bytes: &[u8]) -> Option<Find<'_>> {
    let columns = record::read(bytes)?;
    match tree {
        Tree::Table => of_table(row, columns),
        Tree::Index => of_index(columns),
    }
}

fn of_table(row: i64, columns: Vec<Value<'_>>) -> Option<Find<'_>> {
    match columns[..] {
        [Value::Text("log"), Value::Int(pos)] if pos >= 0 => Some(Find::Pos(pos)),
        [Value::Text(subject), key] => Some(Find::Key { subject, key: key.blob()? }),
        // Later programs count more of a lane behind its head.
        [Value::Null, Value::Int(head), ref rest @ ..] if head >= 0 && rest.len() < 8 => {
            let numbers = rest.iter().all(|column| column.int().is_some());
            lane(Value::Int(row)).filter(|_| numbers).map(|lane| Find::Head { lane, head })
        }
        // Rows of before the moment of hearing was kept end early.
        [visit, Value::Text(_), customer, Value::Int(_), Value::Int(_), zone, x, y, ref heard @ ..]
            if heard.len() <= 4 =>
        {
            let sane = visit.blob::<16>().and(customer.some_blob::<16>()).and(zone.some_text());
            sane.and(x.real()).and(y.real()).map(|_| Find::OpenVisit(columns))
        }
        [Value::Null, ..] if columns.len() >= LOG_COLUMNS => event(row, columns),
        [Value::Text(slot), Value::Null, ..] if columns.len() > LOG_COLUMNS => {
            match event(row, columns[1..].to_vec())? {
                Find::Event { pos, columns, sum } => Some(Find::Settled { slot, pos, columns, sum }),
                _ => None,
            }
        }
        _ => None,
    }
}

fn of_index(columns: Vec<Value<'_>>) -> Option<Find<'_>> {
    match columns[..] {
        [customer] => customer.blob().map(Find::Erased),
        [Value::Text(key), value] => Some(Find::Meta { key, value }),
        [Value::Int(_), Value::Int(to), Value::Int(from), Value::Int(_), Value::Text(_), Value::Int(_)] => {
            lane(columns[0]).filter(|_| 0 < from && from <= to).map(|_| Find::Gap(columns))
        }
        [Value::Text(_), Value::Text(_), pos, code, message, Value::Int(_), boot, Value::Int(_), Value::Int(_)] => {
            let done = pos.int().is_some_and(|pos| pos >= 0) && code == Value::Null;
            let refused = pos == Value::Null && code.text().and(message.text()).is_some();
            boot.blob::<16>().filter(|_| done || refused).map(|_| Find::Request(columns))
        }
        _ => None,
    }
}

fn lane(value: Value<'_>) -> Option<Lane> {
    value.int().and_then(|n| usize::try_from(n).ok()).and_then(|n| Lane::ALL.get(n).copied())
}

fn event(pos: i64, mut columns: Vec<Value<'_>>) -> Option<Find<'_>> {
    let sum = columns.get(LOG_COLUMNS).copied().unwrap_or(Value::Null);
    columns.truncate(LOG_COLUMNS);
    let sane = match sum {
        Value::Int(sum) => sum == sum_of(pos, &columns[1..]),
        Value::Null => makes_sense(&columns),
        _ => false,
    };
    let numbered = pos > 0 && lane(columns[1]).is_some() && columns[2].int().is_some_and(|seq| seq > 0);
    columns.remove(0);
    (sane && numbered).then_some(Find::Event { pos, columns, sum: sum.int() })
}

fn sum_of(pos: i64, columns: &[Value<'_>]) -> i64 {
    let mut sum = Sum::default();
    sum.int(pos);
    for column in columns {
        match column {
            Value::Null => sum.null(),
            Value::Int(n) => sum.int(*n),
            Value::Real(x) => sum.real(*x),
            Value::Text(text) => sum.text(text.as_bytes()),
            Value::Blob(bytes) => sum.blob(bytes),
        }
    }
    sum.value()
}

/// Whether a row without a checksum can have been written by this program: a UUID of version 7, a kind in its lane, data of its kind.
fn makes_sense(columns: &[Value<'_>]) -> bool {
    let id = columns[3].blob::<16>().map(uuid::Uuid::from_bytes);
    let body =
        columns[4].text().zip(columns[13].text()).and_then(|(kind, data)| EventBody::from_parts(kind, data).ok());
    let at_home = |body: &EventBody| matches!(body, EventBody::ClockSynced(_)) || lane(columns[1]) == Some(body.lane());
    id.is_some_and(|id| id.get_version_num() == 7)
        && columns[6].blob::<16>().is_some()
        && [5, 7, 8].into_iter().all(|at| columns[at].int().is_some())
        && body.is_some_and(|body| at_home(&body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shapes_tell_tables_apart() {
        let key = [&[4, 0x19, 76][..], b"site\0\0"].concat();
        assert_eq!(recognise(Tree::Table, 1, &key), None, "cut short");
        let key = [&[3, 0x15, 76][..], b"site", &[7; 32]].concat();
        assert_eq!(recognise(Tree::Table, 1, &key), Some(Find::Key { subject: "site", key: [7; 32] }));
        assert_eq!(recognise(Tree::Table, 1, &[3, 0, 1, 9]), Some(Find::Head { lane: Lane::Presence, head: 9 }));
        assert_eq!(recognise(Tree::Table, 3, &[3, 0, 1, 9]), None, "no such lane");
        assert_eq!(recognise(Tree::Table, 1, &[3, 0x13, 1, b'l', b'o', b'g', 5]), Some(Find::Pos(5)));
        let erased = [&[2, 44][..], &[3; 16]].concat();
        assert_eq!(recognise(Tree::Index, 0, &erased), Some(Find::Erased([3; 16])));
        assert_eq!(recognise(Tree::Table, 0, &erased), None);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_telling_ends(
            types in proptest::collection::vec(0..60_u8, 1..22),
            body in proptest::collection::vec(any::<u8>(), 0..400),
            row in any::<i64>(),
        ) {
            let bytes = [&[types.len() as u8 + 1][..], &types, &body].concat();
            for tree in [Tree::Table, Tree::Index] {
                let _ = recognise(tree, row, &bytes);
            }
        }
    }
}
