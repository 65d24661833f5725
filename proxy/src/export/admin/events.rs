//! Live events, examples of a statement, and captures: list, download, start, stop.

use super::super::shapes::lines::{CaptureFile, CaptureRequest, Captures, Examples};
use super::App;
use super::answers::{Refusal, bad, found, gone, json};
use super::parameters::{Parameters, given, hex, none_left};
use crate::capture::{self, Composer, Ends, EventStream, Events, Kinds, Rate};
use crate::filter::Filter;
use crate::problem::Problem;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use std::time::Duration;

/// Longest capture that may be asked for.
const DURATION_S_MAX: u64 = 7 * 86_400;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/events", get(events))
        .route("/api/v1/statements/{digest}/examples", get(examples))
        .route("/api/v1/captures", get(captures).post(start).delete(stop))
        .route("/api/v1/captures/{id}", get(download))
}

fn source(app: &App) -> Result<Arc<Events>, Refusal> {
    app.status.events().ok_or_else(|| gone("source of", "events"))
}

async fn events(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(stream(&app, parameters))
}

fn stream(app: &App, parameters: Parameters) -> Result<Response, Refusal> {
    let mut given = given(parameters)?;
    let filter = given.remove("q").unwrap_or_default();
    let filter = Filter::parse(&filter).map_err(|why| bad(format!("`q`: {why}")))?;
    let rate = given.remove("max_rate").map(|text| Rate::parse(&text)).transpose();
    let rate = rate.map_err(|why| bad(format!("`max_rate`: {why}")))?;
    let names = given.remove("events").unwrap_or_default();
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let kinds = Kinds::named(names)
        .ok_or_else(|| bad(format!("`events` is a list of {}", Kinds::NAMES.join(", "))))?;
    none_left(&given)?;
    let source = source(app)?;
    let ear = source.hub.listen_in_task().ok_or_else(too_many)?;
    let mut composer = Composer::new(source.identity(), kinds).filtering(filter);
    composer.findings.prime(&app.snapshots.snapshot());
    let body = Body::from_stream(EventStream::new(ear, composer, rate));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn too_many() -> Refusal {
    let what = format!("{} live streams are open already", capture::STREAMS_MAX);
    (StatusCode::TOO_MANY_REQUESTS, Problem::new(706, what).help("close one of them"))
}

async fn examples(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    parameters: Parameters,
) -> Response {
    found(examples_of(&app, &digest, parameters))
}

fn examples_of(app: &App, digest: &str, parameters: Parameters) -> Result<Response, Refusal> {
    let number = hex(digest, 16)?;
    let mut given = given(parameters)?;
    let database = given.remove("database");
    none_left(&given)?;
    let identity = source(app)?.identity();
    app.answer(|view| {
        let fits = |name: &str| database.as_deref().is_none_or(|database| *database == *name);
        let mut rows = view.snapshot.digests.iter();
        let row = rows.find(|row| row.digest == number && fits(&row.database));
        let row = row.ok_or_else(|| gone("statement", digest))?;
        let line = |event: &Option<_>| {
            let event: &Arc<_> = event.as_ref()?;
            serde_json::to_value(capture::statement_line(&identity, event)).ok()
        };
        let kept = row.examples.as_deref().cloned().unwrap_or_default();
        Ok(json(&Examples {
            digest: digest.to_owned(),
            database: row.database.to_string(),
            slowest: line(&kept.slowest),
            typical: line(&kept.typical),
            latest: line(&kept.latest),
        }))
    })
}

async fn captures(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    let listed = given(parameters).and_then(|given| none_left(&given)).and_then(|()| source(&app));
    found(listed.map(|source| json(&list(&source))))
}

fn list(source: &Events) -> Captures {
    let counts = source.counts();
    let running = source.is_capturing();
    let mut items: Vec<CaptureFile> = source
        .files()
        .iter()
        .map(|file| CaptureFile {
            id: file.id(),
            started: spelled(&file.started),
            bytes: file.bytes,
            open: false,
        })
        .collect();
    if let (true, Some(last)) = (running, items.last_mut()) {
        last.open = true;
    }
    Captures { running, written_bytes: counts.written_bytes, errors: counts.errors, items }
}

/// `yyyymmddThhmmssZ` as RFC 3339.
fn spelled(compact: &str) -> String {
    let part = |from: usize, to: usize| compact.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}T{}:{}:{}.000Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    )
}

async fn download(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Response {
    let file = given(parameters).and_then(|given| none_left(&given)).and_then(|()| {
        let source = source(&app)?;
        // Looked up among the captures, so that no name can lead elsewhere.
        let file = source.files().into_iter().find(|file| file.id() == id);
        file.ok_or_else(|| gone("capture", &id.escape_debug().to_string()))
    });
    found(file.and_then(|file| {
        let stream = capture::FileStream::open(&file.path, file.bytes)
            .map_err(|_| gone("capture", &file.id()))?;
        let name = format!("attachment; filename=\"{}{}\"", file.id(), capture::SUFFIX);
        let headers = [
            (header::CONTENT_TYPE, "application/zstd".to_owned()),
            (header::CONTENT_DISPOSITION, name),
            (header::CONTENT_LENGTH, file.bytes.to_string()),
        ];
        Ok((headers, Body::from_stream(stream)).into_response())
    }))
}

async fn start(State(app): State<Arc<App>>, body: Bytes) -> Response {
    found(begin(&app, &body))
}

fn begin(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let asked: CaptureRequest = match body {
        [] => CaptureRequest::default(),
        body => serde_json::from_slice(body).map_err(|error| bad(format!("the body: {error}")))?,
    };
    if asked.duration_s.is_some_and(|s| s == 0 || s > DURATION_S_MAX) || asked.max_bytes == Some(0)
    {
        return Err(bad(format!("`duration_s` is 1 to {DURATION_S_MAX}, `max_bytes` at least 1")));
    }
    let source = source(app)?;
    if source.settings().dir.is_none() {
        let (status, problem) = conflict("there is no folder for captures");
        return Err((status, problem.help("set capture.dir and start the proxy anew")));
    }
    let ends = Ends { bytes: asked.max_bytes, after: asked.duration_s.map(Duration::from_secs) };
    match source.start(ends) {
        Ok(true) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(false) => Err(conflict("a capture is being written already")),
        Err(problem) => Err((StatusCode::CONFLICT, problem)),
    }
}

async fn stop(State(app): State<Arc<App>>) -> Response {
    found(source(&app).and_then(|source| {
        let stopped = source.stop();
        stopped
            .then(|| StatusCode::NO_CONTENT.into_response())
            .ok_or_else(|| conflict("no capture is being written"))
    }))
}

fn conflict(what: &str) -> Refusal {
    (StatusCode::CONFLICT, Problem::new(705, what))
}
