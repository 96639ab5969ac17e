//! `showfloor replay`: a recording through the same engine as the daemon's, as fast as it goes.
//!
//! Positions are of every tag; events are those of visitors, as the store would decide them with no cars and no customers
//! known. A recording that ends invents nothing: visits that are open stay open, so a prefix gives a prefix.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    config::load_site,
    domain::{
        BootId, ClockQuality, CustomerId, Fact, KioskId, Registration, Site, SpotId, StaffId, Stamp, TagId, Vehicle,
        VehicleId, VisitId, ZoneId,
    },
    presence::{Engine, Output, Position, Settings, Track, Verdict, Visitors},
    showroom::{Command, Context, Customer, Dating, KioskSession, StaffMember, View, ViewError, Visit, decide},
    sources::{Item, Recording},
};

/// How many bad lines are told one by one.
const TOLD: u64 = 5;

/// Whose stays become events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Guests {
    /// Tags that the site file registers as visitors.
    Registered,
    /// Every tag that it does not register as something else.
    All,
}

/// Arguments of `showfloor replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site file
    #[arg(long, value_name = "SITE")]
    pub site: PathBuf,
    /// The recording, JSON lines, .gz accepted; - is standard input
    #[arg(long = "in", value_name = "RECORDING")]
    pub input: PathBuf,
    /// Where positions go, one JSON line a tag and second; - is standard output
    #[arg(long, value_name = "FILE")]
    pub positions: PathBuf,
    /// Where the events of visits go, one JSON line each; - is standard output
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Whose stays become events
    #[arg(long, value_enum, default_value = "registered")]
    pub visitors: Guests,
}

/// What was passed over.
#[derive(Default)]
struct Tally {
    readings: u64,
    bad: u64,
    unknown_anchor: u64,
    untimely: u64,
    crowded: u64,
}

/// Replays a recording.
///
/// # Errors
/// When the site or the recording cannot be read, or an output cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let both = args.events.as_deref().is_some_and(|it| it == Path::new("-")) && args.positions == Path::new("-");
    ensure!(!both, "positions and events cannot both go to standard output: give one of them a file");
    let site = load_site(&args.site)?;
    let recording = Recording::open(&args.input)?;
    let positions = sink(&args.positions)?;
    let events = args.events.as_deref().map(sink).transpose()?;
    let no_visitors = args.events.is_some() && args.visitors == Guests::Registered && site.tags.is_empty();
    match replay(site, recording, args.visitors, Writers { positions, events }) {
        Ok(tally) => Ok(report(&tally, no_visitors)?),
        // Whoever reads the output has read enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

type Sink = BufWriter<Box<dyn Write>>;

struct Writers {
    positions: Sink,
    events: Option<Sink>,
}

fn sink(path: &Path) -> Result<Sink> {
    let out: Box<dyn Write> = if path == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(path).with_context(|| format!("{} could not be written", path.display()))?)
    };
    Ok(BufWriter::with_capacity(128 * 1024, out))
}

fn replay(site: Site, recording: Recording, guests: Guests, mut writers: Writers) -> Result<Tally> {
    let visitors = match guests {
        Guests::Registered => Visitors::Registered,
        Guests::All => Visitors::All,
    };
    let visit_namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, site.id.as_str().as_bytes());
    let settings = Settings { track: Track::All, visitors, visit_namespace, ..Settings::default() };
    let registry = Arc::new(site.tags.clone());
    let mut engine = Engine::new(Arc::new(site), settings, registry);
    let (mut out, mut tally) = (Output::default(), Tally::default());
    for item in recording {
        let reading = match item? {
            Item::Reading(reading) => reading,
            Item::Sensor => continue,
            Item::Bad(problem) => {
                tally.bad += 1;
                if tally.bad <= TOLD {
                    writeln!(io::stderr(), "{problem}")?;
                }
                continue;
            }
        };
        tally.readings += 1;
        match engine.reading(&reading, &mut out) {
            Verdict::Taken | Verdict::Unregistered => {}
            Verdict::UnknownAnchor => tally.unknown_anchor += 1,
            Verdict::Late | Verdict::Ahead => tally.untimely += 1,
            Verdict::Crowded => tally.crowded += 1,
        }
        write(&mut out, &mut writers)?;
    }
    writers.positions.flush()?;
    writers.events.as_mut().map_or(Ok(()), Write::flush)?;
    Ok(tally)
}

