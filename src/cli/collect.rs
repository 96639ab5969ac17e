//! `showfloor collect`: the reference cloud, on the command line.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::{
    collect::{Collector, Options, Target},
    domain::{BrokerAddress, ConsumerId, SiteId},
    supervisor::signals,
    telemetry::{Ailments, SystemClock, Telemetry, start_log},
    tls::{self, ClientTls, Report, TlsFiles},
};

/// Pull the log of boxes into a database, as the cloud would.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// Broker where the boxes are met, mqtt://host:port, or mqtts://host:port for TLS
    #[arg(long, value_name = "URL")]
    broker: BrokerAddress,
    /// Boxes to pull from, separated by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', required = true)]
    site: Vec<SiteId>,
    /// Where to put the events, sqlite:FILE
    #[arg(long, value_name = "TARGET")]
    into: Target,
    /// Name under which the boxes know this collector ([uplink] consumers)
    #[arg(long, value_name = "NAME", default_value = "cloud")]
    consumer: ConsumerId,
    /// End when every lane is at its head and acknowledged
    #[arg(long)]
    once: bool,
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
/// When the password cannot be read or the collector gives up.
pub async fn run(args: CollectArgs) -> Result<()> {
    start_log("info", false)?;
    let (mut orders, stop) = (signals()?, CancellationToken::new());
    let work = args.run(stop.clone());
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
    /// Collects until `stop` is cancelled or, with `--once`, everything is there.
    ///
    /// # Errors
    /// When the password cannot be read or the collector gives up.
    async fn run(self, stop: CancellationToken) -> Result<()> {
        let Self { broker, mut site, into, consumer, once, user, password_file, tls } = self;
        site.sort();
        site.dedup();
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("the password file {} cannot be read", path.display()))?;
            anyhow::Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        };
        let password = password_file.map(read).transpose()?;
        let tls = tls.client(&broker)?;
        let options = Options { broker, user, password, tls: tls.clone(), sites: site, consumer, into, once };
        let watched = tls::watch(tls.into_iter().collect(), CancellationToken::new());
        tokio::select! {
            done = Collector::new(options)?.run(stop) => Ok(done?),
            never = watched => Ok(never?),
        }
    }
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
            ("--broker mqtt://b --site a --into postgres://u@h/d", "PostgreSQL is not in this version"),
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
}
