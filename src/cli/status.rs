//! `showfloor status`: what the running box says of itself.
//!
//! It may read the data directory, so it may have a token: it issues itself one for the question and revokes it after.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{Failure, print};
use crate::{
    access::{AccessBook, TokenRole},
    config::{self, Config},
};

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 1 << 20;

/// Arguments of `showfloor status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As JSON, as the API says it
    #[arg(long)]
    json: bool,
    /// The configuration of the box
    #[arg(long, value_name = "FILE", env = "SHOWFLOOR_CONFIG", default_value = "/etc/showfloor/showfloor.toml")]
    config: PathBuf,
}

/// Asks and prints.
///
/// # Errors
/// When the daemon does not answer.
pub async fn run(args: Args) -> Result<()> {
    let config = config::load(&args.config)?;
    let book = AccessBook::open(&config.dir)?;
    let name = format!("status-{}", std::process::id());
    let token = book.issue(TokenRole::Service, &name, None)?;
    let answer = timeout(PATIENCE, ask(&config, &token)).await;
    book.revoke(&name)?;
    let body = match answer {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return Err(Failure::Unavailable(silent(&config, &format!("{error:#}"))).into()),
        Err(_) => return Err(Failure::Unavailable(silent(&config, "no answer within 5 s")).into()),
    };
    if args.json {
        print::line(body)?;
    } else {
        let status: Value = serde_json::from_str(&body).context("the answer of the daemon is not understood")?;
        print::line(table(&status))?;
    }
    Ok(())
}

fn silent(config: &Config, cause: &str) -> String {
    let listen = config.http.listen;
    format!("no daemon answers at http://{listen} ({cause}); start it with `showfloor run`, or see its log")
}

/// One GET, without a client library: it is our own server on our own box.
async fn ask(config: &Config, token: &str) -> Result<String> {
    let mut listen = config.http.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let mut stream = TcpStream::connect(listen).await?;
    let request = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("this is no answer of a daemon")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    anyhow::ensure!(status == "200", "the daemon answered {status}: {body}");
    Ok(body.to_owned())
}

fn table(status: &Value) -> String {
    let text = |key: &str| status[key].as_str().map_or_else(|| status[key].to_string(), str::to_owned);
    let yes = |key: &str| if status[key] == true { "connected" } else { "not connected" };
    let mut lines = vec![
        ("site", format!("{} ({})", text("site"), text("name"))),
        ("version", text("version")),
        ("up for", format!("{} s", text("uptimeS"))),
        ("clock", format!("{}, at {}", text("clock"), text("at"))),
        ("open visits", text("openVisits")),
        ("clients", text("clients")),
        ("anchors", yes("anchorsConnected").to_owned()),
        ("cloud", yes("uplinkConnected").to_owned()),
        ("database", format!("{} bytes, epoch {}", status["storage"]["bytes"], text("epoch"))),
        ("disk", disk(&status["storage"])),
    ];
    for (lane, numbers) in status["lanes"].as_object().into_iter().flatten() {
        let acked = numbers["acked"].as_object().into_iter().flatten();
        let acked: Vec<String> = acked.map(|(consumer, upto)| format!("{consumer} has {upto}")).collect();
        let line = format!("lane {lane}, {} to {}; {}", numbers["first"], numbers["last"], acked.join(", "));
        lines.push(("log", line.trim_end_matches("; ").to_owned()));
    }
    for certificate in status["certificates"].as_array().into_iter().flatten() {
        lines.push(("certificate", of_certificate(certificate)));
    }
    if let Some(salvage) = status["salvage"].as_object() {
        let said = |key: &str| salvage[key].as_str().map_or_else(|| salvage[key].to_string(), str::to_owned);
        lines.push((
            "salvaged",
            format!("{}, {} events kept, {} lost: {}", said("at"), said("kept"), said("lost"), said("cause")),
        ));
        let copy = salvage["copy"].as_str().map_or_else(|| "gone".to_owned(), |copy| format!("in {copy}"));
        lines.push(("", format!("the damaged files are {copy}")));
    }
    let degraded: Vec<_> = status["degraded"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    lines.push(("degraded", if degraded.is_empty() { "nothing".to_owned() } else { degraded.join(", ") }));
    let lines: Vec<String> = lines.iter().map(|(key, value)| format!("{key:<12} {value}")).collect();
    lines.join("\n")
}

fn of_certificate(certificate: &Value) -> String {
    let until = certificate["validUntil"].as_str().and_then(|until| until.get(..10));
    let ours = until.map_or_else(
        || "none of ours is known".to_owned(),
        |until| format!("ours ends on {until}, {} days", certificate["daysLeft"]),
    );
    let problem = certificate["problem"].as_str().map(|problem| format!("; {problem}")).unwrap_or_default();
    format!("{}: {ours}{problem}", certificate["connection"].as_str().unwrap_or_default())
}

/// How the disk is, for people.
fn disk(storage: &Value) -> String {
    let room = storage["days_left"].as_f64().map_or_else(
        || "how long the room lasts is known after a day".to_owned(),
        |days| format!("room for {days} days if the cloud stayed away"),
    );
    let state = match storage["state"].as_str() {
        Some("not_stored") => "the disk takes nothing; ",
        Some("shedding") => "the oldest events go to make room; ",
        _ => "",
    };
    format!("{state}{} bytes allowed, {room}", storage["limit"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_read_a_table() {
        let status = json!({
            "site": "hel-01", "name": "Helsinki", "version": "0.1.0", "uptimeS": 5, "clock": "synced", "at": "2026-11-24T10:00:00Z", "openVisits": 2,
            "clients": 1, "anchorsConnected": true, "uplinkConnected": false, "storage": {"bytes": 4096, "limit": 8192, "days_left": 12.5, "state": "shedding"}, "epoch": "e",
            "lanes": {"sales": {"first": 1, "last": 9, "acked": {"cloud": 7}}, "trace": {"first": 0, "last": 0, "acked": {}}},
            "certificates": [
                {"connection": "uplink", "validUntil": "2027-01-01T00:00:00.000000Z", "daysLeft": 12, "problem": null},
                {"connection": "anchors", "validUntil": null, "daysLeft": null, "problem": "ca.pem cannot be read"},
            ],
            "degraded": ["uplink"], "salvage": {"at": "2026-11-24T10:00:00.000000Z", "cause": "rust", "from": null,
                "kept": 7, "lost": 2, "copy": "/data/damaged-2026-11-24-1"},
        });
        insta::assert_snapshot!(table(&status), @r"
        site         hel-01 (Helsinki)
        version      0.1.0
        up for       5 s
        clock        synced, at 2026-11-24T10:00:00Z
        open visits  2
        clients      1
        anchors      connected
        cloud        not connected
        database     4096 bytes, epoch e
        disk         the oldest events go to make room; 8192 bytes allowed, room for 12.5 days if the cloud stayed away
        log          lane sales, 1 to 9; cloud has 7
        log          lane trace, 0 to 0
        certificate  uplink: ours ends on 2027-01-01, 12 days
        certificate  anchors: none of ours is known; ca.pem cannot be read
        salvaged     2026-11-24T10:00:00.000000Z, 7 events kept, 2 lost: rust
                     the damaged files are in /data/damaged-2026-11-24-1
        degraded     uplink
        ");
    }
}
