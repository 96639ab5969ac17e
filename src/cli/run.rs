//! `showfloor run`: the daemon.

use std::path::PathBuf;

use anyhow::Result;

use crate::{app::App, config, telemetry::start_log};

/// Arguments of `showfloor run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", env = "SHOWFLOOR_CONFIG", default_value = "/etc/showfloor/showfloor.toml")]
    pub config: PathBuf,
}

/// Runs until a signal.
///
/// # Errors
/// When it cannot start, or did not end in order.
pub async fn run(args: Args) -> Result<()> {
    let config = config::load(&args.config)?;
    start_log(config.log.level, config.log.json)?;
    App::open(config)?.run(Vec::new()).await?;
    Ok(())
}
