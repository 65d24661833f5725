//! Tables, errors, open sessions, and the recent past.

use super::super::api::{Page, View};
use super::App;
use super::answers::{found, gone, json};
use super::parameters::{Parameters, given, hex, none_left, page, range};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/tables", get(tables))
        .route("/api/v1/errors", get(errors))
        .route("/api/v1/connections", get(connections))
        .route("/api/v1/series", get(series))
        .route("/api/v1/statements/{digest}/series", get(statement_series))
}

/// A list that is asked for by page only.
fn list(
    app: &App,
    parameters: Parameters,
    render: impl FnOnce(&View<'_>, Page) -> Response,
) -> Response {
    let asked = given(parameters).and_then(|mut given| {
        let page = page(&mut given)?;
        none_left(&given)?;
        Ok(page)
    });
    found(asked.map(|page| app.answer(|view| render(view, page))))
}

async fn tables(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    list(&app, parameters, |view, page| json(&view.tables(page)))
}

async fn errors(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    list(&app, parameters, |view, page| json(&view.errors(page)))
}

async fn connections(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    list(&app, parameters, |view, page| json(&view.connections(page)))
}

async fn series(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    let asked = given(parameters).and_then(|mut given| {
        let range = range(&mut given)?;
        none_left(&given)?;
        Ok(range)
    });
    found(asked.map(|range| json(&app.answer(|view| view.series(None, range)))))
}

async fn statement_series(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    parameters: Parameters,
) -> Response {
    let asked = hex(&digest, 16).and_then(|number| {
        let mut given = given(parameters)?;
        let database = given.remove("database");
        let range = range(&mut given)?;
        none_left(&given)?;
        Ok((number, database, range))
    });
    found(asked.and_then(|(number, database, range)| {
        let series = app.answer(|view| {
            view.digest(number, database.as_deref()).map(|row| view.series(Some(row), range))
        });
        series.map(|series| json(&series)).ok_or_else(|| gone("statement", &digest))
    }))
}
