//! All routes on one screen, and what their handlers share.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use tokio::sync::watch;

use super::{
    api,
    api::AnchorLine,
    page,
    problem::Problem,
    status::{self, CertificateLine},
    ws,
};
use crate::{
    access::Gate,
    domain::{Clock, ConsumerId, FloorSnapshot, Site},
    hub::Hub,
    store::StoreHandle,
    telemetry::{Count, Telemetry},
};

const BODY_BYTES: usize = 64 * 1024;

/// What HTTP shows and whom it asks.
pub struct Parts {
    /// The floor.
    pub site: Arc<Site>,
    /// The log.
    pub store: StoreHandle,
    /// Who pulls it.
    pub consumers: Vec<ConsumerId>,
    /// Who is where.
    pub snapshot: watch::Receiver<Arc<FloorSnapshot>>,
    /// Who may come in.
    pub gate: Gate,
    /// The WebSocket.
    pub hub: Hub,
    /// What is known of the receivers.
    pub anchors: Box<dyn Fn() -> Vec<AnchorLine> + Send + Sync>,
    /// What is known of the certificates of our connections.
    pub certificates: Box<dyn Fn() -> Vec<CertificateLine> + Send + Sync>,
    /// Parts that do not work as they should.
    pub degraded: watch::Receiver<Vec<String>>,
    /// Whether the engine runs.
    pub ready: watch::Receiver<bool>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Metrics.
    pub telemetry: Telemetry,
}

/// What handlers get.
pub(super) struct Shared {
    pub(super) parts: Parts,
    pub(super) begun: Instant,
}

/// What handlers take it as.
pub(super) type App = Arc<Shared>;

/// All of it.
pub(super) fn router(parts: Parts) -> Router {
    let app: App = Arc::new(Shared { parts, begun: Instant::now() });
    let api = Router::new()
        .route("/site", get(api::site))
        .route("/visits", get(api::visits))
        .route("/vehicles", get(api::vehicles))
        .route("/events", get(api::events))
        .route("/heatmap", get(api::heatmap))
        .route("/anchors", get(api::anchors))
        .route("/status", get(status::status))
        .route("/ticket", post(api::ticket));
    Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(status::metrics))
        .route("/health/live", get(status::live))
        .route("/health/ready", get(status::ready))
        .route("/ws", get(ws::open))
        .route("/", get(page::index))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), finish))
        .with_state(app)
}

/// For a command that has nothing else to show: `/metrics`, without a token, since it listens on loopback only.
pub(super) fn metrics_only(render: impl Fn() -> String + Clone + Send + Sync + 'static) -> Router {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let answer = move || std::future::ready((kind, render()));
    Router::new().route("/metrics", get(answer)).fallback(not_found).method_not_allowed_fallback(not_allowed)
}

async fn not_found() -> Problem {
    Problem::new(404, "there is nothing at this address; docs/protocol.md lists what there is")
}

async fn not_allowed() -> Problem {
    Problem::new(405, "this address does not take this method")
}

/// Counts refusals and adds the headers that every answer has.
async fn finish(
    axum::extract::State(app): axum::extract::State<App>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        app.parts.telemetry.count(Count::HttpRefused);
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
