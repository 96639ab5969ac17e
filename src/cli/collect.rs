//! `showfloor collect`: the reference cloud, on the command line.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, IsTerminal as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use crate::{
    collect::{Collector, Options, Tallies, Target},
    domain::{BrokerAddress, ConsumerId, SiteId},
    http::Http,
    supervisor::signals,
    telemetry::{Ailments, SystemClock, Telemetry, start_log, start_log_through},
    tls::{self, ClientTls, Report, TlsFiles},
};

/// Pull the log of boxes into a database, as the cloud would.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// Broker where the boxes are met, mqtt://host:port, or mqtts://host:port for TLS
    #[arg(long, value_name = "URL")]
    broker: BrokerAddress,
    /// Boxes to pull from, separated by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', required_unless_present = "sites_file")]
    site: Vec<SiteId>,
    /// File of boxes to pull from, one a line, # for comments
    #[arg(long, value_name = "FILE")]
    sites_file: Option<PathBuf>,
    /// Where to put the events, sqlite:FILE or postgres://user@host:port/database; collectors that name the same
    /// PostgreSQL share the boxes
    #[arg(long, value_name = "TARGET")]
    into: Target,
    /// Name under which the boxes know this collector ([uplink] consumers)
    #[arg(long, value_name = "NAME", default_value = "cloud")]
    consumer: ConsumerId,
    /// End when every lane is at its head and acknowledged
    #[arg(long)]
    once: bool,
    /// Serve metrics for Prometheus at this address of loopback, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// User at the broker
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// File that holds the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Files of TLS, for mqtts://.
#[derive(Debug, Args)]
struct TlsArgs {
    /// Certificates (PEM) of the authorities that the broker's is believed of
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Our own certificate (PEM), where the broker wants one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key (PEM), readable by its owner alone
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Revocation lists (PEM) of those authorities
    #[arg(long, value_name = "FILE", requires = "ca")]
    crl: Option<PathBuf>,
}

impl TlsArgs {
    fn client(self, broker: &BrokerAddress) -> Result<Option<ClientTls>> {
        let Self { ca, cert, key, crl } = self;
        let given = ca.is_some() || cert.is_some();
        ensure!(broker.secure || !given, "--ca, --cert and --key are for TLS: write the broker as mqtts://{broker}");
        if !broker.secure {
            return Ok(None);
        }
        let ca = ca.context("mqtts:// needs --ca, the file of the authority that the broker's certificate is of")?;
        let files = TlsFiles { ca, identity: cert.zip(key), crl };
        let report = Report::new("collect", Ailments::default(), Telemetry::default(), None);
        Ok(Some(ClientTls::new(&broker.host, broker.port, files, Arc::new(SystemClock::new()), report)))
    }
}

/// Collects until Ctrl-C or SIGTERM or, with `--once`, everything is there.
///
/// # Errors
/// When a file cannot be read, the address for metrics cannot be had, or the collector gives up.
pub async fn run(args: CollectArgs) -> Result<()> {
    let progress = io::stderr().is_terminal().then(Progress::new);
    match &progress {
        Some(progress) => {
            let progress = progress.clone();
            start_log_through("warn", move |line| progress.above(|| io::stderr().write_all(line)))?;
        }
        None => start_log("info", false)?,
    }
    let (mut orders, stop) = (signals()?, CancellationToken::new());
    let work = args.run(progress, stop.clone());
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => done,
        _ = orders.next() => {
            stop.cancel();
            work.await
        }
    }
}

impl CollectArgs {
    async fn run(self, progress: Option<Progress>, stop: CancellationToken) -> Result<()> {
        let metrics = self.metrics.map(listen).transpose()?;
        let options = self.options()?;
        let secured = options.secured().into_iter().map(|(_, tls)| tls).collect();
        let watched = tls::watch(secured, CancellationToken::new());
        let collector = Collector::new(options);
        let tallies = collector.tallies();
        // Ends with the collector, whichever way that ends.
        let over = stop.child_token();
        let guard = over.clone().drop_guard();
        let collect = async {
            let ended = tokio::select! {
                ended = collector.run(stop) => ended.map_err(anyhow::Error::from),
                never = watched => Ok(never?),
            };
            drop(guard);
            ended
        };
        let show = async {
            if let Some(progress) = progress {
                progress.follow(&tallies, &over).await;
            }
        };
        let (ended, served, ()) = tokio::join!(collect, serve(metrics, tallies.clone(), &over), show);
        ended?;
        served
    }

