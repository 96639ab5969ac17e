//! Places among the batches under way, from the reading of a page until the broker has the batch: what bounds the memory
//! that pulls can take. `sales` has places of its own, so that it never waits for bulk lanes.

use std::collections::BTreeMap;

use crate::domain::Lane;

/// Batches of `sales` under way; they are few and small, and the way may be long.
pub(super) const SALES_OPEN: usize = 4;
/// Batches of bulk lanes under way: one is read while the other is sent.
pub(super) const BULK_OPEN: usize = 2;

/// The two classes of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Lane `sales`.
    Sales,
    /// The others.
    Bulk,
}

impl Class {
    /// In the order in which they are served.
    pub(super) const ALL: [Self; 2] = [Self::Sales, Self::Bulk];

    /// That of a lane.
    pub(super) const fn of(lane: Lane) -> Self {
        match lane {
            Lane::Sales => Self::Sales,
            Lane::Presence | Lane::Trace => Self::Bulk,
        }
    }
}

/// How much may be done at once for one class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Batches that are read or under way.
    pub(super) open: usize,
    /// Those that are being read.
    pub(super) reading: usize,
}

/// For the daemon: four readers answer the whole box, of which one is left to the LAN whatever is pulled.
pub(super) const LIMITS: [Limit; 2] =
    [Limit { open: SALES_OPEN, reading: 1 }, Limit { open: BULK_OPEN, reading: BULK_OPEN }];

/// A place that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

#[derive(Debug, Clone, Copy)]
struct Taken {
    class: Class,
    reading: bool,
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    limits: [Limit; 2],
    taken: BTreeMap<Ticket, Taken>,
    counter: u64,
}

impl Places {
    /// None is taken.
    pub(super) fn new(limits: [Limit; 2]) -> Self {
        Self { limits, taken: BTreeMap::new(), counter: 0 }
    }

    /// Takes one for a page that is to be read, if there is one.
    pub(super) fn take(&mut self, class: Class) -> Option<Ticket> {
        let limit = self.limits[class as usize];
        let open = self.taken.values().filter(|taken| taken.class == class);
        if open.clone().count() >= limit.open || open.filter(|taken| taken.reading).count() >= limit.reading {
            return None;
        }
        self.counter += 1;
        self.taken.insert(Ticket(self.counter), Taken { class, reading: true });
        Some(Ticket(self.counter))
    }

    /// The page is read; its batch goes on its way.
    pub(super) fn read(&mut self, ticket: Ticket) {
        if let Some(taken) = self.taken.get_mut(&ticket) {
            taken.reading = false;
        }
    }

    /// Gives one back: whose it was.
    pub(super) fn free(&mut self, ticket: Ticket) -> Option<Class> {
        self.taken.remove(&ticket).map(|taken| taken.class)
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_places_of_its_own_and_less_for_reading() {
        let mut places = Places::new([Limit { open: 3, reading: 2 }, Limit { open: 1, reading: 1 }]);
        let (one, two) = (places.take(Class::Sales).expect("free"), places.take(Class::Sales).expect("free"));
        assert_eq!(places.take(Class::Sales), None, "two are read");
        places.read(one);
        let three = places.take(Class::Sales).expect("free");
        places.read(two);
        places.read(three);
        assert_eq!(places.take(Class::Sales), None, "three are under way");
        assert!(places.take(Class::Bulk).is_some() && places.take(Class::Bulk).is_none());
        assert_eq!((places.free(two), places.free(two)), (Some(Class::Sales), None));
        assert!(places.take(Class::Sales).is_some());
        assert_eq!(places.taken(), 4);
    }
}
