//! `showfloor check`: everything that is wrong with configuration and site file, at once; with `--store`, also with the
//! database.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Failure, print};
use crate::{
    config::{self, Config},
    domain::{Clock as _, Lane},
    store::{self, Heads},
    telemetry::SystemClock,
    tls,
};

/// Arguments of `showfloor check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", env = "SHOWFLOOR_CONFIG", default_value = "/etc/showfloor/showfloor.toml")]
    pub config: PathBuf,
    /// Look through the database, too: its pages, its numbers, and whether its tables are what its log says. Changes
    /// nothing, and may be done while the daemon runs
    #[arg(long)]
    pub store: bool,
}

/// Checks and says what it found.
///
/// # Errors
/// Every problem there is; a database that cannot be read, or is not well.
pub fn run(args: &Args) -> Result<()> {
    let now = SystemClock::new().now();
    let certificates = |tls: &config::Tls| {
        let flaws = tls::inspect(&tls.into(), now);
        flaws.into_iter().map(|flaw| (flaw.key, flaw.message)).collect()
    };
    let config = config::load_strictly(&args.config, &certificates)?;
    print::line(format_args!("{}: no problem found", args.config.display()))?;
    print::line(summary(&config))?;
    if args.store { look(&config.dir) } else { Ok(()) }
}

fn look(dir: &Path) -> Result<()> {
    let found = store::audit(dir)?;
    if !found.problems.is_empty() {
        let list = found.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
        return Err(Failure::Store(format!("the database in {} is not well:\n  {list}", dir.display())).into());
    }
    let tables = if found.rebuilt { "its tables are what its log says" } else { "its log is not whole any more" };
    let heads = Lane::ALL.map(|lane| format!("{} at {}", lane.as_str(), found.heads.of(lane))).join(", ");
    let Heads { pos, .. } = found.heads;
    print::line(format_args!("database: {} events, position {pos}, {heads}; {tables}", found.events))?;
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
