//! Commands from the cloud, as they are written and as they may be trusted (`docs/protocol.md` §6).
//!
//! Here only the form is checked; whether the showroom can do it is `showroom`'s to say. A `profile` must not hold what
//! identifies a person, because it is kept and sent unsealed: such a command is refused, not silently trimmed.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    fields::{Fields, find_id},
    messages::Malformed,
    refusal::{Code, Refusal},
};
use crate::{
    domain::{
        ClockQuality, CustomerId, Personal, Registration, Role, SpotId, StaffId, Stamp, TagId, Timestamp, Vehicle,
        VehicleId, VehicleStatus,
    },
    showroom::CloudCommand,
};

/// As long as results are kept, so that a repetition is never done twice.
pub(super) const KEPT_MICROS: i64 = 7 * DAY_MICROS;
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// Names that stand for people: they belong into `personal`.
const PERSONAL_NAMES: &[&str] =
    &["name", "first_name", "last_name", "phone", "mobile", "email", "address", "street", "birthday", "mac", "tag"];

/// A command in good form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CommandRequest {
    /// Version 7: says when it was made.
    pub(super) id: Uuid,
    /// The id as its sender wrote it, for the answer.
    pub(super) written_id: String,
    /// When it stops making sense.
    pub(super) expires_at: Option<Timestamp>,
    /// What to do.
    pub(super) command: CloudCommand,
}

impl CommandRequest {
    /// Whether it comes in time. Judged only by a clock that is proven.
    ///
    /// # Errors
    /// When it is over 7 days old (its result may be forgotten already, so it could be done twice), dated over a day
    /// ahead (it would outlive its result), or past its `expires_at`.
    pub(super) fn check_age(&self, now: Stamp) -> Result<(), Refusal> {
        if now.quality == ClockQuality::Unsynced {
            return Ok(());
        }
        let made = made_at(self.id);
        if made.plus_micros(KEPT_MICROS) < now.wall {
            return Err(Refusal::new(Code::Expired, format!("the id is of {made}, ids are good for 7 days")));
        }
        if made > now.wall.plus_micros(DAY_MICROS) {
            return Err(Refusal::bad(format!("the id is of {made}, here it is {}", now.wall)));
        }
        match self.expires_at {
            Some(end) if end <= now.wall => Err(Refusal::new(Code::Expired, format!("it expired at {end}"))),
            _ => Ok(()),
        }
    }
}

/// The time in a UUID of version 7, to the millisecond.
fn made_at(id: Uuid) -> Timestamp {
    let millis = (id.as_u128() >> 80) as i64;
    Timestamp::from_micros(millis.saturating_mul(1_000))
}

/// Reads a command.
///
/// # Errors
/// When it is not what the contract says, or of a kind that is not done here.
pub(super) fn parse_command(payload: &[u8]) -> Result<CommandRequest, Malformed> {
    let fields =
        Fields::parse(payload).map_err(|refusal| Malformed { about: find_id(payload).map(Value::String), refusal })?;
    read(&fields).map_err(|refusal| Malformed { about: fields.shown_id().map(Value::String), refusal })
}

fn read(fields: &Fields) -> Result<CommandRequest, Refusal> {
    let written_id = fields.id()?.to_owned();
    let id: Uuid = written_id.parse().map_err(|_| Refusal::bad("id must be a UUID of version 7"))?;
    if id.get_version_num() != 7 {
        return Err(Refusal::bad("id must be a UUID of version 7: its time says how old the command is"));
    }
    let expires_at: Option<Timestamp> = match fields.optional_text("expires_at")? {
        Some(text) => Some(Timestamp::parse(text).map_err(|error| Refusal::bad(format!("expires_at: {error}")))?),
        None => None,
    };
    let kind = fields.text("kind")?;
    let command = read_kind(kind, fields.get("data"))?;
    Ok(CommandRequest { id, written_id, expires_at, command })
}

