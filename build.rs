//! Tells the program when it was built, in whole days: a clock that is before that is wrong. `SOURCE_DATE_EPOCH` says it
//! where builds have to be the same bit for bit.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

const DAY: u64 = 86_400;

#[allow(clippy::disallowed_methods)] // the day of the build is what is asked for
fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Not at each build: an older day is as true, and nothing is compiled anew for it.
    println!("cargo::rerun-if-changed=build.rs");
    let told = env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo::rustc-env=SHOWFLOOR_BUILT_DAY={}", told.unwrap_or_else(now) / DAY);
}
