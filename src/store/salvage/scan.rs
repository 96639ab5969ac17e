//! A walk over all pages of a damaged database, giving what it finds.

use uuid::Uuid;

use super::{
    finds::{Find, recognise},
    images::Images,
    page::{self, Cell},
    record::Value,
};
use crate::domain::Epoch;

/// Pages between two signs of life.
const BREATH: u32 = 256;

/// Shows `found` every row of every page, each row of the log with what it says of itself. Rows of the newest state come
/// first; then, from pages that are cut off by a damaged write-ahead log, rows of the log alone, the newest first. Ends
/// early when `found` fails.
pub(super) fn scan<E>(
    images: &Images,
    breathe: &dyn Fn(),
    mut found: impl FnMut(Find<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut content = Vec::new();
    for number in 1..=images.pages() {
        if number % BREATH == 0 {
            breathe();
        }
        if images.read(number, &mut content) {
            rows_of(images, &content, number, &mut found)?;
        }
    }
    for n in 0..images.cut() {
        if let Some(number) = images.read_cut(n, &mut content) {
            rows_of(images, &content, number, &mut |find| match find {
                Find::Event { sum: Some(_), .. } => found(find),
                _ => Ok(()),
            })?;
        }
    }
    Ok(())
}

fn rows_of<E>(
    images: &Images,
    content: &[u8],
    number: u32,
    found: &mut impl FnMut(Find<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let page::Cells { cells, broken } = page::cells(content, number);
    for cell in &cells {
        tell(images, cell, found)?;
    }
    if broken && content.iter().any(|byte| *byte != 0) {
        // What stands on a page that makes no sense is believed only under a checksum.
        for cell in page::sweep(content) {
            tell(images, &cell, &mut |find| match find {
                Find::Event { sum: Some(_), .. } => found(find),
                _ => Ok(()),
            })?;
        }
    }
    Ok(())
}

fn tell<E>(images: &Images, cell: &Cell<'_>, found: &mut impl FnMut(Find<'_>) -> Result<(), E>) -> Result<(), E> {
    match images.record(cell).as_deref().and_then(|record| recognise(cell.tree, cell.row, record)) {
        Some(find) => found(find),
        None => Ok(()),
    }
}

/// Who a database is, as far as it can be read.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) epoch: Option<Epoch>,
    pub(super) site: Option<String>,
    pub(super) visit_namespace: Option<[u8; 16]>,
    /// Somebody was erased, and the files may still hold them.
    pub(super) wiping: bool,
}

/// Whole, so far: nothing more is looked for.
struct Enough;

impl Identity {
    /// Reads as many pages as it takes; usually the first few.
    pub(super) fn read(images: &Images, breathe: &dyn Fn()) -> Self {
        let mut identity = Self::default();
        let mut others = 0;
        let _ = scan(images, breathe, |find| {
            match find {
                Find::Meta { key: "epoch", value } => {
                    identity.epoch = value.blob().map(|id| Epoch(Uuid::from_bytes(id)));
                }
                Find::Meta { key: "site", value } => identity.site = value.text().map(str::to_owned),
                Find::Meta { key: "visit_namespace", value } => identity.visit_namespace = value.blob(),
                Find::Meta { key: "wiping", value } => identity.wiping = value != Value::Int(0),
                // They stand on one page: a row of another one after them is the end of it.
                _ if identity.is_complete() => others += 1,
                _ => {}
            }
            if others > 0 { Err(Enough) } else { Ok(()) }
        });
        identity
    }

    fn is_complete(&self) -> bool {
        self.epoch.is_some() && self.site.is_some() && self.visit_namespace.is_some()
    }
}
