//! Arguments in, exit code out.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use showfloor::cli::{calibrate, replay};

#[derive(Parser)]
#[command(name = "showfloor", version, about)]
enum Command {
    /// Readings of a recording through the engine, as fast as it goes
    Replay(replay::Args),
    /// Fit the site's anchors from surveys
    Calibrate(calibrate::Args),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Replay(args) => replay::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(std::io::stderr(), "showfloor: {error:#}");
            ExitCode::from(64)
        }
    }
}
