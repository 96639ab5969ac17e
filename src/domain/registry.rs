//! Which tags mean somebody. What is not in here is counted, never kept.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{TagId, Timestamp};

/// What a registered tag is carried by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A guest: has visits.
    Visitor,
    /// An employee: never a visit.
    Staff,
    /// A car.
    Vehicle,
    /// A tag at a known place, for calibration.
    Reference,
}

/// What a tag stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who carries it.
    pub role: Role,
    /// Customer, staff or vehicle id as text.
    pub subject: Option<String>,
    /// When it stops meaning that.
    pub until: Option<Timestamp>,
}

/// Every registered tag: those of the site file and those assigned since, the later winning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry(HashMap<TagId, Registration>);

impl Registry {
    /// Puts `tag` in, replacing what it meant before.
    pub fn assign(&mut self, tag: TagId, registration: Registration) {
        self.0.insert(tag, registration);
    }

    /// Takes `tag` out.
    pub fn release(&mut self, tag: &TagId) {
        self.0.remove(tag);
    }

    /// What `tag` means at `now`.
    #[must_use]
    pub fn get(&self, tag: &TagId, now: Timestamp) -> Option<&Registration> {
        self.0.get(tag).filter(|r| r.until.is_none_or(|until| now < until))
    }

    /// The same for whoever keeps another time, to which `lead_us` has to be added to get to dates; where that is not
    /// known, no tag stops meaning what it does.
    #[must_use]
    pub fn in_time(&self, lead_us: Option<i64>) -> Self {
        let timed = |registration: &Registration| {
            let until =
                registration.until.zip(lead_us).map(|(until, lead_us)| until.plus_micros(lead_us.saturating_neg()));
            Registration { until, ..registration.clone() }
        };
        Self(self.0.iter().map(|(tag, registration)| (tag.clone(), timed(registration))).collect())
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&TagId, &Registration)> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_until_is_judged_in_the_time_of_whoever_asks() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let tag: TagId = "t".parse().expect("id");
        let mut registry = Registry::default();
        registry.assign(tag.clone(), Registration { role: Role::Visitor, subject: None, until: Some(at(1_000)) });
        for (lead_s, now, known) in [
            (Some(0), 999, true),
            (Some(0), 1_000, false),
            (Some(900), 99, true),
            (Some(900), 100, false),
            (None, 5_000, true),
        ] {
            let timed = registry.in_time(lead_s.map(|seconds: i64| seconds * 1_000_000));
            assert_eq!(timed.get(&tag, at(now)).is_some(), known, "{lead_s:?} {now}");
        }
    }
}
