//! The cloud's contract from the outside: with good brokers, with brokers that die, with a broker of our own that
//! misbehaves, and with consumers that do.

mod brokers;
mod cloud;
mod contract;
mod floods;
mod misbehaving;
mod mischief;
mod nats;
mod work;
