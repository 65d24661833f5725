//! What all statements did, and each of them.

use super::super::api::View;
use super::super::shapes::StatementDetail;
use super::App;
use super::answers::{Refusal, found, gone, json};
use super::parameters::{Parameters, given, hex, none_left, statement_query};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/v1/info", get(info))
        .route("/api/v1/summary", get(summary))
        .route("/api/v1/statements", get(statements))
        .route("/api/v1/statements/{digest}", get(statement))
}

async fn openapi() -> Response {
    json(&super::super::openapi::document())
}

async fn info(State(app): State<Arc<App>>) -> Response {
    app.answer(|view| json(&view.info()))
}

async fn summary(State(app): State<Arc<App>>) -> Response {
    app.answer(|view| json(&view.summary()))
}

async fn statements(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(
        statement_query(parameters).map(|query| json(&app.answer(|view| view.statements(&query)))),
    )
}

async fn statement(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    parameters: Parameters,
) -> Response {
    found(detail_of(&app, &digest, parameters, |_, detail| json(detail)))
}

pub(super) fn detail_of(
    app: &App,
    digest: &str,
    parameters: Parameters,
    render: impl FnOnce(&View<'_>, &StatementDetail) -> Response,
) -> Result<Response, Refusal> {
    let number = hex(digest, 16)?;
    let mut given = given(parameters)?;
    let database = given.remove("database");
    none_left(&given)?;
    app.answer(|view| {
        let detail = view.statement_detail(number, database.as_deref());
        detail.map(|detail| render(view, &detail)).ok_or_else(|| gone("statement", digest))
    })
}
