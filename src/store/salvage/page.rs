//! Pages of SQLite's b-trees (<https://www.sqlite.org/fileformat2.html#b_tree_pages>): the cells that hold rows, pure and
//! total. Interior pages of tables hold no rows; those of indexes, and of tables without row ids, do.

use super::record::varint;

/// Bytes of the database header, which page 1 begins with.
const FILE_HEADER: usize = 100;

/// What kind of b-tree a row stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// Rows with a row id.
    Table,
    /// Rows that are their own key.
    Index,
}

/// One row as its page has it; what does not fit stands on overflow pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) tree: Tree,
    /// 0 in an index.
    pub(super) row: i64,
    /// The part of the record that stands here.
    pub(super) local: &'a [u8],
    /// How long the record is.
    pub(super) length: usize,
    /// The first overflow page, when it is longer.
    pub(super) overflow: Option<u32>,
}

/// What is to be found on one page.
#[derive(Debug, Default)]
pub(super) struct Cells<'a> {
    pub(super) cells: Vec<Cell<'a>>,
    /// The page is not as SQLite writes it: more may be found by [`sweep`].
    pub(super) broken: bool,
}

/// The rows of page `number`.
pub(super) fn cells(page: &[u8], number: u32) -> Cells<'_> {
    let start = if number == 1 { FILE_HEADER } else { 0 };
    let mut found = Cells::default();
    let (tree, header, child) = match page.get(start) {
        Some(0x0d) => (Tree::Table, 8, 0),
        Some(0x0a) => (Tree::Index, 8, 0),
        Some(0x02) => (Tree::Index, 12, 4),
        Some(0x05) => return found,
        _ => {
            found.broken = true;
            return found;
        }
    };
    let count = page.get(start + 3..start + 5).map_or(0, |bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]])));
    let pointers = page.get(start + header..start + header + 2 * count).unwrap_or_default();
    found.broken = pointers.len() != 2 * count;
    for pointer in pointers.chunks_exact(2) {
        let at = usize::from(u16::from_be_bytes([pointer[0], pointer[1]]));
        match page.get(at + child..).and_then(|bytes| cell(bytes, tree, page.len())) {
            Some(cell) => found.cells.push(cell),
            None => found.broken = true,
        }
    }
    found
}

/// Every offset of a page at which a row of a table could begin. What is found is a guess until its checksum is right.
pub(super) fn sweep(page: &[u8]) -> impl Iterator<Item = Cell<'_>> {
    (0..page.len()).filter_map(|at| cell(&page[at..], Tree::Table, page.len()))
}

fn cell(bytes: &[u8], tree: Tree, usable: usize) -> Option<Cell<'_>> {
    let (length, rest) = varint(bytes)?;
    let (row, rest) = match tree {
        Tree::Table => varint(rest)?,
        Tree::Index => (0, rest),
    };
    let length = usize::try_from(length).ok().filter(|length| *length > 1)?;
    let here = local(length, tree, usable)?;
    let (local, rest) = rest.split_at_checked(here)?;
    let overflow = match rest.first_chunk::<4>() {
        _ if here == length => None,
        Some(number) => Some(u32::from_be_bytes(*number)),
        None => return None,
    };
    Some(Cell { tree, row: row.cast_signed(), local, length, overflow })
}

/// How much of a record of `length` bytes stands on the page itself.
fn local(length: usize, tree: Tree, usable: usize) -> Option<usize> {
    let inner = usable.checked_sub(12)?;
    let most = match tree {
        Tree::Table => usable.checked_sub(35)?,
        Tree::Index => (inner * 64 / 255).checked_sub(23)?,
    };
    if length <= most {
        return Some(length);
    }
    let least = (inner * 32 / 255).checked_sub(23)?;
    let kept = least + (length - least) % usable.checked_sub(4)?;
    Some(if kept <= most { kept } else { least })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_record_leaves_as_much_here_as_the_format_says() {
        assert_eq!(local(4_061, Tree::Table, 4_096), Some(4_061));
        assert_eq!(local(4_062, Tree::Table, 4_096), Some(489));
        assert_eq!(local(5_000, Tree::Table, 4_096), Some(908));
        assert_eq!(local(1_002, Tree::Index, 4_096), Some(1_002));
        assert_eq!(local(1_003, Tree::Index, 4_096), Some(489));
    }

    proptest! {
        #[test]
        fn whatever_a_page_holds_reading_it_ends(
            mut page in proptest::collection::vec(any::<u8>(), 0..600),
            kind in prop_oneof![Just(2_u8), Just(5), Just(10), Just(13), any::<u8>()],
            number in 1..3_u32,
        ) {
            if let Some(first) = page.get_mut(if number == 1 { FILE_HEADER } else { 0 }) {
                *first = kind;
            }
            for cell in cells(&page, number).cells.into_iter().chain(sweep(&page)) {
                prop_assert!(cell.local.len() <= cell.length);
                prop_assert_eq!(cell.overflow.is_some(), cell.local.len() < cell.length);
            }
        }
    }
}
