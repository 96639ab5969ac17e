//! The showroom as of the newest event: tables that follow from the log, and from what settled when it left the log.
//!
//! [`apply`] is the one function that changes them, for a new event and in [`rebuild`] alike, so it looks at nothing but
//! the event and these tables. A personal part that is erased counts as empty: the `customer.erased` that follows in the
//! log takes away what it would have made.

use rusqlite::{Connection, params};

use super::{
    error::{DbError, row},
    queries,
    rows::{LogRow, int, log_columns},
    seal::Keyring,
};
use crate::domain::{
    CustomerId, CustomerInterested, CustomerUpserted, Event, EventBody, KioskStarted, Personal, Role, SpotId,
    StaffChanged, TagAssigned, Timestamp, Vehicle, VehicleId, VisitId, ZoneId,
};

/// Rises when [`apply`] changes in what it makes of old events: the tables are then rebuilt at the next start.
pub(super) const VERSION: i64 = 2;

const REBUILD_PAGE: i64 = 500;

pub(super) const TABLES: [&str; 8] =
    ["vehicle", "customer", "erased", "staff", "visit", "interest", "kiosk_session", "tag"];

/// Whose an interest is.
pub(super) enum Holder {
    Visit = 0,
    Session = 1,
    Customer = 2,
}

/// Changes the tables by one event.
pub(super) fn apply(conn: &Connection, event: &Event) -> Result<(), DbError> {
    match &event.body {
        EventBody::InventoryUpdated(car) | EventBody::InventoryReserved(car) | EventBody::InventoryReleased(car) => {
            vehicle_is(conn, car, event)
        }
        EventBody::InventoryRemoved(removed) => {
            delete(conn, "DELETE FROM vehicle WHERE vehicle = ?1", &removed.vehicle)
        }
        EventBody::CustomerUpserted(data) => customer_is(conn, data, event),
        EventBody::CustomerErased(_) => event.subjects.customer.map_or(Ok(()), |id| customer_is_erased(conn, id)),
        EventBody::StaffChanged(data) => staff_is(conn, data, event),
        EventBody::TagAssigned(data) => tag_means(conn, data, event),
        EventBody::TagReleased(_) => match tag_address(event) {
            Some(tag) => Ok(conn.prepare_cached("DELETE FROM tag WHERE tag = ?1")?.execute([tag]).map(drop)?),
            None => Ok(()),
        },
        EventBody::KioskStarted(data) => session_is(conn, data, event),
        EventBody::KioskEnded(data) => {
            let sql = "DELETE FROM kiosk_session WHERE kiosk = ?1 AND session = ?2";
            conn.prepare_cached(sql)?.execute(params![data.kiosk.as_str(), data.session.0.as_bytes()])?;
            forget_interests(conn, Holder::Session, data.session.0)
        }
        EventBody::CustomerInterested(data) => interest_is(conn, data, event),
        _ => event.subjects.visit.map_or(Ok(()), |visit| visit_changes(conn, visit, event)),
    }
}

/// Empties the tables and makes them anew from the log and what settled, inside the open transaction.
pub(super) fn rebuild(conn: &Connection) -> Result<(), DbError> {
    for table in TABLES {
        conn.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let mut keys = Keyring::new(conn);
    let mut after = 0;
    loop {
        let rows: Vec<LogRow> = conn
            .prepare_cached(PLAYED_AFTER)?
            .query_map([int(after), REBUILD_PAGE], LogRow::read)?
            .collect::<Result<_, _>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let event = row.into_event(&mut keys)?;
            after = event.pos;
            apply(conn, &event)?;
        }
    }
}

/// Events after `?1`, at most `?2`.
pub(super) const LOG_AFTER: &str = concat!("SELECT ", log_columns!(), " FROM log WHERE pos > ?1 ORDER BY pos LIMIT ?2");

/// The same with what settled, at its place.
pub(super) const PLAYED_AFTER: &str = concat!(
    "SELECT ",
    log_columns!(),
    " FROM log WHERE pos > ?1 UNION ALL SELECT ",
    log_columns!(),
    " FROM settled WHERE pos > ?1 ORDER BY pos LIMIT ?2"
);

