//! A tablet of the staff: it resumes where it was, and what it is told at a position must always be the same.

use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use serde_json::Value;

use super::{
    cloud::{Knowledge, locked},
    kiosk::Socket,
};

/// Listens until `stop`, or until the connection ends.
pub(super) fn watch(
    port: u16,
    token: &str,
    outside: &Knowledge,
    rng: &mut Rng,
    stop: &AtomicBool,
) -> Result<(), String> {
    let resume = {
        let knows = locked(outside);
        // Some way back, so that positions are told again.
        let heard: Vec<u64> = knows.told.keys().rev().take(200).copied().collect();
        let from = (!heard.is_empty()).then(|| heard[rng.usize(0..heard.len())]);
        knows.epoch.clone().zip(from)
    };
    let query = resume.as_ref().map(|(epoch, pos)| format!("&resume={epoch}:{pos}")).unwrap_or_default();
    let mut socket = Socket::connect(port, &format!("token={token}{query}"))?;
    while !stop.load(Ordering::Relaxed) {
        if let Some(frame) = socket.next()? {
            take(&frame, outside);
        }
    }
    Ok(())
}

fn take(frame: &Value, outside: &Knowledge) {
    let (Some(kind), payload) = (frame["type"].as_str(), &frame["payload"]) else { return };
    let mut knows = locked(outside);
    if kind == "RESET" {
        knows.contradict(format!("a tablet cannot resume from what it was told: {payload}"));
    }
    let Some(pos) = frame["pos"].as_u64().filter(|_| kind != "ACK") else { return };
    // Names may be erased or change; which visit, car and kiosk it is about may not.
    let about = ["visitId", "vehicleId", "kioskId", "staffId", "testDriveId", "timestamp"];
    let about = about.map(|key| payload[key].to_string()).join(" ");
    let before = knows.told.entry(pos).or_default().entry(kind.to_owned()).or_insert_with(|| about.clone()).clone();
    if before != about {
        knows.contradict(format!("{kind} at {pos} was about {before} and is about {about}"));
    }
}
