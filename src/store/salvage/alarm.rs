//! Damage that is met while the database is in use. It is said once; from then on nothing is written to the file, and the
//! next start sets it aside.

use std::sync::OnceLock;

use super::aside::Dir;
use crate::store::error::DbError;

/// Shared by the writer, the readers and whoever watches over them.
pub(in crate::store) struct Alarm {
    dir: Dir,
    raised: OnceLock<String>,
}

impl Alarm {
    pub(in crate::store) fn new(dir: Dir) -> Self {
        Self { dir, raised: OnceLock::new() }
    }

    /// Looks at what went wrong; damage is said, for the next start too.
    pub(in crate::store) fn hear(&self, cause: &DbError) {
        if !cause.is_damage() || self.raised.get().is_some() {
            return;
        }
        let text = cause.to_string();
        if self.raised.set(text.clone()).is_ok() {
            tracing::error!("the database is damaged ({text}); the next start sets it aside and salvages it");
            if let Err(cause) = self.dir.flag(&text) {
                tracing::error!("that could not be noted in the data directory: {cause}");
            }
        }
    }

    /// What was said.
    pub(in crate::store) fn raised(&self) -> Option<&str> {
        self.raised.get().map(String::as_str)
    }
}
