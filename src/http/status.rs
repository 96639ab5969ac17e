//! How the box is: health for machines, metrics for Prometheus, status for people.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{api::unreadable, auth::Insider, problem::Problem, routes::App};
use crate::{
    domain::{Lane, Timestamp},
    store::Salvage,
    telemetry::Gauge,
};

/// TLS of one connection, in the status.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateLine {
    /// Which connection.
    pub connection: &'static str,
    /// Last moment of our certificate; none when there is none, or it cannot be read.
    pub valid_until: Option<Timestamp>,
    /// Days until then.
    pub days_left: Option<i64>,
    /// Why TLS keeps us from the broker, if it does.
    pub problem: Option<String>,
}

/// What came of the newest damaged database.
fn salvage(salvage: &Salvage) -> Value {
    let Salvage { at, cause, epoch, kept, lost, .. } = salvage;
    json!({"at": at, "cause": cause, "from": epoch, "kept": kept, "lost": lost, "copy": salvage.copy()})
}

pub(super) async fn live() -> &'static str {
    "live\n"
}

/// Ready: the store is open, the engine runs, and neither is being started anew.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    let degraded = app.parts.degraded.borrow().clone();
    let ailing = degraded.iter().find(|part| ["presence", "hub"].contains(&part.as_str()));
    match ailing {
        _ if !*app.parts.ready.borrow() => Err(Problem::new(503, "the presence engine has not started yet")),
        Some(part) => Err(Problem::new(503, format!("{part} does not work and is being started anew"))),
        None => Ok("ready\n"),
    }
}

pub(super) async fn metrics(State(app): State<App>, _: Insider) -> Response {
    let text = app.parts.telemetry.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

pub(super) async fn status(State(app): State<App>, _: Insider) -> Result<Json<Value>, Problem> {
    let parts = &app.parts;
    let reader = parts.store.reader();
    let now = parts.clock.now();
    let heads = *parts.store.heads().borrow();
    let mut lanes = serde_json::Map::new();
    for lane in Lane::ALL {
        let first = reader.lane_first(lane).await.map_err(|error| unreadable(&error))?;
        lanes.insert(lane.as_str().to_owned(), json!({"first": first, "last": heads.of(lane), "acked": {}}));
    }
    for consumer in &parts.consumers {
        let cursors = reader.cursors(consumer).await.map_err(|error| unreadable(&error))?;
        for (lane, cursor) in Lane::ALL.into_iter().zip(cursors) {
            lanes[lane.as_str()]["acked"][consumer.as_str()] = json!(cursor);
        }
    }
    let bytes = reader.bytes().await.map_err(|error| unreadable(&error))?;
    let disk = *parts.store.disk().borrow();
    Ok(Json(json!({
        "site": parts.site.id, "name": parts.site.name, "version": env!("CARGO_PKG_VERSION"),
        "epoch": parts.store.epoch(), "boot": now.boot, "clock": now.quality, "at": now.wall, "clockFloor": parts.clock.floor(),
        "uptimeS": app.begun.elapsed().as_secs(), "pos": heads.pos, "lanes": lanes,
        "storage": {"bytes": bytes, "limit": disk.limit, "days_left": disk.days_left, "state": disk.name()},
        "openVisits": parts.telemetry.gauge(Gauge::OpenVisits), "clients": parts.telemetry.gauge(Gauge::Clients),
        "anchorsConnected": parts.telemetry.gauge(Gauge::AnchorsConnected) == 1,
        "uplinkConnected": parts.telemetry.gauge(Gauge::UplinkConnected) == 1,
        "certificates": (parts.certificates)(),
        "degraded": *parts.degraded.borrow(), "salvage": parts.store.salvage().map(salvage),
    })))
}
