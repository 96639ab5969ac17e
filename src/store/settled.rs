//! Events that go from their lane while the showroom still rests on them: they are kept beside the log, one a slot.
//!
//! Invariant: the projections follow from the settled events and the log together, played by position. So an event settles
//! when a row of a projection rests on it, newer ones of its slot take its place (a customer's personal fields are merged,
//! as the projection merges them), and when the event goes that undoes it, what is settled goes too. Events leave a lane
//! from its front, so what undoes comes after what it undoes.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    error::DbError,
    projections::Holder,
    rows::{LogRow, int, log_columns, sum_of},
    seal::{self, Bond, Keyring},
};
use crate::domain::{CustomerId, Event, EventBody, Personal, Revealed, Sealable, StaffId, Subject, VisitId};

const SETTLED: &str = concat!("SELECT ", log_columns!(), " FROM settled WHERE slot = ?1");

/// Looks after what rests on `event`, a row of the log that is about to go.
pub(super) fn settle(conn: &Connection, event: &Event) -> Result<(), DbError> {
    match &event.body {
        EventBody::InventoryUpdated(car) | EventBody::InventoryReserved(car) | EventBody::InventoryReleased(car) => {
            let sql = "SELECT EXISTS (SELECT 1 FROM vehicle WHERE vehicle = ?1 AND pos = ?2)";
            if rests(conn, sql, params![car.id.as_str(), int(event.pos)])? {
                keep(conn, &format!("vehicle:{}", car.id), event)?;
            }
        }
        EventBody::InventoryRemoved(removed) => drop_slot(conn, &format!("vehicle:{}", removed.vehicle))?,
        EventBody::CustomerUpserted(_) => event.subjects.customer.map_or(Ok(()), |id| customer(conn, id, event))?,
        EventBody::CustomerErased(_) => event.subjects.customer.map_or(Ok(()), |id| erased(conn, id, event))?,
        EventBody::StaffChanged(data) => staff(conn, &data.staff, event)?,
        EventBody::TagAssigned(_) => {
            if rests(conn, "SELECT EXISTS (SELECT 1 FROM tag WHERE pos = ?1)", [int(event.pos)])? {
                keep(conn, &format!("tag:{}", event.pos), event)?;
            }
        }
        EventBody::TagReleased(_) => drop_tags(conn)?,
        EventBody::KioskStarted(data) => {
            if rests(conn, "SELECT EXISTS (SELECT 1 FROM kiosk_session WHERE started_pos = ?1)", [int(event.pos)])? {
                keep(conn, &format!("kiosk:{}", data.kiosk), event)?;
            }
        }
        EventBody::KioskEnded(_) => {
            let sql = "DELETE FROM settled WHERE kind = 'kiosk.started'
                       AND pos NOT IN (SELECT started_pos FROM kiosk_session)";
            conn.prepare_cached(sql)?.execute([])?;
            drop_interests(conn)?;
        }
        EventBody::CustomerInterested(_) => {
            if rests(conn, "SELECT EXISTS (SELECT 1 FROM interest WHERE pos = ?1)", [int(event.pos)])? {
                keep(conn, &format!("interest:{}", event.pos), event)?;
                drop_interests(conn)?;
            }
        }
        _ => event.subjects.visit.map_or(Ok(()), |id| visit(conn, id, event))?,
    }
    Ok(())
}

