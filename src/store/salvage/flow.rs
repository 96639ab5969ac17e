//! The way from a damaged database to a new one, and the first database of a box, which is made in the same way: built
//! beside and put in place whole, so that a file that is empty or has no tables is always a damaged one.

use std::{fs, path::Path};

use super::{
    aside::{Dir, Note, Stage},
    images::Images,
    report::Salvage,
    rescue::{Orders, Rescue},
    scan::Identity,
};
use crate::{
    domain::{Clock, Lane, SiteId},
    store::{
        error::{DbError, StoreError},
        mark::Mark,
        schema,
    },
};

/// Sets damaged databases of one data directory aside and salvages them.
pub(in crate::store) struct Salvager<'a> {
    pub(in crate::store) dir: Dir,
    pub(in crate::store) site: &'a SiteId,
    pub(in crate::store) clock: &'a dyn Clock,
    /// Called while it goes on, which may take minutes.
    pub(in crate::store) breathe: &'a dyn Fn(),
}

impl Salvager<'_> {
    /// Ends what an earlier start began, and sees to it that there is a database to open.
    ///
    /// # Errors
    /// When the disk does not let it, or the database is another site's.
    pub(in crate::store) fn settle(&self) -> Result<(), StoreError> {
        self.go_on()?;
        if let Some(cause) = self.unusable() {
            self.set_aside(&cause)
        } else if self.dir.database().exists() {
            Ok(())
        } else {
            self.found_new()
        }
    }

    /// What makes opening pointless.
    fn unusable(&self) -> Option<String> {
        let length = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.len());
        match (length(&self.dir.database()), length(&self.dir.log())) {
            (Some(0), _) => Some("it is empty".into()),
            (None, Some(log)) if log > 0 => Some("it is gone, and its write-ahead log is there".into()),
            (None, _) => None,
            (Some(_), _) => self.dir.flagged(),
        }
    }

    /// Moves the database aside, whole, and puts in its place what can be salvaged.
    ///
    /// # Errors
    /// When the disk does not let it; the next start goes on. When it is another site's, which is then left alone.
    pub(in crate::store) fn set_aside(&self, cause: &str) -> Result<(), StoreError> {
        let path = self.dir.database();
        let images = Images::open(&path, &self.dir.log()).map_err(|source| self.failed(source))?;
        let found = Identity::read(&images, self.breathe).site.and_then(|site| site.parse::<SiteId>().ok());
        if let Some(found) = found.filter(|found| found != self.site) {
            return Err(StoreError::OtherSite { found, expected: self.site.clone(), path });
        }
        drop(images);
        tracing::error!("{} is damaged ({cause}); it is set aside and salvaged", path.display());
        self.dir.begin(cause, self.clock.now().wall).map_err(|source| self.failed(source))?;
        self.go_on()
    }

    fn go_on(&self) -> Result<(), StoreError> {
        loop {
            let stage = self.dir.stage(self.clock.now().wall).map_err(|source| self.failed(source))?;
            self.dir.clear().map_err(|source| self.failed(source))?;
            match stage {
                Stage::Nothing => return Ok(()),
                Stage::Salvage(note) => self.salvage(&note)?,
                Stage::Name(note) => self.name(&note).map_err(|source| self.failed(source))?,
            }
        }
    }

    fn salvage(&self, note: &Note) -> Result<(), StoreError> {
        let damaged = self.dir.pending();
        let images = Images::open(&damaged.database(), &damaged.log()).map_err(|source| self.failed(source))?;
        let identity = Identity::read(&images, self.breathe);
        let mark = Mark::read(self.dir.as_path());
        let mark = mark.filter(|mark| identity.epoch.is_none_or(|epoch| epoch == mark.epoch));
        // Where there is no room for all of it, what matters most is kept.
        let mut lanes = &Lane::ALL[..];
        let salvage = loop {
            let now = self.clock.now();
            let orders = Orders { note, identity: &identity, mark, lanes, now, breathe: self.breathe };
            match Rescue::begin(&self.dir, orders).and_then(|rescue| rescue.run(&images, &self.dir)) {
                Ok(salvage) => break salvage,
                Err(cause) if cause.is_full() && lanes.len() > 1 => lanes = &lanes[..lanes.len() - 1],
                Err(cause) => return Err(cause.opening(self.dir.database(), "salvaging it")),
            }
            self.dir.clear().map_err(|source| self.failed(source))?;
        };
        self.dir.install().map_err(|source| self.failed(source))?;
        let Salvage { kept, lost, .. } = &salvage;
        tracing::warn!(kept, lost, "salvaged; the damaged files are in {}", self.dir.path(&note.copy).display());
        Ok(())
    }

    fn name(&self, note: &Note) -> std::io::Result<()> {
        let damaged = self.dir.pending();
        let images = Images::open(&damaged.database(), &damaged.log())?;
        let wiping = Identity::read(&images, self.breathe).wiping;
        self.dir.name(note)?;
        // An erasure was under way: the damaged files may hold whom it erased.
        if wiping { self.dir.destroy_copies() } else { Ok(()) }
    }

    /// The first database.
    fn found_new(&self) -> Result<(), StoreError> {
        self.dir.unflag().map_err(|source| self.failed(source))?;
        let built = schema::build(&self.dir.new_database())
            .and_then(|conn| conn.close().map_err(|(_, cause)| DbError::from(cause)));
        built.map_err(|cause| cause.opening(self.dir.database(), "making it"))?;
        self.dir.install().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> StoreError {
        StoreError::Unwritable { path: self.dir.as_path().to_owned(), source }
    }
}
