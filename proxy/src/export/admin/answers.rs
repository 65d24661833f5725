//! Forms of answers: JSON, pages and refusals.

use super::super::page;
use super::super::shapes::ProblemBody;
use crate::problem::Problem;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A request that cannot be answered: the status and what is wrong with it.
pub(super) type Refusal = (StatusCode, Problem);

pub(super) fn found(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|(status, problem)| refuse(status, &problem))
}

pub(super) fn gone(what: &str, id: &str) -> Refusal {
    let problem = Problem::new(704, format!("no {what} {id} is known"))
        .help("the proxy forgets when it restarts; the list has what it knows now");
    (StatusCode::NOT_FOUND, problem)
}

pub(super) fn bad(what: String) -> Refusal {
    (StatusCode::BAD_REQUEST, Problem::new(701, what))
}

pub(super) fn json<T: Serialize>(value: &T) -> Response {
    Json(value).into_response()
}

pub(super) fn refuse(status: StatusCode, problem: &Problem) -> Response {
    let body = ProblemBody {
        kind: format!("urn:pgsonde:{}", problem.code_text()),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: problem.what().to_owned(),
        code: problem.code_text(),
        help: problem.help_text().map(str::to_owned),
    };
    let content_type = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, content_type)], Json(body)).into_response()
}

/// The same for people: a page.
pub(super) fn refuse_page(status: StatusCode, problem: &Problem) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    (status, html(page::refusal(title, problem))).into_response()
}

pub(super) fn html(page: Result<String, askama::Error>) -> Response {
    match page {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(_) => broken("the page could not be written"),
    }
}

pub(super) fn broken(what: &str) -> Response {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, &Problem::new(709, what))
}
