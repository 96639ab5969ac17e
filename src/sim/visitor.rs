//! One visitor: away, on the way to something, standing before it, on the way out.

use super::random::Random;

/// Adults stroll through shops at about this speed, metres a second.
const WALKING: f64 = 1.1;
const STOPS: (f64, f64) = (2.0, 6.0);
const STAND_S: (f64, f64) = (8.0, 60.0);
const AWAY_S: (f64, f64) = (20.0, 120.0);

/// Where visitors come from and go to, metres.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Places {
    pub(super) entrance: [f64; 2],
    pub(super) targets: Vec<[f64; 2]>,
    pub(super) bounds: [f64; 4],
}

impl Places {
    /// Beside something worth looking at: within 1.5 m on each axis, inside of the bounds.
    fn target(&self, random: &mut Random) -> [f64; 2] {
        let [min_x, min_y, max_x, max_y] = self.bounds;
        let anywhere = [random.between(min_x, max_x), random.between(min_y, max_y)];
        let [x, y] = random.pick(&self.targets).copied().unwrap_or(anywhere);
        let (x, y) = (x + random.between(-1.5, 1.5), y + random.between(-1.5, 1.5));
        [x.max(min_x).min(max_x), y.max(min_y).min(max_y)]
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Doing {
    Away { seconds: f64 },
    Walking { to: [f64; 2], stops: u32 },
    Standing { seconds: f64, stops: u32 },
    Leaving,
}

#[derive(Debug, Clone)]
pub(super) struct Visitor {
    at: [f64; 2],
    doing: Doing,
    random: Random,
}

impl Visitor {
    /// The `n`-th visitor, still outside; they come in one after the other.
    pub(super) fn new(n: usize, places: &Places, seed: u64) -> Self {
        let mut random = Random::new(seed ^ (n as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        let seconds = n as f64 * random.between(4.0, 12.0);
        Self { at: places.entrance, doing: Doing::Away { seconds }, random }
    }

    /// Where they are; `None` while they are away.
    pub(super) fn position(&self) -> Option<[f64; 2]> {
        (!matches!(self.doing, Doing::Away { .. })).then_some(self.at)
    }

    pub(super) fn step(&mut self, dt: f64, places: &Places) {
        self.doing = match self.doing.clone() {
            Doing::Away { seconds } if seconds > dt => Doing::Away { seconds: seconds - dt },
            Doing::Away { .. } => {
                self.at = places.entrance;
                let stops = self.random.between(STOPS.0, STOPS.1) as u32;
                Doing::Walking { to: places.target(&mut self.random), stops }
            }
            Doing::Walking { to, stops } if self.walk(to, dt) => {
                Doing::Standing { seconds: self.random.between(STAND_S.0, STAND_S.1), stops: stops.saturating_sub(1) }
            }
            Doing::Standing { seconds, stops } if seconds > dt => Doing::Standing { seconds: seconds - dt, stops },
            Doing::Standing { stops: 0, .. } => Doing::Leaving,
            Doing::Standing { stops, .. } => Doing::Walking { to: places.target(&mut self.random), stops },
            Doing::Leaving if self.walk(places.entrance, dt) => {
                Doing::Away { seconds: self.random.between(AWAY_S.0, AWAY_S.1) }
            }
            still => still,
        };
    }

    /// Goes towards `to`; true when there.
    fn walk(&mut self, to: [f64; 2], dt: f64) -> bool {
        let (dx, dy) = (to[0] - self.at[0], to[1] - self.at[1]);
        let (distance, reach) = (dx.hypot(dy), WALKING * dt);
        if distance <= reach {
            self.at = to;
            return true;
        }
        self.at = [self.at[0] + dx / distance * reach, self.at[1] + dy / distance * reach];
        false
    }
}
