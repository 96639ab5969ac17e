//! `showfloor check`: everything that is wrong with configuration and site file, at once.

use std::path::PathBuf;

use anyhow::Result;

use super::print;
use crate::{
    config::{self, Config},
    domain::Clock as _,
    telemetry::SystemClock,
    tls,
};

/// Arguments of `showfloor check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", env = "SHOWFLOOR_CONFIG", default_value = "/etc/showfloor/showfloor.toml")]
    pub config: PathBuf,
}

/// Checks and says what it found.
///
/// # Errors
/// Every problem there is.
pub fn run(args: &Args) -> Result<()> {
    let now = SystemClock::new().now();
    let certificates = |tls: &config::Tls| {
        let flaws = tls::inspect(&tls.into(), now);
        flaws.into_iter().map(|flaw| (flaw.key, flaw.message)).collect()
    };
    let config = config::load_strictly(&args.config, &certificates)?;
    print::line(format_args!("{}: no problem found", args.config.display()))?;
    print::line(summary(&config))?;
    Ok(())
}

fn summary(config: &Config) -> String {
    let site = &config.site;
    let broker = |broker: &config::Broker| {
        let how = if broker.tls.is_some() { " (TLS)" } else { "" };
        format!("{}:{}{how}", broker.host, broker.port)
    };
    let anchors = config.anchors.as_ref().map_or("no broker".to_owned(), broker);
    let uplink = config.uplink.as_ref().map_or("none".to_owned(), |uplink| broker(&uplink.broker));
    format!(
        "site {} ({}): {} anchors, {} zones, {} spots; data in {}; pages at {}; anchors at {anchors}; cloud at {uplink}",
        site.id,
        site.name,
        site.anchors.len(),
        site.zones.len(),
        site.spots.len(),
        config.dir.display(),
        config.http.listen,
    )
}
