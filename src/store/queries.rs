//! Look-ups in the projections, within whatever transaction the connection is in; the writer's decisions and the
//! readers share them.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{
    About, StoredVisit, VisitContext,
    error::{DbError, row},
    projections::{self, Holder},
    rows::{count, parse, parse_some},
};
use crate::{
    domain::{
        BootId, ClockQuality, ClockSynced, CustomerId, Event, KioskId, OpenVisit, Registration, Registry, Role,
        SessionId, SpotId, StaffId, Stamp, TagId, Timestamp, Vehicle, VehicleId, VisitId, dated,
    },
    showroom::{Customer, Interest, KioskSession, StaffMember, Visit},
};

type Bytes = [u8; 16];

pub(super) fn vehicle(conn: &Connection, id: &VehicleId) -> Result<Option<Vehicle>, DbError> {
    let mut statement = conn.prepare_cached("SELECT data FROM vehicle WHERE vehicle = ?1")?;
    let data: Option<String> = statement.query_row([id.as_str()], |row| row.get(0)).optional()?;
    data.map(|data| serde_json::from_str(&data).map_err(row("a vehicle"))).transpose()
}

/// Should two cars be said to stand at one spot, the one that was said last.
pub(super) fn vehicle_at(conn: &Connection, spot: &SpotId) -> Result<Option<VehicleId>, DbError> {
    let sql = "SELECT vehicle FROM vehicle WHERE spot = ?1 ORDER BY pos DESC LIMIT 1";
    let id: Option<String> = conn.prepare_cached(sql)?.query_row([spot.as_str()], |row| row.get(0)).optional()?;
    parse_some("vehicle", id.as_deref())
}

pub(super) fn vehicles(conn: &Connection) -> Result<Vec<Vehicle>, DbError> {
    let mut statement = conn.prepare_cached("SELECT data FROM vehicle ORDER BY vehicle")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|data| serde_json::from_str(&data?).map_err(row("a vehicle"))).collect()
}

pub(super) fn customer(conn: &Connection, id: CustomerId) -> Result<Option<Customer>, DbError> {
    let mut statement = conn.prepare_cached("SELECT personal, profile FROM customer WHERE customer = ?1")?;
    let found: Option<(String, String)> =
        statement.query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((personal, profile)) = found else { return Ok(None) };
    let personal = serde_json::from_str(&personal).map_err(row("a customer"))?;
    let profile = serde_json::from_str(&profile).map_err(row("a profile"))?;
    Ok(Some(Customer { id, personal, profile }))
}

/// The newest word about the clock of `boot`.
pub(super) fn clock_of(conn: &Connection, boot: BootId) -> Result<Option<ClockSynced>, DbError> {
    let sql = "SELECT data FROM log WHERE kind = 'clock.synced' AND boot = ?1 ORDER BY pos DESC LIMIT 1";
    let data: Option<String> = conn.prepare_cached(sql)?.query_row([boot.0.as_bytes()], |row| row.get(0)).optional()?;
    data.map(|data| serde_json::from_str(&data).map_err(row("a clock.synced"))).transpose()
}

fn staff_row(row: &Row<'_>) -> rusqlite::Result<(String, String, bool, bool)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn staff_of((id, personal, active, available): (String, String, bool, bool)) -> Result<StaffMember, DbError> {
    let personal = serde_json::from_str(&personal).map_err(row("staff"))?;
    Ok(StaffMember { id: parse("staff", &id)?, personal, active, available })
}

pub(super) fn staff(conn: &Connection, id: &StaffId) -> Result<Option<StaffMember>, DbError> {
    let sql = "SELECT staff, personal, active, available FROM staff WHERE staff = ?1";
    conn.prepare_cached(sql)?.query_row([id.as_str()], staff_row).optional()?.map(staff_of).transpose()
}

pub(super) fn all_staff(conn: &Connection) -> Result<Vec<StaffMember>, DbError> {
    let mut statement = conn.prepare_cached("SELECT staff, personal, active, available FROM staff ORDER BY staff")?;
    statement.query_map([], staff_row)?.map(|row| staff_of(row?)).collect()
}