fn delete(conn: &Connection, sql: &str, id: &VehicleId) -> Result<(), DbError> {
    conn.prepare_cached(sql)?.execute([id.as_str()])?;
    Ok(())
}

fn vehicle_is(conn: &Connection, car: &Vehicle, event: &Event) -> Result<(), DbError> {
    let sql = "INSERT OR REPLACE INTO vehicle (vehicle, spot, data, pos) VALUES (?1, ?2, ?3, ?4)";
    let spot = car.spot.as_ref().map(SpotId::as_str);
    let data = serde_json::to_string(car).map_err(row("a vehicle"))?;
    conn.prepare_cached(sql)?.execute(params![car.id.as_str(), spot, data, int(event.pos)])?;
    Ok(())
}

/// The profile is replaced; personal fields are merged, and `null` takes one away.
fn customer_is(conn: &Connection, data: &CustomerUpserted, event: &Event) -> Result<(), DbError> {
    let Some(id) = event.subjects.customer else { return Ok(()) };
    let mut personal = queries::customer(conn, id)?.map(|known| known.personal).unwrap_or_default();
    for (field, value) in event.personal.fields().map(|fields| &fields.0).into_iter().flatten() {
        if value.is_null() {
            personal.0.remove(field);
        } else {
            personal.0.insert(field.clone(), value.clone());
        }
    }
    let personal = serde_json::to_string(&personal).map_err(row("a customer"))?;
    let profile = serde_json::to_string(&data.profile).map_err(row("a profile"))?;
    conn.prepare_cached("DELETE FROM erased WHERE customer = ?1")?.execute([id.0.as_bytes()])?;
    let sql = "INSERT INTO customer (customer, personal, profile) VALUES (?1, ?2, ?3)
               ON CONFLICT (customer) DO UPDATE SET personal = excluded.personal, profile = excluded.profile";
    conn.prepare_cached(sql)?.execute(params![id.0.as_bytes(), personal, profile])?;
    Ok(())
}

fn customer_is_erased(conn: &Connection, id: CustomerId) -> Result<(), DbError> {
    forget_interests(conn, Holder::Customer, id.0)?;
    let id = id.0.as_bytes();
    conn.prepare_cached("DELETE FROM customer WHERE customer = ?1")?.execute([id])?;
    conn.prepare_cached("DELETE FROM tag WHERE customer = ?1")?.execute([id])?;
    conn.prepare_cached("UPDATE visit SET customer = NULL WHERE customer = ?1")?.execute([id])?;
    conn.prepare_cached("INSERT OR IGNORE INTO erased (customer) VALUES (?1)")?.execute([id])?;
    Ok(())
}

/// Without a personal part, the name known before stays.
fn staff_is(conn: &Connection, data: &StaffChanged, event: &Event) -> Result<(), DbError> {
    let personal = event.personal.fields().map(serde_json::to_string).transpose().map_err(row("staff"))?;
    let nothing = serde_json::to_string(&Personal::default()).map_err(row("staff"))?;
    let sql = "INSERT INTO staff (staff, personal, active, available) VALUES (?1, coalesce(?2, ?3), ?4, ?5)
               ON CONFLICT (staff) DO UPDATE SET personal = coalesce(?2, personal), active = ?4, available = ?5";
    conn.prepare_cached(sql)?.execute(params![data.staff.as_str(), personal, nothing, data.active, data.available])?;
    Ok(())
}

fn tag_address(event: &Event) -> Option<&str> {
    event.personal.fields().and_then(|fields| fields.text("tag"))
}

fn tag_means(conn: &Connection, data: &TagAssigned, event: &Event) -> Result<(), DbError> {
    let Some(tag) = tag_address(event) else { return Ok(()) };
    let customer = event.subjects.customer.map(|id| id.0.into_bytes());
    let until = data.until.map(Timestamp::micros);
    let sql =
        "INSERT OR REPLACE INTO tag (tag, role, subject, customer, until_us, pos) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![tag, role_name(data.role), data.subject, customer, until, int(event.pos)];
    conn.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// How a role stands in its table.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Visitor => "visitor",
        Role::Staff => "staff",
        Role::Vehicle => "vehicle",
        Role::Reference => "reference",
    }
}

