//! Routes, units of work and shapes of transactions.

use super::super::api::{RouteSort, TransactionSort};
use super::App;
use super::answers::{found, gone, json};
use super::parameters::{Parameters, hex, sorted};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/routes", get(list))
        .route("/api/v1/routes/{service}/{route}", get(route))
        .route("/api/v1/units/{id}", get(unit))
        .route("/api/v1/transactions", get(transactions))
}

async fn list(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    let query = sorted(parameters, RouteSort::parse, RouteSort::WORDS);
    found(query.map(|(sort, page)| json(&app.answer(|view| view.routes(sort, page)))))
}

async fn route(
    State(app): State<Arc<App>>,
    Path((service, route)): Path<(String, String)>,
) -> Response {
    let detail = app.answer(|view| view.route_detail(&service, &route));
    let name = format!("{} of {}", route.escape_debug(), service.escape_debug());
    found(detail.ok_or_else(|| gone("route", &name)).map(|detail| json(&detail)))
}

async fn unit(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let found_one = hex(&id, 16)
        .and_then(|number| app.answer(|view| view.unit(number)).ok_or_else(|| gone("unit", &id)));
    found(found_one.map(|unit| json(&unit)))
}

async fn transactions(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    let query = sorted(parameters, TransactionSort::parse, TransactionSort::WORDS);
    found(query.map(|(sort, page)| json(&app.answer(|view| view.transactions(sort, page)))))
}
