//! The topics of one site: `showfloor/v1/{site}/…`. Names that come out of a topic are checked before they go into one.

use crate::domain::{ConsumerId, SiteId};

/// Where a message from the cloud is addressed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inbound {
    /// A question of a consumer.
    Pull(ConsumerId),
    /// A consumer says what it has.
    Ack(ConsumerId),
    /// Something to do.
    Command,
}

/// The topics of one site.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    base: String,
}

impl Topics {
    /// Those of `site`.
    #[must_use]
    pub(super) fn new(site: &SiteId) -> Self {
        Self { base: format!("showfloor/v1/{site}") }
    }

    /// What a topic is; `None` for one that is not ours, or names a consumer that cannot be one.
    #[must_use]
    pub(super) fn read(&self, topic: &str) -> Option<Inbound> {
        let rest = topic.strip_prefix(&self.base)?.strip_prefix('/')?;
        match rest.split_once('/') {
            None if rest == "command" => Some(Inbound::Command),
            Some(("pull", name)) => ConsumerId::new(name).ok().map(Inbound::Pull),
            Some(("ack", name)) => ConsumerId::new(name).ok().map(Inbound::Ack),
            _ => None,
        }
    }

    /// Retained: how the box is.
    #[must_use]
    pub(super) fn status(&self) -> String {
        format!("{}/status", self.base)
    }

    /// Answers to pulls.
    #[must_use]
    pub(super) fn batch(&self, consumer: &ConsumerId) -> String {
        format!("{}/batch/{consumer}", self.base)
    }

    /// Answers to acknowledgements.
    #[must_use]
    pub(super) fn acked(&self, consumer: &ConsumerId) -> String {
        format!("{}/acked/{consumer}", self.base)
    }

    /// Answers to commands.
    #[must_use]
    pub(super) fn result(&self) -> String {
        format!("{}/result", self.base)
    }

    /// Commands to this box.
    #[must_use]
    pub(super) fn command(&self) -> String {
        format!("{}/command", self.base)
    }

    /// Questions of any consumer, so that unknown ones can be told.
    #[must_use]
    pub(super) fn of_anybody(&self) -> Vec<String> {
        vec![format!("{}/pull/+", self.base), format!("{}/ack/+", self.base)]
    }

    /// Questions of these consumers only, for brokers that allow no more.
    #[must_use]
    pub(super) fn of(&self, consumers: &[ConsumerId]) -> Vec<String> {
        let both = |consumer| [format!("{}/pull/{consumer}", self.base), format!("{}/ack/{consumer}", self.base)];
        consumers.iter().flat_map(both).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_told_apart_and_bad_names_are_not_ours() {
        let topics = Topics::new(&"hel-01".parse().expect("id"));
        let cloud = || "cloud".parse().expect("id");
        for (topic, expected) in [
            ("showfloor/v1/hel-01/pull/cloud", Some(Inbound::Pull(cloud()))),
            ("showfloor/v1/hel-01/ack/cloud", Some(Inbound::Ack(cloud()))),
            ("showfloor/v1/hel-01/command", Some(Inbound::Command)),
            ("showfloor/v1/hel-01/command/x", None),
            ("showfloor/v1/hel-01/pull/", None),
            ("showfloor/v1/hel-01/pull/a/b", None),
            ("showfloor/v1/hel-01/status", None),
            ("showfloor/v1/hel-011/command", None),
        ] {
            assert_eq!(topics.read(topic), expected, "{topic}");
        }
    }
}