fn read_kind(kind: &str, data: Option<&Value>) -> Result<CloudCommand, Refusal> {
    Ok(match kind {
        "vehicle.upsert" => CloudCommand::VehicleUpsert(typed::<VehicleData>(kind, data)?.into()),
        "vehicle.remove" => CloudCommand::VehicleRemove(typed::<Named<VehicleId>>(kind, data)?.id),
        "customer.upsert" => {
            let CustomerData { id, personal, profile } = typed(kind, data)?;
            if let Some(name) = profile.keys().find(|key| PERSONAL_NAMES.contains(&key.as_str())) {
                return Err(Refusal::bad(format!("profile.{name} is personal: put it into personal")));
            }
            CloudCommand::CustomerUpsert { id, personal: Personal(personal), profile }
        }
        "customer.erase" => CloudCommand::CustomerErase(typed::<Named<CustomerId>>(kind, data)?.id),
        "staff.upsert" => {
            let StaffData { id, name, phone, active, available } = typed(kind, data)?;
            let named = Personal::default().with("name", name);
            let personal = phone.into_iter().fold(named, |personal, phone| personal.with("phone", phone));
            CloudCommand::StaffUpsert { id, personal, active, available }
        }
        "tag.assign" => {
            let TagData { tag, role, subject, until } = typed(kind, data)?;
            CloudCommand::TagAssign { tag, registration: Registration { role, subject, until } }
        }
        "tag.release" => CloudCommand::TagRelease(typed::<TagOnly>(kind, data)?.tag),
        "lead.upsert" => {
            let message = "lead.upsert is not done by this version of the box: leads are not kept here yet";
            return Err(Refusal::new(Code::Unsupported, message));
        }
        _ => {
            let shown: String = kind.chars().take(64).collect();
            return Err(Refusal::new(Code::UnknownKind, format!("there is no command {shown:?}")));
        }
    })
}

fn typed<T: DeserializeOwned>(kind: &str, data: Option<&Value>) -> Result<T, Refusal> {
    let data = data.ok_or_else(|| Refusal::bad(format!("data of {kind} is missing")))?;
    T::deserialize(data).map_err(|error| Refusal::bad(format!("data of {kind}: {error}")))
}

/// The answer to a command that is done, or was before.
#[must_use]
pub(super) fn done(id: &str, pos: u64) -> Vec<u8> {
    json!({"id": id, "ok": true, "pos": pos}).to_string().into_bytes()
}

/// The answer to a command that was not done.
#[must_use]
pub(super) fn not_done(id: &Value, refusal: &Refusal) -> Vec<u8> {
    json!({"id": id, "ok": false, "error": refusal.to_json()}).to_string().into_bytes()
}

#[derive(Deserialize)]
struct Named<T> {
    id: T,
}

#[derive(Deserialize)]
struct TagOnly {
    tag: TagId,
}

#[derive(Deserialize)]
struct TagData {
    tag: TagId,
    role: Role,
    subject: Option<String>,
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
struct StaffData {
    id: StaffId,
    name: String,
    phone: Option<String>,
    active: bool,
    available: bool,
}

#[derive(Deserialize)]
struct CustomerData {
    id: CustomerId,
    personal: Map<String, Value>,
    #[serde(default)]
    profile: Map<String, Value>,
}

#[derive(Deserialize)]
struct VehicleData {
    id: VehicleId,
    make: String,
    model: String,
    year: u16,
    #[serde(rename = "type")]
    body_type: String,
    price: Option<f64>,
    currency: Option<String>,
    spot: Option<SpotId>,
    location: Option<String>,
    status: VehicleStatus,
    photo: Option<String>,
}

impl From<VehicleData> for Vehicle {
    fn from(data: VehicleData) -> Self {
        let VehicleData { id, make, model, year, body_type, price, currency, spot, location, status, photo } = data;
        Self { id, make, model, year, body_type, price, currency, spot, location, status, photo }
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
