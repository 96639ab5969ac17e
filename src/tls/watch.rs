//! Looks after certificates while connections stand for months: how many days are left, and whether the files are still
//! good. And looks at them once, for whoever checks a configuration.

use std::{convert::Infallible, sync::Arc, time::Duration};

use rustls::crypto::ring;
use tokio_util::sync::CancellationToken;

use super::{
    client::ClientTls,
    error::Flaw,
    files::{TlsFiles, read},
    validity::day,
};
use crate::domain::{ClockQuality, Stamp};

const LOOK: Duration = Duration::from_hours(1);

/// Looks at the files of `connections` now and every hour, until `stop`.
///
/// # Errors
/// None.
pub async fn watch(connections: Vec<ClientTls>, stop: CancellationToken) -> Result<(), Infallible> {
    loop {
        for connection in &connections {
            // Told already, in the status and by the connection that needs them.
            let _ = connection.read().await;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Everything that is wrong with `files` at `now`, dates included.
#[must_use]
pub fn inspect(files: &TlsFiles, now: Stamp) -> Vec<Flaw> {
    let material = match read(files, &Arc::new(ring::default_provider())) {
        Ok(material) => material,
        Err(flaws) => return flaws,
    };
    let mut flaws = Vec::new();
    let today = match now.quality {
        ClockQuality::Synced => format!("and it is {}", day(now.wall)),
        ClockQuality::Unsynced => format!("and this box's clock, which nothing confirms, says {}", day(now.wall)),
    };
    if let Some((identity, (cert, _))) = material.identity.as_ref().zip(files.identity.as_ref()) {
        let (cert, validity) = (cert.display(), identity.validity);
        if validity.until < now.wall {
            let message = format!("{cert} ended on {}, {today}; renew it", day(validity.until));
            flaws.push(Flaw { key: "cert", message });
        } else if validity.from > now.wall {
            let message = format!("{cert} begins on {} only, {today}", day(validity.from));
            flaws.push(Flaw { key: "cert", message });
        }
    }
    if let Some((due, list)) = material.list_due.zip(files.crl.as_ref()).filter(|(due, _)| *due < now.wall) {
        let message = format!("{} should have been replaced on {}, {today}", list.display(), day(due));
        flaws.push(Flaw { key: "crl", message });
    }
    flaws
}
