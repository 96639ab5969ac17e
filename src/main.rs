//! Arguments in, exit code out.

use std::{io::Write as _, process::ExitCode};

use anyhow::Result;
use clap::{Parser, error::ErrorKind};
use showfloor::cli::{calibrate, check, collect, demo, exit_code, guarded, replay, run, status, token};

/// The edge gateway of a car showroom
#[derive(Parser)]
#[command(name = "showfloor", version)]
enum Command {
    /// The daemon
    Run(run::Args),
    /// Everything on this machine, with simulated visitors
    Demo(demo::Args),
    /// Readings of a recording through the engine, as fast as it goes
    Replay(replay::Args),
    /// Fit the site's anchors from surveys
    Calibrate(calibrate::Args),
    /// Pull the logs of boxes into a database, as the cloud would
    Collect(collect::CollectArgs),
    /// All problems of configuration and site file at once
    Check(check::Args),
    /// What the running box says of itself
    Status(status::Args),
    /// Issue, list and revoke tokens
    Token(token::Args),
}

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            // Nobody is left to be told when the output is closed.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(64) };
        }
    };
    match guarded(|| obey(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "showfloor: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn obey(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => in_runtime(run::run(args)),
        Command::Demo(args) => in_runtime(demo::run(args)),
        Command::Collect(args) => in_runtime(collect::run(args)),
        Command::Status(args) => in_runtime(status::run(args)),
        Command::Replay(args) => replay::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Token(args) => token::run(&args),
    }
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // A question to the database that hangs must not hold up the end.
    runtime.shutdown_background();
    done
}
