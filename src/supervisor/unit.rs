//! A part of the daemon as the supervisor sees it: a name, a place in the order of stopping, and how to start it.

use std::{error::Error, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio_util::sync::CancellationToken;

/// How a part ends: well, when it was told to stop, or with a reason.
pub type UnitResult = Result<(), Box<dyn Error + Send + Sync>>;

/// When a part is stopped: one phase after the other, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// What brings readings and commands in.
    Intake,
    /// The presence engine, which takes in what is queued.
    Engine,
    /// Kiosks, tablets and other programs on the LAN.
    Lan,
    /// The cloud, which may still hear of the end.
    Uplink,
    /// The store, which commits what was handed over.
    Store,
}

impl Phase {
    /// In the order of stopping.
    pub const ALL: [Self; 5] = [Self::Intake, Self::Engine, Self::Lan, Self::Uplink, Self::Store];

    /// How long its parts may take to stop. Together 25 s, within the 30 s that the unit file of systemd allows.
    #[must_use]
    pub const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Intake => 2,
            Self::Lan => 3,
            Self::Engine | Self::Uplink => 5,
            Self::Store => 10,
        })
    }
}

type Start = Box<dyn FnMut(CancellationToken) -> BoxFuture<'static, UnitResult> + Send>;

/// A part that can be started, and started anew.
pub struct Unit {
    pub(super) name: &'static str,
    pub(super) phase: Phase,
    pub(super) critical: bool,
    pub(super) start: Start,
}

impl Unit {
    /// A part that is started anew whenever it fails. `start` makes a run of it, which ends soon after its token is
    /// cancelled.
    pub fn new<S, F, E>(name: &'static str, phase: Phase, mut start: S) -> Self
    where
        S: FnMut(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let start = Box::new(move |stop| start(stop).map(|ended| ended.map_err(Into::into)).boxed());
        Self { name, phase, critical: false, start }
    }

    /// Its failure ends the daemon, which systemd then starts anew as a whole.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }
}
