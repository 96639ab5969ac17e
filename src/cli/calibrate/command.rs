//! The command: reads, fits, writes, prints.
//!
//! Truth with places fits anchors; truth that names only zones says no distances, and fits what is heard in each zone.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};

use super::{
    site_file::{write_anchors, write_zones},
    survey::Survey,
    truth::read_truth,
};
use crate::{
    config::load_site,
    domain::{ZoneId, ZonePrints},
    presence::{Calibration, fit, fit_zones},
};

/// Arguments of `showfloor calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site file
    #[arg(long, value_name = "SITE")]
    pub site: PathBuf,
    /// A recording of a survey; may be given more than once
    #[arg(long = "in", value_name = "RECORDING", required = true)]
    pub inputs: Vec<PathBuf>,
    /// Where the tags of each recording were, in the same order
    #[arg(long, value_name = "TRUTH", required = true)]
    pub truth: Vec<PathBuf>,
    /// Where the site file with what was learnt goes
    #[arg(long, value_name = "SITE2")]
    pub out: PathBuf,
}

/// Fits and writes.
///
/// # Errors
/// When a file cannot be read or written, truth has no places, or there is too little to fit.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.inputs.len() == args.truth.len(), "as many --truth as --in are needed, pairs in order");
    let site = load_site(&args.site)?;
    let mut survey = Survey::default();
    for (input, truth) in args.inputs.iter().zip(&args.truth) {
        survey.add(input, &read_truth(truth)?)?;
    }
    let prints = fit_zones(&site, &survey.seconds);
    let zones_only = survey.samples.is_empty() && !prints.is_empty();
    let calibration = if zones_only { None } else { Some(fit(&site, &survey.samples)?) };
    let text = fs::read_to_string(&args.site).with_context(|| format!("{} could not be read", args.site.display()))?;
    let mut document: toml_edit::DocumentMut = text.parse().context("the site file is not understood")?;
    if let Some(calibration) = &calibration {
        write_anchors(&mut document, calibration)?;
    }
    write_zones(&mut document, &prints)?;
    fs::write(&args.out, document.to_string())
        .with_context(|| format!("{} could not be written", args.out.display()))?;
    Ok(print(calibration.as_ref(), &prints)?)
}

fn print(calibration: Option<&Calibration>, prints: &BTreeMap<ZoneId, ZonePrints>) -> io::Result<()> {
    let mut out = io::stdout();
    if let Some(calibration) = calibration {
        print_anchors(&mut out, calibration)?;
    }
    if !prints.is_empty() {
        writeln!(out, "{:<20} {:>8} {:>9}", "zone", "ways", "stay")?;
    }
    for (zone, found) in prints {
        writeln!(out, "{:<20} {:>8} {:>7.1} s", zone.as_str(), found.prints.len(), found.stay_s)?;
    }
    Ok(())
}

fn print_anchors(out: &mut io::Stdout, calibration: &Calibration) -> io::Result<()> {
    let (level, exponent) = calibration.pooled;
    writeln!(out, "all anchors together: {level:.1} dBm at 1 m, exponent {exponent:.2}")?;
    writeln!(
        out,
        "{:<20} {:>8} {:>9} {:>9} {:>14} {:>12}",
        "anchor", "places", "at 1 m", "exponent", "left, together", "left, own"
    )?;
    let db = |value: Option<f64>| value.map_or("-".to_owned(), |db| format!("{db:.1} dB"));
    for it in &calibration.anchors {
        let (together, own) = (db(it.pooled_residual_db), db(it.residual_db));
        let (id, places) = (it.anchor.as_str(), it.samples);
        writeln!(out, "{id:<20} {places:>8} {:>9.1} {:>9.2} {together:>14} {own:>12}", it.rssi_at_1m, it.path_loss)?;
    }
    Ok(())
}
