//! What leaves the box about the log, in the words of `docs/protocol.md` §5: shared by the uplink and HTTP. Pure.

pub mod event;
