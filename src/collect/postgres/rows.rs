//! Batches turned on their side: a column is an array, so that any number of events goes in one statement. Pure.

use std::borrow::Cow;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::{
    row::{EventRow, Item},
    verify::Batch,
};
use crate::domain::{ClockQuality, Epoch, Gap, GapReason};

/// Numbers of a lane are far below what the server holds.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Events.
#[derive(Default)]
pub(super) struct Events<'a> {
    site: Vec<&'a str>,
    lane: Vec<&'static str>,
    epoch: Vec<Uuid>,
    seq: Vec<i64>,
    pos: Vec<i64>,
    id: Vec<Uuid>,
    kind: Vec<Cow<'a, str>>,
    at: Vec<i64>,
    boot: Vec<Uuid>,
    mono_ns: Vec<i64>,
    synced: Vec<bool>,
    visit: Vec<Option<Uuid>>,
    customer: Vec<Option<Uuid>>,
    vehicle: Vec<Option<Cow<'a, str>>>,
    staff: Vec<Option<Cow<'a, str>>>,
    personal: Vec<Option<Cow<'a, str>>>,
    body: Vec<Cow<'a, str>>,
}

/// `offset_ns` is looked up where the box did not know the time. What was read by the box before an erasure and comes after
/// it, by another lane, has lost its personal part on the way.
pub(super) const INSERT_EVENTS: &str = "
    WITH stored AS (
        INSERT INTO showfloor.event (site, lane, epoch, seq, pos, id, kind, at, dated, boot, mono_ns, synced,
            visit, customer, vehicle, staff, personal, body)
        SELECT r.site, r.lane, r.epoch, r.seq, r.pos, r.id, r.kind,
            timestamptz 'epoch' + r.at * interval '1 microsecond',
            timestamptz 'epoch' + CASE WHEN r.synced THEN r.at ELSE (r.mono_ns + b.offset_ns) / 1000 END
                * interval '1 microsecond',
            r.boot, r.mono_ns, r.synced, r.visit, r.customer, r.vehicle, r.staff,
            CASE WHEN e.pos IS NULL THEN r.personal::jsonb END, r.body::jsonb
        FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int8[], $5::int8[], $6::uuid[], $7::text[], $8::int8[],
                $9::uuid[], $10::int8[], $11::bool[], $12::uuid[], $13::uuid[], $14::text[], $15::text[], $16::text[],
                $17::text[])
            AS r (site, lane, epoch, seq, pos, id, kind, at, boot, mono_ns, synced, visit, customer, vehicle, staff,
                personal, body)
        LEFT JOIN showfloor.boot_clock b ON NOT r.synced AND b.site = r.site AND b.boot = r.boot
        LEFT JOIN showfloor.erased e ON r.personal IS NOT NULL AND e.site = r.site AND e.customer = r.customer
            AND e.epoch = r.epoch AND e.pos > r.pos
        ON CONFLICT DO NOTHING
        RETURNING site, lane, seq, kind)
    SELECT site, lane, count(*), array_agg(seq) FILTER (WHERE kind = 'customer.erased') FROM stored GROUP BY 1, 2";

impl<'a> Events<'a> {
    /// Adds those of a batch.
    pub(super) fn add(&mut self, batch: &'a Batch) {
        for item in &batch.items {
            if let Item::Event(event) = item {
                self.push(batch, event);
            }
        }
    }

    fn push(&mut self, batch: &'a Batch, event: &'a EventRow) {
        self.site.push(batch.header.site.as_str());
        self.lane.push(batch.header.lane.as_str());
        self.epoch.push(batch.header.epoch.0);
        self.seq.push(number(event.seq));
        self.pos.push(number(event.pos));
        self.id.push(event.id);
        self.kind.push(plain(&event.kind));
        self.at.push(event.at.micros());
        self.boot.push(event.clock.boot.0);
        self.mono_ns.push(event.clock.mono_ns);
        self.synced.push(event.clock.quality == ClockQuality::Synced);
        self.visit.push(event.visit);
        self.customer.push(event.customer);
        self.vehicle.push(event.vehicle.as_deref().map(plain));
        self.staff.push(event.staff.as_deref().map(plain));
        self.personal.push(event.personal.as_deref().map(json));
        self.body.push(json(&event.body));
    }

    /// For [`INSERT_EVENTS`].
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 17] {
        [
            &self.site,
            &self.lane,
            &self.epoch,
            &self.seq,
            &self.pos,
            &self.id,
            &self.kind,
            &self.at,
            &self.boot,
            &self.mono_ns,
            &self.synced,
            &self.visit,
            &self.customer,
            &self.vehicle,
            &self.staff,
            &self.personal,
            &self.body,
        ]
    }
}

/// Numbers without events.
#[derive(Default)]
pub(super) struct Gaps<'a> {
    site: Vec<&'a str>,
    lane: Vec<&'static str>,
    epoch: Vec<Uuid>,
    first: Vec<i64>,
    last: Vec<i64>,
    count: Vec<i64>,
    reason: Vec<&'static str>,
    at: Vec<i64>,
}

pub(super) const INSERT_GAPS: &str = "
    INSERT INTO showfloor.gap (site, lane, epoch, first, last, count, reason, at)
    SELECT site, lane, epoch, first, last, count, reason, timestamptz 'epoch' + at * interval '1 microsecond'
    FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int8[], $5::int8[], $6::int8[], $7::text[], $8::int8[])
        AS r (site, lane, epoch, first, last, count, reason, at)
    ON CONFLICT DO NOTHING";

