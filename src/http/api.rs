//! What the API answers.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    auth::{Caller, Insider},
    problem::Problem,
    routes::App,
};
use crate::{
    domain::{AnchorId, Timestamp, Vehicle},
    store::ReadError,
    wire::event,
};

const MAX_EVENTS: usize = 1_000;
const USUAL_EVENTS: usize = 100;

/// What is known of a receiver.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnchorLine {
    /// Which.
    pub anchor: AnchorId,
    /// When it was last heard; null when never.
    pub last_seen: Option<Timestamp>,
    /// Messages of any kind since the start.
    pub messages: u64,
    /// Advertisements taken since the start.
    pub adverts: u64,
    /// Messages and advertisements refused since the start.
    pub bad: u64,
    /// Batches missing by their numbers.
    pub lost: u64,
    /// What it said of itself, where it does.
    pub online: Option<bool>,
}

/// `GET /api/v1/events?after=&limit=`
#[derive(Deserialize)]
pub(super) struct EventsQuery {
    after: Option<u64>,
    limit: Option<usize>,
}

pub(super) fn unreadable(error: &ReadError) -> Problem {
    tracing::error!("{error}");
    Problem::new(503, "the database cannot be read just now; try again")
}

pub(super) async fn site(State(app): State<App>, _: Caller) -> Json<Value> {
    let site = &app.parts.site;
    let anchors = site.anchors.iter().map(|a| json!({"id": a.id, "x": a.x, "y": a.y, "z": a.z}));
    let zones = site.zones.iter().map(|z| json!({"id": z.id, "name": z.name, "kind": z.kind, "polygon": z.polygon}));
    let spots = site.spots.iter().map(|s| json!({"id": s.id, "x": s.x, "y": s.y, "zone": s.zone}));
    Json(json!({
        "id": site.id, "name": site.name, "timezone": site.timezone, "bounds": site.bounds,
        "tagHeightM": site.tag_height_m,
        "anchors": anchors.collect::<Vec<_>>(),
        "zones": zones.collect::<Vec<_>>(),
        "spots": spots.collect::<Vec<_>>(),
    }))
}

pub(super) async fn visits(State(app): State<App>, _: Insider) -> Result<Json<Value>, Problem> {
    let picture = app.parts.store.reader().picture().await.map_err(|error| unreadable(&error))?;
    let floor = app.parts.snapshot.borrow().clone();
    let line = |visit: &crate::store::VisitContext| {
        let here = floor.visits.iter().find(|here| here.visit == visit.id);
        let (x, y) = here.map_or((visit.x, visit.y), |here| (here.x, here.y));
        json!({
            "visitId": visit.id, "customerId": visit.customer, "customerName": visit.customer_name,
            "enteredAt": visit.entered_at, "x": x, "y": y,
            "zone": here.map_or(visit.zone.as_ref(), |here| here.zone.as_ref()),
            "sigma": here.map(|here| here.sigma), "stale": here.is_none_or(|here| here.stale),
            "assignedTo": visit.assigned_to,
            "interests": visit.interests.iter().map(|i| json!({"vehicleId": i.vehicle, "level": i.level})).collect::<Vec<_>>(),
        })
    };
    let visits: Vec<Value> = picture.visits.iter().map(line).collect();
    Ok(Json(json!({"epoch": app.parts.store.epoch(), "pos": picture.pos, "visits": visits})))
}

pub(super) async fn vehicles(State(app): State<App>, _: Caller) -> Result<Json<Value>, Problem> {
    let picture = app.parts.store.reader().picture().await.map_err(|error| unreadable(&error))?;
    let line = |car: &Vehicle| {
        json!({
            "vehicleId": car.id, "make": car.make, "model": car.model, "year": car.year, "type": car.body_type,
            "price": car.price, "currency": car.currency, "spot": car.spot, "location": car.location,
            "status": car.status, "photo": car.photo,
        })
    };
    let vehicles: Vec<Value> = picture.vehicles.iter().map(line).collect();
    Ok(Json(json!({"epoch": app.parts.store.epoch(), "pos": picture.pos, "vehicles": vehicles})))
}

/// A page of the log: what comes after `after`, in order, and where to go on.
pub(super) async fn events(
    State(app): State<App>,
    _: Insider,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::new(400, error.body_text()))?;
    let (after, limit) = (query.after.unwrap_or(0), query.limit.unwrap_or(USUAL_EVENTS));
    if !(1..=MAX_EVENTS).contains(&limit) {
        return Err(Problem::new(400, format!("limit must be from 1 to {MAX_EVENTS}")));
    }
    let head = app.parts.store.heads().borrow().pos;
    let entries = app.parts.store.reader().entries_after(after, limit).await.map_err(|error| unreadable(&error))?;
    let gone = app.parts.store.reader().told_gone().await.map_err(|error| unreadable(&error))?;
    let upto = entries.last().map_or(after, |entry| entry.event.pos);
    let lines: Vec<String> = entries.iter().map(|entry| event::line(&entry.event)).collect();
    let epoch = app.parts.store.epoch();
    let events = lines.join(",");
    let head = head.max(upto);
    let body = format!(
        r#"{{"epoch":"{epoch}","after":{after},"upto":{upto},"head":{head},"gone":{gone},"events":[{events}]}}"#
    );
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

pub(super) async fn heatmap(State(app): State<App>, _: Insider) -> Json<Value> {
    let floor = app.parts.snapshot.borrow().clone();
    let zones = floor.heat.iter().flat_map(|heat| &heat.zones);
    let zones: serde_json::Map<_, _> = zones.map(|(zone, seconds)| (zone.to_string(), json!(seconds))).collect();
    let cells: Vec<_> = floor.heat.iter().flat_map(|heat| heat.cells.clone()).collect();
    Json(json!({"at": floor.at, "zones": zones, "cells": cells}))
}

pub(super) async fn anchors(State(app): State<App>, _: Insider) -> Json<Value> {
    Json(json!({"anchors": (app.parts.anchors)()}))
}

/// A one-time ticket for the WebSocket.
pub(super) async fn ticket(State(app): State<App>, Caller(identity): Caller) -> Result<Json<Value>, Problem> {
    let ticket = app.parts.gate.ticket(identity).map_err(|error| {
        tracing::error!("{error}");
        Problem::new(503, "no ticket can be made just now; try again")
    })?;
    Ok(Json(json!({"ticket": ticket})))
}
