//! Findings.

use super::App;
use super::answers::{found, gone, json};
use super::parameters::{Parameters, finding_query, hex};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/findings", get(findings))
        .route("/api/v1/findings/{finding}", get(finding))
}

async fn findings(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(finding_query(parameters).map(|query| json(&app.answer(|view| view.findings(&query)))))
}

async fn finding(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let found_one = hex(&id, 12).and_then(|number| {
        app.answer(|view| view.finding_by_id(number)).ok_or_else(|| gone("finding", &id))
    });
    found(found_one.map(|finding| json(&finding)))
}
