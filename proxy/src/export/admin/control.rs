//! Orders: reload, drain, what is inspected, what is logged, mutes. All of them need the token (see `guard`).

use super::super::mode_named;
use super::App;
use super::answers::{Refusal, bad, found, gone, json, refuse};
use super::parameters::hex;
use crate::orders::Order;
use crate::problem::Problem;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use pgsonde_analyzer::finding::{MuteRule, MuteTarget};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Longest reason of a mute, in bytes.
const REASON_BYTES_MAX: usize = 500;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/mode", put(mode))
        .route("/api/v1/log-level", put(log_level))
        .route("/api/v1/findings/{finding}/mute", post(mute).delete(unmute))
}

/// Body of `PUT /api/v1/mode`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeBody {
    mode: String,
}

/// Body of `PUT /api/v1/log-level`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogBody {
    level: String,
}

/// Body of `POST /api/v1/findings/{finding}/mute`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MuteBody {
    reason: String,
    /// RFC 3339; absent = for good.
    until: Option<String>,
}

async fn reload(State(app): State<Arc<App>>) -> Response {
    done(app.orders.give(Order::Reload).await)
}

async fn drain(State(app): State<Arc<App>>) -> Response {
    done(app.orders.give(Order::Drain).await)
}

async fn mode(State(app): State<Arc<App>>, body: Result<Bytes, BytesRejection>) -> Response {
    let asked = read::<ModeBody>(body).and_then(|body| {
        let words = "`mode` is one of full, counters_only, bypass";
        mode_named(&body.mode).ok_or_else(|| bad(words.to_owned()))
    });
    match asked {
        Ok(mode) => done(app.orders.give(Order::Mode(mode)).await),
        Err(refusal) => found(Err(refusal)),
    }
}

async fn log_level(State(app): State<Arc<App>>, body: Result<Bytes, BytesRejection>) -> Response {
    match read::<LogBody>(body) {
        Ok(body) => done(app.orders.give(Order::LogFilter(body.level)).await),
        Err(refusal) => found(Err(refusal)),
    }
}

async fn mute(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let rule = read::<MuteBody>(body).and_then(|body| rule(&app, &id, &body));
    match rule {
        Ok(rule) => with_finding(&app, &id, Order::Mute(rule)).await,
        Err(refusal) => found(Err(refusal)),
    }
}

async fn unmute(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    match hex(&id, 12) {
        Ok(number) => with_finding(&app, &id, Order::Unmute(MuteTarget::Finding(number))).await,
        Err(refusal) => found(Err(refusal)),
    }
}

fn rule(app: &App, id: &str, body: &MuteBody) -> Result<MuteRule, Refusal> {
    let number = hex(id, 12)?;
    let reason = body.reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(bad(format!("`reason` has 1 to {REASON_BYTES_MAX} bytes")));
    }
    let until_unix_us = match &body.until {
        None => None,
        Some(text) => Some(crate::config::mutes::unix_us(text).ok_or_else(|| {
            bad("`until` is a day or a moment with its zone (2027-01-01T00:00:00Z)".to_owned())
        })?),
    };
    app.answer(|view| view.finding_by_id(number)).ok_or_else(|| gone("finding", id))?;
    let target = MuteTarget::Finding(number);
    Ok(MuteRule { target, reason: Arc::from(reason), until_unix_us, until_us: None })
}

/// Carries out an order about a finding, and answers with the finding as it is then.
async fn with_finding(app: &App, id: &str, order: Order) -> Response {
    if let Err(problem) = app.orders.give(order).await {
        return refused(&problem);
    }
    let finding = hex(id, 12).ok().and_then(|number| app.answer(|view| view.finding_by_id(number)));
    finding.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |finding| json(&finding))
}

fn done(outcome: Result<(), Problem>) -> Response {
    match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => refused(&problem),
    }
}

/// What can't be done is a conflict with the state of the proxy or its configuration; a wrong parameter is one here too.
fn refused(problem: &Problem) -> Response {
    let status = match problem.number() {
        701 => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    };
    refuse(status, problem)
}

pub(super) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|_| {
        (StatusCode::PAYLOAD_TOO_LARGE, Problem::new(701, "the body has more than 64 KiB"))
    })?;
    serde_json::from_slice(&body).map_err(|error| bad(format!("the body cannot be read: {error}")))
}
