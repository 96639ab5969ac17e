//! Which of the keys found may live on: those that open something, and nothing that an erasure has closed. A key that was
//! deleted must not come back from a page that was not written over.

use std::collections::BTreeMap;

use crate::{
    domain::{Event, EventBody, Subject},
    store::{
        rows::SealedPart,
        seal::{self, KeyBytes, subject_text},
    },
};

#[derive(Debug)]
struct Candidate {
    key: KeyBytes,
    /// Positions of the first and the last part it opened.
    opened: Option<(u64, u64)>,
}

/// Candidates by subject, shown every sealed part and every erasure in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Keys {
    candidates: BTreeMap<String, Vec<Candidate>>,
    erased: BTreeMap<String, u64>,
}

impl Keys {
    pub(super) fn found(&mut self, subject: &str, key: KeyBytes) {
        let known = self.candidates.entry(subject.to_owned()).or_default();
        if known.iter().all(|candidate| candidate.key != key) {
            known.push(Candidate { key, opened: None });
        }
    }

    pub(super) fn sealed(&mut self, pos: u64, part: &SealedPart<'_>) {
        let candidates = self.candidates.get_mut(part.subject).into_iter().flatten();
        for candidate in candidates {
            if seal::opens(candidate.key, part.bond, part.sealed) {
                candidate.opened = Some((candidate.opened.map_or(pos, |(first, _)| first), pos));
            }
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        if let (EventBody::CustomerErased(_), Some(customer)) = (&event.body, event.subjects.customer) {
            self.erased.insert(subject_text(&Subject::Customer(customer)), event.pos);
        }
    }

    /// The key of each subject that may live on.
    pub(super) fn living(self) -> impl Iterator<Item = (String, KeyBytes)> {
        let Self { candidates, erased } = self;
        candidates.into_iter().filter_map(move |(subject, candidates)| {
            let closed = erased.get(&subject).copied().unwrap_or(0);
            let living = candidates.into_iter().filter_map(|candidate| Some((candidate.opened?, candidate.key)));
            let living = living.filter(|((first, _), _)| *first > closed);
            living.max_by_key(|((_, last), _)| *last).map(|(_, key)| (subject, key))
        })
    }
}
