//! The whole report, as JSON and as one file, and the flame tree.

use super::super::api::FlameLevel;
use super::super::formats::{self, Format};
use super::super::shapes::Report;
use super::App;
use super::answers::{Refusal, bad, found, json};
use super::control::read;
use super::parameters::{Parameters, given, none_left};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pgsonde_analyzer::text::MARK_BYTES_MAX;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Statements by themselves where the request names no number.
const TOP_DEFAULT: usize = 200;
/// Most statements by themselves.
const TOP_MAX: usize = 500;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/report", get(document))
        .route("/api/v1/report.html", get(file))
        .route("/api/v1/flame", get(flame))
        .route("/api/v1/marks", get(marks).post(mark))
}

/// Body of `POST /api/v1/marks`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkBody {
    /// `null` or empty = no mark from now on.
    mark: Option<String>,
}

/// Marks everything of the whole process that has no nearer mark, from now on.
async fn mark(body: Result<Bytes, BytesRejection>) -> Response {
    match read::<MarkBody>(body).and_then(|body| checked(body.mark)) {
        Ok(mark) => {
            crate::marks::set(mark.as_deref());
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refusal) => found(Err(refusal)),
    }
}

fn checked(mark: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(mark) = mark.filter(|mark| !mark.is_empty()) else { return Ok(None) };
    if mark.len() > MARK_BYTES_MAX || mark.chars().any(char::is_control) {
        return Err(bad(format!(
            "`mark` has at most {MARK_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(Some(mark))
}

fn top(given: &mut BTreeMap<String, String>) -> Result<usize, Refusal> {
    let Some(text) = given.remove("top") else { return Ok(TOP_DEFAULT) };
    let top = text.parse().ok().filter(|top| (1..=TOP_MAX).contains(top));
    top.ok_or_else(|| bad(format!("`top` is a number from 1 to {TOP_MAX}")))
}

fn report(app: &App, parameters: Parameters) -> Result<Report, Refusal> {
    let mut given = given(parameters)?;
    let top = top(&mut given)?;
    none_left(&given)?;
    Ok(app.answer(|view| Report::of(view, top)))
}

async fn document(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(report(&app, parameters).map(|report| json(&report)))
}

async fn file(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(report(&app, parameters).map(|report| {
        let source = report.info.upstreams.first();
        let source = source.map_or("a proxy".to_owned(), |at| format!("{}:{}", at.host, at.port));
        let page = formats::render(&report, &source, Format::Html);
        let attachment = "attachment; filename=\"pgsonde-report.html\"";
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            // The file has a policy of its own; served in place, it would be under this listener's.
            (header::CONTENT_DISPOSITION, attachment),
        ];
        (headers, page).into_response()
    }))
}

async fn flame(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    let answer = || -> Result<Response, Refusal> {
        let mut given = given(parameters)?;
        let format = given.remove("format").unwrap_or_else(|| "json".to_owned());
        let levels = match given.remove("group") {
            None => FlameLevel::ALL.to_vec(),
            Some(text) => FlameLevel::parse(&text).ok_or_else(|| {
                bad(format!("`group` names each of {} once at most", FlameLevel::WORDS))
            })?,
        };
        none_left(&given)?;
        let flame = app.answer(|view| view.flame(&levels));
        match format.as_str() {
            "json" => Ok(json(&flame)),
            "speedscope" => Ok(json(&formats::speedscope(&flame))),
            "folded" => Ok(formats::folded(&flame).into_response()),
            _ => Err(bad("`format` is one of json, folded, speedscope".to_owned())),
        }
    };
    found(answer())
}

// The method alone would not hold for every lifetime of the view.
#[allow(clippy::redundant_closure_for_method_calls)]
async fn marks(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(
        given(parameters)
            .and_then(|given| none_left(&given))
            .map(|()| json(&app.answer(|view| view.marks()))),
    )
}
