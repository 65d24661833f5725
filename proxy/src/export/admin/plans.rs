//! The plan of a statement, asked of the server over the side connection. It needs the token, as orders do.

use super::super::shapes::StatementPlan;
use super::App;
use super::answers::{Refusal, found, json};
use super::parameters::{Parameters, given, hex, none_left};
use crate::advisor::live::{PlanRequest, Planned};
use crate::orders::Order;
use crate::problem::Problem;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/statements/{digest}/explain", post(explain))
}

async fn explain(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    parameters: Parameters,
) -> Response {
    found(planned(&app, &digest, parameters).await.map(|plan| json(&StatementPlan::from(plan))))
}

async fn planned(app: &App, digest: &str, parameters: Parameters) -> Result<Planned, Refusal> {
    let digest = hex(digest, 16)?;
    let mut given = given(parameters)?;
    let database = given.remove("database");
    none_left(&given)?;
    let _place = app.plans.try_acquire().map_err(|_| {
        let problem = Problem::new(706, "another plan is being asked for").help("try again");
        (StatusCode::TOO_MANY_REQUESTS, problem)
    })?;
    let (request, answered) = PlanRequest::of(digest, database);
    app.orders.give(Order::Plan(request)).await.map_err(refused)?;
    let ended = |_| refused(Problem::new(705, "the index advisor is ending"));
    answered.await.map_err(ended)?.map_err(refused)
}

fn refused(problem: Problem) -> Refusal {
    let status = match problem.number() {
        704 => StatusCode::NOT_FOUND,
        707 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    (status, problem)
}
