//! When an event was, though the box did not know the time when it wrote it (`docs/protocol.md` §5). Pure.
//!
//! A box without a battery clock begins each boot in 1970 and writes `unsynced` events until it learns the time. Its word
//! about that is `clock.synced`: wall = mono + offset, for one boot. The newest word dates all `unsynced` events of its boot,
//! before and after it; what was `synced` keeps its date.
//!
//! Lanes are pulled side by side, and the same word stands in each, so words come doubled, late and in any order. The
//! newest is the one with the highest monotonic time: within a boot that is the order of `seq`, in whatever lane it came,
//! and it holds in a new epoch as well. Whoever keeps events therefore keeps one word a boot, takes a newer one only
//! ([`Word::is_newer`]), and then dates what is `unsynced` anew; a late word changes nothing.

use crate::domain::{BootId, ClockMark, ClockQuality, ClockSynced, Timestamp};

/// What a box said of the clock of one of its boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// Which boot.
    pub(super) boot: BootId,
    /// When it was said, on the monotonic clock of that boot.
    pub(super) said_ns: i64,
    /// What to add to a monotonic time of that boot.
    pub(super) offset_ns: i64,
}

impl Word {
    /// The word of a `clock.synced` that stands at `clock`. A word about another boot than that in which it was said is
    /// none: no box says such.
    #[must_use]
    pub(super) fn new(clock: &ClockMark, synced: &ClockSynced) -> Option<Self> {
        let own = clock.boot.0 == synced.boot;
        own.then_some(Self { boot: clock.boot, said_ns: clock.mono_ns, offset_ns: synced.offset_ns })
    }

    /// Whether it is to be believed instead of `known`.
    #[must_use]
    pub(super) fn is_newer(&self, known: Option<&Self>) -> bool {
        known.is_none_or(|known| self.said_ns > known.said_ns)
    }

    fn wall_of(&self, mono_ns: i64) -> Timestamp {
        Timestamp::from_micros(self.offset_ns.saturating_add(mono_ns).div_euclid(1_000))
    }
}

/// When an event was that says `at` and stands at `clock`: `None` as long as nobody knows. `word` is the newest of its boot.
#[must_use]
pub(super) fn dated(at: Timestamp, clock: &ClockMark, word: Option<&Word>) -> Option<Timestamp> {
    match clock.quality {
        ClockQuality::Synced => Some(at),
        ClockQuality::Unsynced => word.filter(|word| word.boot == clock.boot).map(|word| word.wall_of(clock.mono_ns)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn boot(n: u128) -> BootId {
        BootId(Uuid::from_u128(n))
    }

    fn mark(mono_s: i64, quality: ClockQuality) -> ClockMark {
        ClockMark { boot: boot(1), mono_ns: mono_s * 1_000_000_000, quality }
    }

    fn word(said_s: i64, offset_s: i64) -> Word {
        Word { boot: boot(1), said_ns: said_s * 1_000_000_000, offset_ns: offset_s * 1_000_000_000 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn only_what_was_unsynced_is_dated_by_the_word_of_its_boot() {
        let truth = 1_790_000_000;
        for (quality, word, expected) in [
            (ClockQuality::Unsynced, None, None),
            (ClockQuality::Unsynced, Some(word(60, truth)), Some(at(truth + 7))),
            (ClockQuality::Unsynced, Some(Word { boot: boot(2), ..word(60, truth) }), None),
            (ClockQuality::Synced, None, Some(at(5))),
            (ClockQuality::Synced, Some(word(60, truth)), Some(at(5))),
        ] {
            assert_eq!(dated(at(5), &mark(7, quality), word.as_ref()), expected, "{quality:?} {word:?}");
        }
    }

    #[test]
    fn a_word_about_another_boot_is_none() {
        let synced = |of: u128| ClockSynced { boot: Uuid::from_u128(of), offset_ns: 5, step_ns: 0 };
        assert_eq!(Word::new(&mark(3, ClockQuality::Synced), &synced(1)).map(|word| word.offset_ns), Some(5));
        assert_eq!(Word::new(&mark(3, ClockQuality::Synced), &synced(2)), None);
    }

    proptest! {
        #[test]
        fn the_order_in_which_words_come_does_not_matter(said in prop::collection::vec(0_i64..50, 1..20)) {
            let keep = |words: &mut dyn Iterator<Item = i64>| {
                words.fold(None, |known: Option<Word>, said| {
                    // A word is one and the same wherever it is read: its offset follows from when it was said.
                    let new = word(said, 1_000 + said);
                    if new.is_newer(known.as_ref()) { Some(new) } else { known }
                })
            };
            let newest = said.iter().max().map(|said| word(*said, 1_000 + said));
            prop_assert_eq!(keep(&mut said.iter().copied()), newest);
            prop_assert_eq!(keep(&mut said.iter().rev().copied()), newest);
        }
    }
}