impl<'a> Gaps<'a> {
    /// Adds those of a batch.
    pub(super) fn add(&mut self, batch: &'a Batch) {
        for item in &batch.items {
            if let Item::Gap(gap) = item {
                self.push(batch, gap);
            }
        }
    }

    fn push(&mut self, batch: &'a Batch, gap: &Gap) {
        self.site.push(batch.header.site.as_str());
        self.lane.push(batch.header.lane.as_str());
        self.epoch.push(batch.header.epoch.0);
        self.first.push(number(gap.from));
        self.last.push(number(gap.to));
        self.count.push(number(gap.count));
        self.reason.push(match gap.reason {
            GapReason::Retention => "retention",
            GapReason::DiskFull => "disk_full",
            GapReason::Corruption => "corruption",
        });
        self.at.push(gap.at.micros());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.site.is_empty()
    }

    /// For [`INSERT_GAPS`].
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [&self.site, &self.lane, &self.epoch, &self.first, &self.last, &self.count, &self.reason, &self.at]
    }
}

/// Clocks that were learnt.
#[derive(Default)]
pub(super) struct Boots<'a> {
    site: Vec<&'a str>,
    boot: Vec<Uuid>,
    said_ns: Vec<i64>,
    offset_ns: Vec<i64>,
}

/// The newest of each boot.
pub(super) const LEARN_BOOTS: &str = "
    INSERT INTO showfloor.boot_clock (site, boot, said_ns, offset_ns)
    SELECT DISTINCT ON (site, boot) site, boot, said_ns, offset_ns
    FROM unnest($1::text[], $2::uuid[], $3::int8[], $4::int8[]) AS r (site, boot, said_ns, offset_ns)
    ORDER BY site, boot, said_ns DESC
    ON CONFLICT (site, boot) DO UPDATE SET said_ns = excluded.said_ns, offset_ns = excluded.offset_ns
    WHERE excluded.said_ns > showfloor.boot_clock.said_ns";

/// Dates the events of these boots by what is known of their clocks.
pub(super) const DATE_ANEW: &str = "
    UPDATE showfloor.event e
    SET dated = timestamptz 'epoch' + (e.mono_ns + b.offset_ns) / 1000 * interval '1 microsecond'
    FROM (SELECT DISTINCT site, boot FROM unnest($1::text[], $2::uuid[]) AS r (site, boot)) r
    JOIN showfloor.boot_clock b USING (site, boot)
    WHERE e.site = r.site AND e.boot = r.boot AND NOT e.synced";

impl<'a> Boots<'a> {
    /// Adds those of a batch.
    pub(super) fn add(&mut self, batch: &'a Batch) {
        for item in &batch.items {
            if let Item::Event(event) = item
                && let Some(word) = &event.word
            {
                self.site.push(batch.header.site.as_str());
                self.boot.push(word.boot.0);
                self.said_ns.push(word.said_ns);
                self.offset_ns.push(word.offset_ns);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.site.is_empty()
    }

    /// For [`LEARN_BOOTS`].
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.site, &self.boot, &self.said_ns, &self.offset_ns]
    }

    /// For [`DATE_ANEW`].
    pub(super) fn names(&self) -> [&(dyn ToSql + Sync); 2] {
        [&self.site, &self.boot]
    }
}

/// Where lanes end.
#[derive(Default)]
pub(super) struct Cursors<'a> {
    site: Vec<&'a str>,
    lane: Vec<&'static str>,
    epoch: Vec<Uuid>,
    after: Vec<i64>,
}

/// One row a lane.
pub(super) const PUT_CURSORS: &str = "
    WITH r AS (SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int8[]) AS r (site, lane, epoch, after)),
    began AS (
        INSERT INTO showfloor.epoch (site, lane, epoch) SELECT site, lane, epoch FROM r
        WHERE NOT EXISTS (SELECT FROM showfloor.cursor c
            WHERE c.site = r.site AND c.lane = r.lane AND c.epoch = r.epoch)
        ON CONFLICT DO NOTHING)
    INSERT INTO showfloor.cursor (site, lane, epoch, after) SELECT site, lane, epoch, after FROM r
    ON CONFLICT (site, lane) DO UPDATE SET epoch = excluded.epoch, after = excluded.after";

impl<'a> Cursors<'a> {
    /// Adds one lane.
    pub(super) fn add(&mut self, site: &'a str, lane: &'static str, epoch: Epoch, after: u64) {
        self.site.push(site);
        self.lane.push(lane);
        self.epoch.push(epoch.0);
        self.after.push(number(after));
    }

    /// For [`PUT_CURSORS`].
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.site, &self.lane, &self.epoch, &self.after]
    }
}

/// The server's texts hold no NUL.
fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Nor do its JSON texts, even escaped.
fn json(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u0000") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        // A backslash is always followed by something: the text was read as JSON.
        let length = if escape.starts_with("\\u0000") { 6 } else { 2.min(escape.len()) };
        out.push_str(if length == 6 { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_cannot_hold_is_replaced_and_nothing_else() {
        assert_eq!(
            json(r#"{"a":"x\u0000y","b":"\\u0000","c":"\"\\\u0000"}"#),
            r#"{"a":"x\ufffdy","b":"\\u0000","c":"\"\\\ufffd"}"#
        );
        assert!(matches!(json(r#"{"a":"\n"}"#), Cow::Borrowed(_)));
        assert_eq!(plain("a\0b"), "a\u{fffd}b");
    }
}