pub(super) fn visit(conn: &Connection, id: VisitId) -> Result<Option<Visit>, DbError> {
    struct Raw(Option<Bytes>, i64, Option<i64>, Option<String>, f64, f64, Option<String>);
    let sql = "SELECT customer, entered_us, exited_us, zone, x, y, assigned_to FROM visit WHERE visit = ?1";
    let read = |row: &Row<'_>| {
        Ok(Raw(row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
    };
    let found = conn.prepare_cached(sql)?.query_row([id.0.as_bytes()], read).optional()?;
    let Some(Raw(customer, entered, exited, zone, x, y, assigned_to)) = found else { return Ok(None) };
    Ok(Some(Visit {
        id,
        customer: customer.map(|id| CustomerId(Uuid::from_bytes(id))),
        entered_at: Timestamp::from_micros(entered),
        exited_at: exited.map(Timestamp::from_micros),
        zone: parse_some("zone", zone.as_deref())?,
        x,
        y,
        assigned_to: parse_some("staff", assigned_to.as_deref())?,
    }))
}

pub(super) fn kiosk_session(conn: &Connection, kiosk: &KioskId) -> Result<Option<KioskSession>, DbError> {
    let sql = "SELECT session, started_us, started_pos FROM kiosk_session WHERE kiosk = ?1";
    let read = |row: &Row<'_>| {
        Ok(KioskSession {
            id: SessionId(Uuid::from_bytes(row.get(0)?)),
            kiosk: kiosk.clone(),
            started_at: Timestamp::from_micros(row.get(1)?),
            started_pos: count(row.get(2)?),
        })
    };
    Ok(conn.prepare_cached(sql)?.query_row([kiosk.as_str()], read).optional()?)
}

pub(super) fn kiosk_sessions(conn: &Connection) -> Result<Vec<KioskSession>, DbError> {
    let mut statement = conn.prepare_cached("SELECT kiosk FROM kiosk_session ORDER BY kiosk")?;
    let kiosks: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let sessions = kiosks.iter().map(|kiosk| kiosk_session(conn, &parse("kiosk", kiosk)?));
    sessions.filter_map(Result::transpose).collect()
}

fn registration_of(role: &str, subject: Option<String>, until: Option<i64>) -> Result<Registration, DbError> {
    Ok(Registration { role: projections::role_of(role)?, subject, until: until.map(Timestamp::from_micros) })
}

pub(super) fn tag(conn: &Connection, tag: &TagId) -> Result<Option<Registration>, DbError> {
    let sql = "SELECT role, subject, until_us FROM tag WHERE tag = ?1";
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?));
    let found = conn.prepare_cached(sql)?.query_row([tag.as_str()], read).optional()?;
    found.map(|(role, subject, until)| registration_of(&role, subject, until)).transpose()
}

/// What every tag means: those of the site file, but for customers who are erased, under those assigned since.
pub(super) fn registry(conn: &Connection, site_tags: &Registry) -> Result<Registry, DbError> {
    let mut registry = Registry::default();
    for (tag, registration) in site_tags.iter() {
        if !is_of_an_erased_customer(conn, registration)? {
            registry.assign(tag.clone(), registration.clone());
        }
    }
    let mut statement = conn.prepare_cached("SELECT tag, role, subject, until_us FROM tag")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (tag, role): (String, String) = (row.get(0)?, row.get(1)?);
        registry.assign(parse("tag", &tag)?, registration_of(&role, row.get(2)?, row.get(3)?)?);
    }
    Ok(registry)
}

fn is_of_an_erased_customer(conn: &Connection, registration: &Registration) -> Result<bool, DbError> {
    let subject = registration.subject.as_deref().filter(|_| registration.role == Role::Visitor);
    let Some(id) = subject.and_then(|subject| subject.parse::<CustomerId>().ok()) else { return Ok(false) };
    let mut statement = conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM erased WHERE customer = ?1)")?;
    Ok(statement.query_row([id.0.as_bytes()], |row| row.get(0))?)
}

/// The open visits as the engine has to go on with them, oldest first.
pub(super) fn open_visits(conn: &Connection) -> Result<Vec<StoredVisit>, DbError> {
    let sql = "SELECT visit, tag, customer, entered_us, last_us, zone, x, y, heard_wall_us, heard_boot, heard_mono_ns,
               heard_quality FROM open_visit ORDER BY entered_us, visit";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut visits = Vec::new();
    while let Some(row) = rows.next()? {
        let (tag, zone): (String, Option<String>) = (row.get(1)?, row.get(5)?);
        let open = OpenVisit {
            visit: VisitId(Uuid::from_bytes(row.get(0)?)),
            tag: parse("tag", &tag)?,
            customer: row.get::<_, Option<Bytes>>(2)?.map(|id| CustomerId(Uuid::from_bytes(id))),
            entered_at: Timestamp::from_micros(row.get(3)?),
            last_at: Timestamp::from_micros(row.get(4)?),
            zone: parse_some("zone", zone.as_deref())?,
            x: row.get(6)?,
            y: row.get(7)?,
        };
        let heard = heard_of(row)?;
        let word = heard.map(|heard| clock_of(conn, heard.boot)).transpose()?.flatten();
        visits.push(StoredVisit { open, heard, word });
    }
    Ok(visits)
}

