//! `powercut cuts N`, `powercut kills N`, `powercut replay FOLDER`: see `make powercut` and `make kills`.

#![allow(clippy::print_stdout)] // it is for people

use std::{env, error::Error, path::PathBuf, process::ExitCode};

use powercut::harness::{Setup, cuts, kills, replay, usual_place};

const USAGE: &str = "usage: powercut BINARY cuts N SEED | BINARY kills N SEED | BINARY replay FOLDER";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("powercut: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was wrong.
fn run() -> Result<bool, Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [binary, what, rest @ ..] = words.as_slice() else { return Err(USAGE.into()) };
    let binary = PathBuf::from(binary).canonicalize()?;
    match (*what, rest) {
        ("cuts", [n, seed]) => {
            let setup = Setup { binary, seed: seed.parse()?, cuts: 40, fault: None, keep: usual_place().to_owned() };
            let summary = cuts(&setup, n.parse()?, |so_far| {
                println!(
                    "{:>6} cuts, {} failed, {:.0} s",
                    so_far.cuts,
                    so_far.failures.len(),
                    so_far.took.as_secs_f64()
                );
            })?;
            println!("{summary}");
            Ok(summary.failures.is_empty())
        }
        ("kills", [n, seed]) => {
            let killed = kills(&binary, seed.parse()?, n.parse()?)?;
            println!("{killed}");
            Ok(killed.problems.is_empty())
        }
        ("replay", [folder]) => {
            let problems = replay(&binary, &PathBuf::from(folder))?;
            for problem in &problems {
                println!("{problem}");
            }
            println!("{} problems", problems.len());
            Ok(problems.is_empty())
        }
        _ => Err(USAGE.into()),
    }
}
