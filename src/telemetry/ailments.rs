//! What does not work as it should, by name: what the status calls `degraded`.

use tokio::sync::watch;

/// Names what ails, from anywhere; clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Ailments(watch::Sender<Vec<String>>);

impl Ailments {
    /// `name` does not work as it should.
    pub fn ail(&self, name: &str) {
        self.0.send_if_modified(|names| {
            let news = !names.iter().any(|known| known == name);
            if news {
                names.push(name.to_owned());
                names.sort();
            }
            news
        });
    }

    /// `name` works again.
    pub fn heal(&self, name: &str) {
        self.0.send_if_modified(|names| {
            let before = names.len();
            names.retain(|known| known != name);
            names.len() < before
        });
    }

    /// The list as it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Vec<String>> {
        self.0.subscribe()
    }
}
