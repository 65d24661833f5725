//! What the proxy knows in a form that adds up with that of other proxies: `pgsonde merge` reads it.

use super::App;
use super::answers::{Refusal, broken, found, refuse};
use super::parameters::{Parameters, given, none_left};
use crate::fleet;
use crate::orders::Order;
use crate::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/snapshot", get(snapshot))
}

async fn snapshot(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    if let Err(refusal) = given(parameters).and_then(|given| none_left(&given)) {
        return found(Err(refusal));
    }
    // Made by the analyzer between two ticks, packed on a thread of its own; one at a time is enough.
    let Ok(_place) = app.sketches.try_acquire() else { return found(Err(busy())) };
    match packed(&app).await {
        Ok(bytes) => {
            let attachment = "attachment; filename=\"pgsonde.snapshot.zst\"";
            let headers = [
                (header::CONTENT_TYPE, "application/zstd"),
                (header::CONTENT_DISPOSITION, attachment),
            ];
            (headers, bytes).into_response()
        }
        Err(problem) if problem.number() == 705 => refuse(StatusCode::CONFLICT, &problem),
        Err(problem) => broken(problem.what()),
    }
}

fn busy() -> Refusal {
    let problem = Problem::new(706, "another snapshot is being made").help("try again");
    (StatusCode::TOO_MANY_REQUESTS, problem)
}

async fn packed(app: &App) -> Result<Vec<u8>, Problem> {
    let (to, made) = oneshot::channel();
    app.orders.give(Order::Sketch(to)).await?;
    let failed = || Problem::new(709, "the snapshot could not be made");
    let sketched = made.await.map_err(|_| failed())?;
    let proxy = app.status.proxy();
    let proxy_id = app.status.events().map(|events| events.hub.proxy_id());
    let source = fleet::Source {
        proxy_id: proxy_id.unwrap_or_else(|| Arc::from("")),
        started_us: app.clock.unix_us(0),
    };
    let pack = move || fleet::write(&sketched, &proxy, &source);
    tokio::task::spawn_blocking(pack).await.map_err(|_| failed())?.map_err(|_| failed())
}