/// When the tag of an open visit was last heard, if that is of the clocks of the box.
fn heard_of(row: &Row<'_>) -> Result<Option<Stamp>, DbError> {
    let (Some(wall), Some(boot)) = (row.get(8)?, row.get::<_, Option<Bytes>>(9)?) else { return Ok(None) };
    let quality = if row.get::<_, i64>(11)? == 1 { ClockQuality::Synced } else { ClockQuality::Unsynced };
    let (wall, boot) = (Timestamp::from_micros(wall), BootId(Uuid::from_bytes(boot)));
    Ok(Some(Stamp { wall, mono_ns: row.get(10)?, boot, quality }))
}

/// Visits that are not over, oldest first.
pub(super) fn visits_now(conn: &Connection) -> Result<Vec<VisitContext>, DbError> {
    let mut statement = conn.prepare_cached("SELECT visit FROM visit WHERE exited_us IS NULL ORDER BY pos")?;
    let ids: Vec<Bytes> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let contexts = ids.into_iter().map(|id| visit_context(conn, VisitId(Uuid::from_bytes(id))));
    contexts.filter_map(Result::transpose).collect()
}

pub(super) fn visit_context(conn: &Connection, id: VisitId) -> Result<Option<VisitContext>, DbError> {
    let Some(visit) = visit(conn, id)? else { return Ok(None) };
    let known = visit.customer.map(|id| customer(conn, id)).transpose()?.flatten();
    Ok(Some(VisitContext {
        id,
        customer: visit.customer,
        customer_name: known.as_ref().and_then(|known| known.personal.text("name")).map(str::to_owned),
        entered_at: entered_at(conn, id)?.unwrap_or(visit.entered_at),
        zone: visit.zone,
        x: visit.x,
        y: visit.y,
        assigned_to: visit.assigned_to,
        interests: interests(conn, id, visit.customer)?,
        wishes: known.as_ref().map(wishes).unwrap_or_default(),
    }))
}

/// When a visit began, by what was learnt of the clock of that boot since; `None` when that changes nothing.
fn entered_at(conn: &Connection, id: VisitId) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT log.wall_us, log.boot, log.mono_ns, log.quality FROM visit JOIN log ON log.pos = visit.pos
               WHERE visit.visit = ?1";
    let read = |row: &Row<'_>| {
        let quality = if row.get::<_, i64>(3)? == 1 { ClockQuality::Synced } else { ClockQuality::Unsynced };
        let (wall, boot) = (Timestamp::from_micros(row.get(0)?), BootId(Uuid::from_bytes(row.get(1)?)));
        Ok(Stamp { wall, mono_ns: row.get(2)?, boot, quality })
    };
    let entered = conn.prepare_cached(sql)?.query_row([id.0.as_bytes()], read).optional()?;
    let Some(entered) = entered.filter(|entered| entered.quality == ClockQuality::Unsynced) else { return Ok(None) };
    Ok(dated(&entered, clock_of(conn, entered.boot)?.as_ref()))
}

fn wishes(customer: &Customer) -> Vec<String> {
    let listed = customer.profile.get("vehicle_interest").and_then(serde_json::Value::as_array);
    listed.into_iter().flatten().filter_map(|wish| wish.as_str().map(str::to_owned)).collect()
}

/// Interests of a visit and of its customer, the newest of each car, strongest first.
fn interests(conn: &Connection, visit: VisitId, customer: Option<CustomerId>) -> Result<Vec<Interest>, DbError> {
    // With max() alone, SQLite takes the other columns from the row that holds it.
    let sql = "SELECT vehicle, level, max(pos) FROM (
                   SELECT vehicle, level, pos FROM interest WHERE holder_kind = ?1 AND holder = ?2
                   UNION ALL SELECT vehicle, level, pos FROM interest WHERE holder_kind = ?3 AND holder = ?4)
               GROUP BY vehicle ORDER BY level DESC, vehicle";
    let customer = customer.map(|id| id.0.into_bytes());
    let values = params![Holder::Visit as i64, visit.0.as_bytes(), Holder::Customer as i64, customer];
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (vehicle, level) = row?;
        Ok(Interest { vehicle: parse("vehicle", &vehicle)?, level })
    })
    .collect()
}

/// What a reader of `event` needs beside it.
pub(super) fn about(conn: &Connection, event: &Event) -> Result<About, DbError> {
    let subjects = &event.subjects;
    let visit = subjects.visit.map(|id| visit_context(conn, id)).transpose()?.flatten();
    let known = subjects.customer.map(|id| customer(conn, id)).transpose()?.flatten();
    let member = subjects.staff.as_ref().map(|id| staff(conn, id)).transpose()?.flatten();
    let name = |personal: &crate::domain::Personal| personal.text("name").map(str::to_owned);
    Ok(About {
        visit,
        customer_name: known.and_then(|known| name(&known.personal)),
        vehicle: subjects.vehicle.as_ref().map(|id| vehicle(conn, id)).transpose()?.flatten(),
        staff_name: member.and_then(|member| name(&member.personal)),
    })
}