fn write(out: &mut Output, writers: &mut Writers) -> Result<()> {
    for position in out.positions.drain(..) {
        serde_json::to_writer(&mut writers.positions, &PositionLine::from(&position)).map_err(io::Error::from)?;
        writers.positions.write_all(b"\n")?;
    }
    let facts = out.facts.drain(..);
    if let Some(events) = &mut writers.events {
        for fact in facts {
            write_events(fact, events)?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct PositionLine<'a> {
    t: i64,
    tag: &'a TagId,
    x: f64,
    y: f64,
    sigma: f64,
    zone: Option<&'a ZoneId>,
    method: &'static str,
}

impl<'a> From<&'a Position> for PositionLine<'a> {
    fn from(p: &'a Position) -> Self {
        Self { t: p.t, tag: &p.tag, x: p.x, y: p.y, sigma: p.sigma, zone: p.zone.as_ref(), method: p.method }
    }
}

/// The events that the store would make of `fact`, but for cars and customers.
fn write_events(fact: Fact, events: &mut Sink) -> Result<()> {
    let at = fact.at;
    let now = Stamp { wall: at, mono_ns: 0, boot: BootId(Uuid::nil()), quality: ClockQuality::Unsynced };
    let context = Context { now, fresh: Uuid::nil(), fresh_customer: Uuid::nil() };
    let command = Command::Presence { fact, dating: Dating::AsSaid };
    for event in decide(&EmptyShowroom, &command, &context)? {
        let (kind, data) = (event.body.kind(), event.body.to_data());
        // Times, kinds and ids have nothing in them that JSON would escape; `data` is JSON already, in its own order.
        let visit = event.subjects.visit.map_or_else(String::new, |visit| format!(r#""visit":"{visit}","#));
        writeln!(events, r#"{{"at":"{at}","kind":"{kind}",{visit}"data":{data}}}"#)?;
    }
    Ok(())
}

fn report(tally: &Tally, no_visitors: bool) -> io::Result<()> {
    let mut err = io::stderr();
    if no_visitors {
        writeln!(
            err,
            "the site file registers no tags, so there are no visits: --visitors all makes one of every tag"
        )?;
    }
    let passed_over = [
        (tally.bad, "lines that are no readings"),
        (tally.unknown_anchor, "readings of anchors that the site file does not have"),
        (tally.untimely, "readings too late or too far ahead of the others"),
        (tally.crowded, "readings of more tags than can be followed"),
    ];
    for (count, what) in passed_over.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(err, "passed over {count} {what} (of {} readings)", tally.readings)?;
    }
    Ok(())
}

/// A showroom without anything in it.
struct EmptyShowroom;

impl View for EmptyShowroom {
    fn vehicle(&self, _id: &VehicleId) -> Result<Option<Vehicle>, ViewError> {
        Ok(None)
    }
    fn vehicle_at(&self, _spot: &SpotId) -> Result<Option<VehicleId>, ViewError> {
        Ok(None)
    }
    fn customer(&self, _id: CustomerId) -> Result<Option<Customer>, ViewError> {
        Ok(None)
    }
    fn staff(&self, _id: &StaffId) -> Result<Option<StaffMember>, ViewError> {
        Ok(None)
    }
    fn visit(&self, _id: VisitId) -> Result<Option<Visit>, ViewError> {
        Ok(None)
    }
    fn kiosk_session(&self, _kiosk: &KioskId) -> Result<Option<KioskSession>, ViewError> {
        Ok(None)
    }
    fn tag(&self, _tag: &TagId) -> Result<Option<Registration>, ViewError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const SITE: &str = r#"
[site]
id = "test"
name = "two rooms"
timezone = "Etc/UTC"
bounds = [0.0, 0.0, 12.0, 4.0]
tag_height_m = 1.2
[[anchor]]
id = "west"
x = 0.0
y = 2.0
z = 2.0
[[anchor]]
id = "east"
x = 12.0
y = 2.0
z = 2.0
[[zone]]
id = "door"
name = "door"
kind = "entrance"
polygon = [[0.0, 0.0], [6.0, 0.0], [6.0, 4.0], [0.0, 4.0]]
[[zone]]
id = "lounge"
name = "lounge"
kind = "lounge"
polygon = [[6.0, 0.0], [12.0, 0.0], [12.0, 4.0], [6.0, 4.0]]
"#;

    /// Half a minute in the west, half a minute in the east, then another tag in the west.
    fn recording() -> String {
        let mut text = String::new();
        for half in 0..300 {
            let (tag, levels) = match half {
                0..60 => ("a", [-62, -79]),
                60..120 => ("a", [-79, -62]),
                _ => ("b", [-62, -79]),
            };
            let t = f64::from(half) / 2.0;
            for (anchor, rssi) in ["west", "east"].into_iter().zip(levels) {
                writeln!(text, r#"{{"t":{t},"anchor":"{anchor}","tag":"{tag}","rssi":{rssi}}}"#).expect("writes");
            }
        }
        text
    }

    fn replayed(recording: &str) -> (String, String) {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("site.toml"), SITE).expect("writes");
        std::fs::write(file("r.jsonl"), recording).expect("writes");
        let args = Args {
            site: file("site.toml"),
            input: file("r.jsonl"),
            positions: file("p.jsonl"),
            events: Some(file("e.jsonl")),
            visitors: Guests::All,
        };
        run(&args).expect("replays");
        let read = |name: &str| std::fs::read_to_string(file(name)).expect("reads");
        (read("p.jsonl"), read("e.jsonl"))
    }

    #[test]
    fn the_replay_of_a_prefix_is_a_prefix_to_the_byte() {
        let whole = recording();
        let (positions, events) = replayed(&whole);
        for lines in [0, 1, 7, 100, 240, 333] {
            let prefix: String = whole.split_inclusive('\n').take(lines).collect();
            let (part, part_events) = replayed(&prefix);
            assert!(positions.starts_with(&part) && events.starts_with(&part_events), "{lines} lines");
        }
        assert!(positions.lines().count() > 100 && !events.is_empty());
    }

    #[test]
    fn positions_and_events_look_as_the_contract_says() {
        let (positions, events) = replayed(&recording());
        insta::assert_snapshot!(positions.lines().nth(20).unwrap_or_default(), @r#"{"t":20,"tag":"a","x":0.97,"y":2.0,"sigma":1.16,"zone":"door","method":"grid"}"#);
        let events = events.lines().filter(|line| !line.contains("\"trace.") && !line.contains("\"heat."));
        insta::assert_snapshot!(events.collect::<Vec<_>>().join("\n"), @r#"
        {"at":"1970-01-01T00:00:01.000000Z","kind":"customer.entered","visit":"5d7a8df4-9e62-5953-af85-cf90ce3b2796","data":{"zone":"door","x":1.63,"y":2.0,"returning":false}}
        {"at":"1970-01-01T00:00:32.000000Z","kind":"customer.dwelled","visit":"5d7a8df4-9e62-5953-af85-cf90ce3b2796","data":{"zone":"door","seconds":31.0}}
        {"at":"1970-01-01T00:00:32.000000Z","kind":"customer.moved","visit":"5d7a8df4-9e62-5953-af85-cf90ce3b2796","data":{"from":"door","to":"lounge","x":7.42,"y":2.0}}
        {"at":"1970-01-01T00:01:01.000000Z","kind":"customer.entered","visit":"094ba5bf-46e6-5724-bead-20dbf94ca09f","data":{"zone":"door","x":1.63,"y":2.0,"returning":false}}
        "#);
    }
}
