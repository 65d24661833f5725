//! Pages for people.

use super::super::web;
use super::App;
use super::answers::{html, refuse_page};
use super::parameters::Parameters;
use super::statements::detail_of;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(index))
        .route("/plain", get(plain))
        .route("/statements/{digest}", get(statement_page))
}

async fn index(state: State<Arc<App>>) -> Response {
    match web::served(&state.pages.listen) {
        Some(page) => html(Ok(page)),
        None => plain(state).await,
    }
}

async fn plain(State(app): State<Arc<App>>) -> Response {
    html(app.answer(|view| app.pages.index(view)))
}

async fn statement_page(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    parameters: Parameters,
) -> Response {
    let page = detail_of(&app, &digest, parameters, |view, detail| {
        html(app.pages.statement(view, detail))
    });
    page.unwrap_or_else(|(status, problem)| refuse_page(status, &problem))
}