/// The role of that name.
pub(super) fn role_of(name: &str) -> Result<Role, DbError> {
    let known = [Role::Visitor, Role::Staff, Role::Vehicle, Role::Reference];
    known.into_iter().find(|role| role_name(*role) == name).ok_or(DbError::Row { what: "role of a tag" })
}

fn session_is(conn: &Connection, data: &KioskStarted, event: &Event) -> Result<(), DbError> {
    let sql = "INSERT OR REPLACE INTO kiosk_session (kiosk, session, started_us, started_pos) VALUES (?1, ?2, ?3, ?4)";
    let session = data.session.0.as_bytes();
    conn.prepare_cached(sql)?.execute(params![data.kiosk.as_str(), session, event.at.micros(), int(event.pos)])?;
    Ok(())
}

/// An interest is told of a visit or session only while that is there, so that one that is gone does not come back.
fn interest_is(conn: &Connection, data: &CustomerInterested, event: &Event) -> Result<(), DbError> {
    let sql = "INSERT OR REPLACE INTO interest (holder_kind, holder, vehicle, level, pos) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = conn.prepare_cached(sql)?;
    let is_there = |sql: &str, id: uuid::Uuid| -> Result<bool, DbError> {
        Ok(conn.prepare_cached(sql)?.query_row([id.as_bytes()], |row| row.get(0))?)
    };
    let visit = event.subjects.visit.map(|id| id.0);
    let known = |id| is_there("SELECT EXISTS (SELECT 1 FROM visit WHERE visit = ?1)", id);
    let visit = if visit.map_or(Ok(false), known)? { visit } else { None };
    let session = data.session.map(|id| id.0);
    let open = |id| is_there("SELECT EXISTS (SELECT 1 FROM kiosk_session WHERE session = ?1)", id);
    let session = if session.map_or(Ok(false), open)? { session } else { None };
    let holders = [
        visit.map(|id| (Holder::Visit, id)),
        session.map(|id| (Holder::Session, id)),
        event.subjects.customer.map(|id| (Holder::Customer, id.0)),
    ];
    for (kind, holder) in holders.into_iter().flatten() {
        let values = params![kind as i64, holder.as_bytes(), data.vehicle.as_str(), data.level, int(event.pos)];
        statement.execute(values)?;
    }
    Ok(())
}

fn forget_interests(conn: &Connection, kind: Holder, holder: uuid::Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM interest WHERE holder_kind = ?1 AND holder = ?2";
    conn.prepare_cached(sql)?.execute(params![kind as i64, holder.as_bytes()])?;
    Ok(())
}

fn visit_changes(conn: &Connection, visit: VisitId, event: &Event) -> Result<(), DbError> {
    let id = visit.0.as_bytes();
    match &event.body {
        EventBody::CustomerEntered(data) => {
            forget_interests(conn, Holder::Visit, visit.0)?;
            let sql = "INSERT OR REPLACE INTO visit (visit, customer, entered_us, zone, x, y, pos)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let customer = event.subjects.customer.map(|id| id.0.into_bytes());
            let zone = data.zone.as_ref().map(ZoneId::as_str);
            let values = params![id, customer, event.at.micros(), zone, data.x, data.y, int(event.pos)];
            conn.prepare_cached(sql)?.execute(values)?;
        }
        EventBody::CustomerMoved(data) => {
            let zone = data.to.as_ref().map(ZoneId::as_str);
            let sql = "UPDATE visit SET zone = ?2, x = ?3, y = ?4 WHERE visit = ?1";
            conn.prepare_cached(sql)?.execute(params![id, zone, data.x, data.y])?;
        }
        EventBody::CustomerExited(_) => {
            let sql = "UPDATE visit SET exited_us = ?2 WHERE visit = ?1";
            conn.prepare_cached(sql)?.execute(params![id, event.at.micros()])?;
        }
        EventBody::LeadAssigned(data) => {
            let sql = "UPDATE visit SET assigned_to = ?2 WHERE visit = ?1";
            conn.prepare_cached(sql)?.execute(params![id, data.staff.as_str()])?;
        }
        _ => {}
    }
    Ok(())
}
