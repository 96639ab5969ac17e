//! Sets the demo up: a data directory with a configuration that can be looked at, a broker of our own, the daemon, the
//! simulated visitors as an MQTT client, a collector, and a token for the page. Nothing listens beyond loopback.

use std::{
    convert::Infallible,
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use uuid::Uuid;

use super::cars::cars;
use crate::{
    access::{AccessBook, AccessError, TokenRole},
    app::App,
    collect::{self, Collector, Target},
    config::{self, Config},
    domain::{BrokerAddress, Registration, Role, Site},
    showroom::{CloudCommand, Command},
    sim,
    sources::{Simulator, SimulatorOptions},
    supervisor::{Phase, Unit},
    telemetry::start_log,
};

const SITE: &str = include_str!("site.toml");
const USUAL_PORT: u16 = 8080;

/// Arguments of `showfloor demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many people come and go
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=500))]
    visitors: u16,
    /// How many times faster than real they walk
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// The same seed gives the same walks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where everything is kept; without it in a directory that is removed at the end
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leave the cloud out
    #[arg(long)]
    no_collector: bool,
}

/// A directory that is removed at the end, unless somebody named it.
struct Stage {
    dir: PathBuf,
    keep: bool,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed stays in the directory for temporary files.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Plays until Ctrl-C.
///
/// # Errors
/// When the directory cannot be used, or no port is free.
pub async fn run(args: Args) -> Result<()> {
    let stage = stage(args.data_dir.as_deref())?;
    let broker = free(0)?;
    let config = configure(&stage.dir, broker, usize::from(args.visitors))?;
    start_log("warn", false)?;
    let app = App::open(config)?;
    for car in cars()? {
        app.store().submit(None, Command::Cloud(CloudCommand::VehicleUpsert(car))).await?;
    }
    let token = fresh_token(app.book(), "demo")?;
    let mut guests = vec![simulator(&args, app.site(), broker)];
    let cloud = stage.dir.join("cloud.sqlite");
    if !args.no_collector {
        guests.push(collector(app.site(), broker, &cloud)?);
    }
    let address = app.address();
    let mut out = io::stdout();
    writeln!(out, "the showroom, live:   http://{address}/#token={token}")?;
    writeln!(out, "anchors and cloud:    mqtt://{broker} (mosquitto_sub -h 127.0.0.1 -p {} -t '#')", broker.port())?;
    if !args.no_collector {
        writeln!(out, "the cloud's database: {}", cloud.display())?;
    }
    writeln!(out, "the box's directory:  {}", stage.dir.display())?;
    writeln!(out, "Ctrl-C ends it{}", if stage.keep { "" } else { " and removes the directory" })?;
    app.run(guests).await?;
    Ok(())
}

fn stage(named: Option<&Path>) -> Result<Stage> {
    let dir =
        named.map_or_else(|| std::env::temp_dir().join(format!("showfloor-demo-{}", Uuid::new_v4())), Path::to_owned);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.with_context(|| format!("{} cannot be made", dir.display()))?;
    Ok(Stage { dir, keep: named.is_some() })
}

/// A port of loopback that is free now: the one that is wanted, else any.
fn free(wanted: u16) -> Result<SocketAddr> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    bind(wanted).or_else(|_| bind(0)).context("no port of loopback is free")
}

/// Writes the files of a box and reads them as a box does.
fn configure(dir: &Path, broker: SocketAddr, visitors: usize) -> Result<Config> {
    let http = free(USUAL_PORT)?;
    let text = format!(
        "# Written by `showfloor demo`.\n[site]\nfile = \"site.toml\"\n[storage]\ndir = \"data\"\n[http]\nlisten = \
         \"{http}\"\n[broker]\nlisten = \"{broker}\"\n[anchors]\nbroker = \"mqtt://{broker}\"\n[uplink]\nbroker = \
         \"mqtt://{broker}\"\nconsumers = [\"cloud\"]\n"
    );
    let file = dir.join("showfloor.toml");
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    write(&dir.join("site.toml"), SITE)?;
    write(&file, &text)?;
    let mut config = config::load(&file)?;
    for n in 0..visitors {
        let registration = Registration { role: Role::Visitor, subject: None, until: None };
        config.site.tags.assign(sim::tag(n)?, registration);
    }
    Ok(config)
}

/// A token under a name that a demo in the same directory may have used before.
fn fresh_token(book: &AccessBook, name: &str) -> Result<String> {
    match book.revoke(name) {
        Ok(()) | Err(AccessError::Unknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(book.issue(TokenRole::Staff, name, None)?)
}

fn simulator(args: &Args, site: &Arc<Site>, broker: SocketAddr) -> Unit {
    let options = SimulatorOptions {
        host: broker.ip().to_string(),
        port: broker.port(),
        user: None,
        password: None,
        site: Arc::clone(site),
        visitors: usize::from(args.visitors),
        speed: args.speed,
        seed: args.seed,
    };
    Unit::new("simulator", Phase::Intake, move |stop| {
        let simulator = Simulator::new(options.clone());
        async move {
            simulator.run(stop).await;
            Ok::<_, Infallible>(())
        }
    })
}

fn collector(site: &Arc<Site>, broker: SocketAddr, into: &Path) -> Result<Unit> {
    let options = collect::Options {
        broker: BrokerAddress { host: broker.ip().to_string(), port: broker.port(), secure: false },
        user: None,
        password: None,
        tls: None,
        sites: vec![site.id.clone()],
        consumer: "cloud".parse().context("the consumer's name")?,
        into: Target::Sqlite(into.to_owned()),
        once: false,
    };
    Ok(Unit::new("collector", Phase::Intake, move |stop| {
        let collector = Collector::new(options.clone());
        async move { collector.run(stop).await }
    }))
}
