//! The pages of a damaged database as of its last commit: its file, and over it what its write-ahead log has newer.
//! Pages that cannot be read are passed over; nothing is written.

use std::{borrow::Cow, collections::HashMap, fs::File, io, os::unix::fs::FileExt as _, path::Path};

use super::{
    page::Cell,
    record,
    wal::{self, Walk, Worth},
};

/// What every database of ours is made of.
const PAGE: usize = 4_096;
/// No row of ours comes near it.
const LONGEST_ROW: usize = 16 << 20;

/// An image of a page in the write-ahead log.
#[derive(Debug, Clone, Copy)]
struct Image {
    page: u32,
    at: u64,
}

/// The files, read only.
pub(super) struct Images {
    file: Option<File>,
    log: Option<File>,
    page: usize,
    /// Pages of the database.
    pages: u32,
    /// The newest committed image of each page that the log holds.
    newest: HashMap<u32, u64>,
    /// Images after a place where the log is damaged, oldest first.
    cut: Vec<Image>,
}

impl Images {
    /// Opens what there is of the two files.
    pub(super) fn open(database: &Path, log: &Path) -> io::Result<Self> {
        let file = some(File::open(database))?;
        let log = some(File::open(log))?;
        let page = file.as_ref().and_then(page_size).unwrap_or(PAGE);
        let length = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|metadata| metadata.len()))?;
        let pages = u32::try_from(length.div_ceil(page as u64)).unwrap_or(u32::MAX);
        let mut images = Self { file, log, page, pages, newest: HashMap::new(), cut: Vec::new() };
        images.read_log()?;
        Ok(images)
    }

    fn read_log(&mut self) -> io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let length = log.metadata()?.len();
        let mut head = [0; wal::HEADER];
        let head =
            fill(log, &mut head, 0).then(|| wal::Head::read(&head)).flatten().filter(|head| head.page == self.page);
        let mut walk = Walk::new(head);
        let (mut frame, mut open) = (vec![0; wal::FRAME + self.page], Vec::new());
        let step = frame.len() as u64;
        let mut at = wal::HEADER as u64;
        while at + step <= length {
            // A frame that cannot be read breaks the chain, as zeroes do.
            fill(log, &mut frame, at);
            let (page, worth) = walk.next(&frame);
            let image = Image { page, at: at + wal::FRAME as u64 };
            match worth {
                Worth::Whole(commit) => {
                    open.push(image);
                    if let Some(pages) = commit {
                        self.newest.extend(open.drain(..).map(|image| (image.page, image.at)));
                        self.pages = pages;
                    }
                }
                Worth::Cut => self.cut.push(image),
                Worth::Old => {}
            }
            at += step;
        }
        self.cut.splice(..0, open);
        Ok(())
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Reads page `number` into `page`; whether there is such a page that can be read.
    pub(super) fn read(&self, number: u32, page: &mut Vec<u8>) -> bool {
        page.clear();
        page.resize(self.page, 0);
        if let (Some(at), Some(log)) = (self.newest.get(&number), &self.log) {
            return fill(log, page, *at);
        }
        let at = u64::from(number.saturating_sub(1)) * self.page as u64;
        // The last page of a file that was cut is read as far as it goes.
        number > 0 && self.file.as_ref().is_some_and(|file| fill_some(file, page, at))
    }

    /// How many images stand after damage of the write-ahead log.
    pub(super) fn cut(&self) -> usize {
        self.cut.len()
    }

    /// The `n`th of them, newest first, and the number of its page.
    pub(super) fn read_cut(&self, n: usize, page: &mut Vec<u8>) -> Option<u32> {
        let image = self.cut.iter().rev().nth(n)?;
        page.clear();
        page.resize(self.page, 0);
        self.log.as_ref().is_some_and(|log| fill(log, page, image.at)).then_some(image.page)
    }

    /// The whole record of `cell`; `None` when it is none, or its overflow pages are not there.
    pub(super) fn record<'a>(&self, cell: &Cell<'a>) -> Option<Cow<'a, [u8]>> {
        let Some(first) = cell.overflow else { return Some(Cow::Borrowed(cell.local)) };
        // Only what begins as a record of that length is followed: damage could lead anywhere.
        if cell.length > LONGEST_ROW || record::length(cell.local)? != cell.length {
            return None;
        }
        let (mut bytes, mut next, mut page) = (cell.local.to_vec(), first, Vec::new());
        while bytes.len() < cell.length {
            let (number, content) = self.read(next, &mut page).then(|| page.split_first_chunk::<4>()).flatten()?;
            bytes.extend(&content[..content.len().min(cell.length - bytes.len())]);
            next = u32::from_be_bytes(*number);
        }
        Some(Cow::Owned(bytes))
    }
}

fn some<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Offset 16 of the header; where that makes no sense, it is damaged.
fn page_size(file: &File) -> Option<usize> {
    let mut bytes = [0; 18];
    let read = fill(file, &mut bytes, 0) && bytes.starts_with(b"SQLite format 3\0");
    let size = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    (read && size.is_power_of_two() && size >= 512).then_some(size)
}

fn fill(file: &File, bytes: &mut [u8], at: u64) -> bool {
    file.read_exact_at(bytes, at).is_ok()
}

fn fill_some(file: &File, bytes: &mut [u8], at: u64) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    done > 0
}
