//! `/live`, `/ready` and `/metrics`: for orchestrators and scrapers.

use super::super::api::health;
use super::super::metrics;
use super::super::status::Lifecycle;
use super::App;
use super::answers::broken;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_text))
}

async fn live(State(app): State<Arc<App>>) -> Response {
    Json(health(&app.status.proxy())).into_response()
}

/// Ready means: this process takes sessions. A server that is down makes it no less ready, or an outage of the
/// database would take every application out of its balancer; `upstream_ok` and `reasons` tell.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let proxy = app.status.proxy();
    let health = health(&proxy);
    let takes_sessions = proxy.lifecycle == Lifecycle::Ready;
    let status = if takes_sessions { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn metrics_text(State(app): State<Arc<App>>) -> Response {
    match app.exporter.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => broken("the metrics could not be written"),
    }
}
