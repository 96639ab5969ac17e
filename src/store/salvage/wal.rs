//! SQLite's write-ahead log (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>): which frames are committed,
//! and which are cut off from them by damage. Pure and total.

/// Bytes of the header of the file.
pub(super) const HEADER: usize = 32;
/// Bytes before the page of each frame.
pub(super) const FRAME: usize = 24;

const MAGIC: u32 = 0x377f_0682;

/// The head of the file: how to check what follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    big_endian: bool,
    /// Bytes of a page.
    pub(super) page: usize,
    salts: [u8; 8],
    sums: (u32, u32),
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

impl Head {
    /// Reads the header; `None` when it is damaged.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let magic = number(bytes, 0)?;
        let page = usize::try_from(number(bytes, 8)?).ok()?;
        let salts = bytes.get(16..24)?.try_into().ok()?;
        let big_endian = magic == MAGIC | 1;
        let sums = sum(big_endian, (0, 0), bytes.get(..24)?);
        let whole = (number(bytes, 24)?, number(bytes, 28)?) == sums;
        let sane = magic & !1 == MAGIC && page.is_power_of_two() && (512..=65_536).contains(&page);
        (whole && sane).then_some(Self { big_endian, page, salts, sums })
    }
}

/// What a frame is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// It follows from the frames before it; the number of pages of the database when it ends a transaction.
    Whole(Option<u32>),
    /// It belongs to this log, but the chain of checksums is broken before it or at it.
    Cut,
    /// It is of an older round, or no frame.
    Old,
}

/// Walks along the frames.
pub(super) struct Walk {
    head: Option<Head>,
    broken: bool,
}

impl Walk {
    /// Without a head that can be read, every frame is cut off.
    pub(super) fn new(head: Option<Head>) -> Self {
        Self { head, broken: head.is_none() }
    }

    /// The next frame, with its 24 bytes before the page: its page's number and its worth.
    pub(super) fn next(&mut self, frame: &[u8]) -> (u32, Worth) {
        let page = number(frame, 0).unwrap_or(0);
        let Some(head) = &mut self.head else { return (page, Worth::Cut) };
        if frame.get(8..16) != Some(&head.salts[..]) {
            // The rest may be of this round nevertheless: only a walk to the end tells.
            self.broken = true;
            return (page, Worth::Old);
        }
        if !self.broken {
            let sums = sum(head.big_endian, head.sums, frame.get(..8).unwrap_or_default());
            let sums = sum(head.big_endian, sums, frame.get(FRAME..).unwrap_or_default());
            if number(frame, 16).zip(number(frame, 20)) == Some(sums) && page > 0 {
                head.sums = sums;
                return (page, Worth::Whole(number(frame, 4).filter(|pages| *pages > 0)));
            }
            self.broken = true;
        }
        (page, Worth::Cut)
    }
}

fn sum(big_endian: bool, (mut a, mut b): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        a = a.wrapping_add(word(0)).wrapping_add(b);
        b = b.wrapping_add(word(4)).wrapping_add(a);
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn written() -> Vec<u8> {
        let dir = tempfile::tempdir().expect("makes a directory");
        let conn = Connection::open(dir.path().join("x.sqlite")).expect("opens");
        conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x);").expect("writes");
        for n in 0..5 {
            conn.execute("INSERT INTO t VALUES (?1)", [n]).expect("writes");
        }
        std::fs::read(dir.path().join("x.sqlite-wal")).expect("reads")
    }

    fn worths(wal: &[u8]) -> Vec<Worth> {
        let head = Head::read(wal);
        let mut walk = Walk::new(head);
        wal[HEADER..].chunks(FRAME + 4_096).map(|frame| walk.next(frame).1).collect()
    }

    #[test]
    fn what_sqlite_writes_is_whole_and_ends_transactions() {
        let wal = written();
        let worths = worths(&wal);
        assert!(worths.len() >= 6);
        assert!(worths.iter().all(|worth| matches!(worth, Worth::Whole(_))), "{worths:?}");
        assert_eq!(worths.last(), Some(&Worth::Whole(Some(2))));
    }

    #[test]
    fn a_flipped_bit_cuts_off_what_follows() {
        let mut wal = written();
        let at = HEADER + 2 * (FRAME + 4_096) + 1_000;
        wal[at] ^= 4;
        let worths = worths(&wal);
        assert!(worths[..2].iter().all(|worth| matches!(worth, Worth::Whole(_))));
        assert!(worths[2..].iter().all(|worth| *worth == Worth::Cut));
        wal[20] ^= 1;
        assert!(Head::read(&wal).is_none());
    }
}
