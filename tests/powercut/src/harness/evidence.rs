//! What is kept of a cut that failed, and seeing it again.
//!
//! A folder holds the disk as it was at the cut (durable part and journal), the seed that decided what survived, what the
//! outside knew, its ledger, and for people: the files that survived, the operations, the log of the daemon, and what was
//! wrong. A replay needs no luck: the disk is the very same.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{
    cloud::Cloud,
    outside::Outside,
    parts::{Broker, Daemon, Started},
    verify::Examiner,
};
use crate::{Change, Cut, Disk, Mount, Tree, survivors};

#[derive(Deserialize)]
struct Kept {
    seed: u64,
    durable: Tree,
    unsynced: Vec<Change>,
    tokens: [String; 3],
    outside: Outside,
}

/// The same, as it is written.
#[derive(Serialize)]
struct Keeping<'a> {
    seed: u64,
    durable: &'a Tree,
    unsynced: &'a [Change],
    tokens: &'a [String; 3],
    outside: &'a Outside,
}

pub(super) fn keep(
    folder: &Path,
    cut: Option<&Cut>,
    outside: &Outside,
    ledger: &Path,
    tokens: &[String; 3],
) -> io::Result<()> {
    if ledger.exists() {
        fs::copy(ledger, folder.join("ledger.jsonl"))?;
    }
    let Some(cut) = cut else { return Ok(()) };
    cut.survived.export(&folder.join("survived"))?;
    let operations: Vec<String> = cut.operations.iter().map(|operation| format!("{operation:?}")).collect();
    fs::write(folder.join("operations.txt"), operations.join("\n"))?;
    let said = format!("{} changes were not synced; of them survived: {:?}\n", cut.disk.unsynced().len(), cut.manner);
    fs::write(folder.join("cut.txt"), said)?;
    let (seed, durable, unsynced) = (cut.seed, cut.disk.durable(), cut.disk.unsynced());
    let keeping = serde_json::to_vec(&Keeping { seed, durable, unsynced, tokens, outside })?;
    fs::write(folder.join("disk.json"), keeping)
}

/// Starts the program on the disk of a cut that failed; what is wrong this time.
///
/// # Errors
/// When the folder is not one of ours, or the harness does not work.
pub fn replay(binary: &Path, folder: &Path) -> io::Result<Vec<String>> {
    let kept: Kept = serde_json::from_slice(&fs::read(folder.join("disk.json"))?).map_err(io::Error::other)?;
    let disk = Disk::from_journal(kept.durable, kept.unsynced);
    let (survived, _) = survivors(&disk, kept.seed);
    let mount = Mount::with(Disk::from_tree(survived), kept.seed)?;
    let broker = Broker::start()?;
    let mut cloud = Cloud::connect(broker.port);
    let mut daemon = Daemon::new(binary, &mount.path().join("data"), broker.port)?;
    let copies = TempDir::new()?;
    let ledger = copies.path().join("ledger.jsonl");
    if folder.join("ledger.jsonl").exists() {
        fs::copy(folder.join("ledger.jsonl"), &ledger)?;
    }
    mount.live().export(copies.path())?;
    let mut problems: Vec<String> = daemon.audit(&copies.path().join("data"))?.err().into_iter().collect();
    if let Started::Failed(problem) = daemon.start(|| false)? {
        problems.push(problem);
        problems.push(daemon.log());
        return Ok(problems);
    }
    let [kiosk, _, service] = &kept.tokens;
    let mut outside = kept.outside;
    outside.contradictions.clear();
    let outside = Arc::new(Mutex::new(outside));
    let mut examiner =
        Examiner { http: daemon.http, service, kiosk, cloud: &mut cloud, ledger: &ledger, outside: &outside };
    problems.extend(examiner.examine(&mut Rng::with_seed(kept.seed)));
    daemon.stop()?;
    Ok(problems)
}
