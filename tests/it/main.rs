//! The whole program against real parts: Mosquitto, sockets, SQLite, and clients that know only the contract.

#![allow(unreachable_pub)] // one binary: `pub` is to its modules
#![allow(clippy::expect_used, clippy::print_stderr)] // helpers of tests are tests

mod bad_input;
mod boxes;
mod clock;
mod cloud;
mod damage;
mod demo;
mod failing_disk;
mod lan;
mod main_job;
mod many;
#[path = "../../src/tls/testing.rs"]
mod pki;
mod postgres;
mod powercut;
mod start;
mod support;
mod tablet;
mod tls;
mod uplink;
mod world;