fn rests(conn: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<bool, DbError> {
    Ok(conn.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

/// Copies the row of `event` as it is.
fn keep(conn: &Connection, slot: &str, event: &Event) -> Result<(), DbError> {
    let sql = concat!(
        "INSERT OR REPLACE INTO settled (slot, ",
        log_columns!(),
        ") SELECT ?1, ",
        log_columns!(),
        " FROM log WHERE pos = ?2"
    );
    conn.prepare_cached(sql)?.execute(params![slot, int(event.pos)])?;
    Ok(())
}

fn drop_slot(conn: &Connection, slot: &str) -> Result<(), DbError> {
    conn.prepare_cached("DELETE FROM settled WHERE slot = ?1")?.execute([slot])?;
    Ok(())
}

fn drop_tags(conn: &Connection) -> Result<(), DbError> {
    let sql = "DELETE FROM settled WHERE kind = 'tag.assigned' AND pos NOT IN (SELECT pos FROM tag)";
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn drop_interests(conn: &Connection) -> Result<(), DbError> {
    let sql = "DELETE FROM settled WHERE kind = 'customer.interested'
               AND NOT EXISTS (SELECT 1 FROM interest WHERE interest.pos = settled.pos)";
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// What is settled in `slot`, with its personal part as far as it can be read.
fn settled(conn: &Connection, slot: &str) -> Result<Option<Event>, DbError> {
    let row = conn.prepare_cached(SETTLED)?.query_row([slot], LogRow::read).optional()?;
    row.map(|row| row.into_event(&mut Keyring::new(conn))).transpose()
}

/// Seals `personal` into the settled copy of `event`: a sealed part is bound to the event it stands on.
fn reseal(conn: &Connection, slot: &str, event: &Event, personal: &Sealable) -> Result<(), DbError> {
    let subject = seal::subject_text(&personal.subject);
    let bond = Bond { id: event.id, kind: event.body.kind() };
    let sealed = seal::seal(conn, &subject, bond, &personal.fields)?;
    let sql = "UPDATE settled SET subject = ?2, sealed = ?3 WHERE slot = ?1";
    conn.prepare_cached(sql)?.execute(params![slot, subject, sealed])?;
    let sum: i64 = conn.prepare_cached(SETTLED)?.query_row([slot], sum_of)?;
    conn.prepare_cached("UPDATE settled SET sum = ?2 WHERE slot = ?1")?.execute(params![slot, sum])?;
    Ok(())
}

/// The profile is replaced, personal fields are merged. Of a customer who is erased nothing is kept.
fn customer(conn: &Connection, id: CustomerId, event: &Event) -> Result<(), DbError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM customer WHERE customer = ?1)";
    if !rests(conn, sql, [id.0.as_bytes()])? {
        return Ok(());
    }
    let slot = format!("customer:{id}");
    let before = settled(conn, &slot)?;
    keep(conn, &slot, event)?;
    let Some(Revealed::Present(mut fields)) = before.map(|before| before.personal) else { return Ok(()) };
    for (field, value) in event.personal.fields().map(|fields| &fields.0).into_iter().flatten() {
        if value.is_null() {
            fields.0.remove(field);
        } else {
            fields.0.insert(field.clone(), value.clone());
        }
    }
    reseal(conn, &slot, event, &Sealable { subject: Subject::Customer(id), fields })
}

/// Stays for good: a tag of the site file means nobody as long as its customer is erased.
fn erased(conn: &Connection, id: CustomerId, event: &Event) -> Result<(), DbError> {
    drop_slot(conn, &format!("customer:{id}"))?;
    drop_tags(conn)?;
    drop_interests(conn)?;
    keep(conn, &format!("erased:{id}"), event)
}

/// Without a personal part, the one before stays.
fn staff(conn: &Connection, id: &StaffId, event: &Event) -> Result<(), DbError> {
    let slot = format!("staff:{id}");
    let before = settled(conn, &slot)?;
    keep(conn, &slot, event)?;
    let known: Option<Personal> = match before.map(|before| before.personal) {
        Some(Revealed::Present(fields)) if event.personal.fields().is_none() => Some(fields),
        _ => None,
    };
    let sealable = known.map(|fields| Sealable { subject: Subject::Staff(id.clone()), fields });
    sealable.map_or(Ok(()), |personal| reseal(conn, &slot, event, &personal))
}

/// A visit stays as long as the event of its end; it goes with that one.
fn visit(conn: &Connection, id: VisitId, event: &Event) -> Result<(), DbError> {
    let bytes = id.0.as_bytes();
    let is_there = || rests(conn, "SELECT EXISTS (SELECT 1 FROM visit WHERE visit = ?1)", [bytes]);
    match &event.body {
        EventBody::CustomerEntered(_) => {
            let sql = "SELECT EXISTS (SELECT 1 FROM visit WHERE visit = ?1 AND pos = ?2)";
            if rests(conn, sql, params![bytes, int(event.pos)])? {
                keep(conn, &format!("entered:{id}"), event)?;
            }
        }
        EventBody::CustomerMoved(_) if is_there()? => keep(conn, &format!("moved:{id}"), event)?,
        EventBody::LeadAssigned(_) if is_there()? => keep(conn, &format!("assigned:{id}"), event)?,
        EventBody::CustomerExited(_) => {
            let sql = "DELETE FROM visit WHERE visit = ?1 AND exited_us IS NOT NULL AND pos < ?2";
            if conn.prepare_cached(sql)?.execute(params![bytes, int(event.pos)])? > 0 {
                let sql = "DELETE FROM interest WHERE holder_kind = ?1 AND holder = ?2";
                conn.prepare_cached(sql)?.execute(params![Holder::Visit as i64, bytes])?;
                let sql = "DELETE FROM settled WHERE visit = ?1 AND kind <> 'customer.interested'";
                conn.prepare_cached(sql)?.execute([bytes])?;
                drop_interests(conn)?;
            }
        }
        _ => {}
    }
    Ok(())
}