    fn options(self) -> Result<Options> {
        let Self { broker, site, sites_file, into, consumer, once, user, password_file, tls, metrics: _ } = self;
        let mut sites: BTreeSet<SiteId> = site.into_iter().collect();
        if let Some(path) = sites_file {
            sites.extend(read_sites(&path)?);
        }
        ensure!(!sites.is_empty(), "there is no site to collect from");
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("the password file {} cannot be read", path.display()))?;
            anyhow::Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        };
        let password = password_file.map(read).transpose()?;
        let tls = tls.client(&broker)?;
        let sites = sites.into_iter().collect();
        Ok(Options { broker, user, password, tls, sites, consumer, into, once })
    }
}

fn read_sites(path: &Path) -> Result<Vec<SiteId>> {
    let text = fs::read_to_string(path).with_context(|| format!("the sites file {} cannot be read", path.display()))?;
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.split('#').next().unwrap_or_default().trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(n, line)| line.parse().with_context(|| format!("line {n} of the sites file {}", path.display())))
        .collect()
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    ensure!(
        address.ip().is_loopback(),
        "metrics are served without a token: give an address of loopback, not {address}"
    );
    let listener = TcpListener::bind(address).with_context(|| format!("metrics cannot be served at {address}"))?;
    let bound = listener.local_addr()?;
    tracing::info!("metrics at http://{bound}/metrics");
    Ok((listener, bound))
}

async fn serve(at: Option<(TcpListener, SocketAddr)>, tallies: Tallies, stop: &CancellationToken) -> Result<()> {
    if let Some((listener, address)) = at {
        Arc::new(Http::metrics(listener, address, move || tallies.render())).run(stop.clone()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CollectArgs,
    }

    fn parse(line: &str) -> Result<CollectArgs, String> {
        let words = std::iter::once("collect").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn the_line_of_the_manual_is_read() {
        let args = parse("--broker mqtt://b:1884 --site hel-01,tmp-02 --into sqlite:/tmp/x.db --once").expect("reads");
        assert_eq!((args.site.len(), args.consumer.as_str(), args.once), (2, "cloud", true));
        assert_eq!(args.broker, BrokerAddress { host: "b".into(), port: 1884, secure: false });
    }

    #[test]
    fn errors_say_what_to_do() {
        for (line, says) in [
            ("--broker mqtt://b --site a --into postgres://u@h/d", "sslmode=disable"),
            ("--broker b:1883 --site a --into sqlite:x", "write mqtt://HOST:PORT"),
            ("--broker mqtts://b --site a --into sqlite:x --ca c --cert d", "--key"),
            ("--broker mqtt://b --site A! --into sqlite:x", "site id"),
            ("--broker mqtt://b --into sqlite:x", "--site"),
            ("--broker mqtt://b --site a --into sqlite:x --user anna", "--password-file"),
        ] {
            let error = parse(line).expect_err("refused");
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn sites_come_from_the_line_and_from_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sites");
        let line = format!("--broker mqtt://b --site tmp-02,hel-01 --sites-file {} --into sqlite:x", path.display());
        fs::write(&path, "# all\nhel-01\n\n  tku-03 # Turku\n").expect("written");
        let options = parse(&line).expect("reads").options().expect("reads");
        assert_eq!(options.sites.iter().map(SiteId::as_str).collect::<Vec<_>>(), ["hel-01", "tku-03", "tmp-02"]);
        fs::write(&path, "hel-01\nHEL 02\n").expect("written");
        let error = parse(&line).expect("reads").options().expect_err("refused");
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
    }

    #[test]
    fn metrics_are_for_this_machine() {
        assert!(listen("192.0.2.1:0".parse().expect("address")).is_err());
        assert!(listen("127.0.0.1:0".parse().expect("address")).is_ok());
    }
}
