//! The admin listener: page, API, metrics and health over HTTP, for this machine's eyes.
//!
//! Every answer is rendered from the latest snapshot and the proxy's counters; nobody waits for
//! the analyzer. Orders (anything but GET) need the token, and so does everything but health and metrics where
//! other machines can reach the listener. Requests whose `Host` is a foreign name are refused, which stops DNS rebinding.

mod access;
mod activity;
mod answers;
mod control;
mod events;
mod findings;
mod health;
mod host;
mod pages;
mod parameters;
mod plans;
mod report;
mod snapshot;
mod statements;
mod units;

pub use access::Access;

use super::api::View;
use super::bounded::Bounded;
use super::clock::Clock;
use super::metrics::Exporter;
use super::page::Pages;
use super::status::{ProxyCounters, ProxyStatus, SnapshotSource};
use super::web;
use crate::config::MetricSettings;
use crate::orders::Orders;
use crate::problem::Problem;
use answers::{refuse, refuse_page};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use pgsonde_analyzer::snapshot::Snapshot;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// Requests rendered at once; more are answered with 429.
const REQUESTS_MAX: usize = 32;
/// Longest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Time until an answer begins.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// What is served to everybody.
const OPEN_PATHS: [&str; 3] = ["/live", "/ready", "/metrics"];

/// What the admin listener shows.
pub struct AdminState {
    /// The latest snapshot.
    pub snapshots: Arc<dyn SnapshotSource>,
    /// The proxy's counters.
    pub status: Arc<dyn ProxyStatus>,
    /// Wall-clock time at microsecond 0 of the records' monotonic clock.
    pub started: SystemTime,
    /// Ceilings of the exported tables.
    pub metrics: MetricSettings,
    /// Where applications connect (`127.0.0.1:6435`), for the hint on an empty page.
    pub listen: String,
    /// Who may ask what.
    pub access: Arc<Access>,
    /// Where orders go.
    pub orders: Orders,
}

struct App {
    snapshots: Arc<dyn SnapshotSource>,
    status: Arc<dyn ProxyStatus>,
    clock: Clock,
    exporter: Exporter,
    pages: Pages,
    policy: HeaderValue,
    requests: Semaphore,
    sketches: Semaphore,
    plans: Semaphore,
    access: Arc<Access>,
    orders: Orders,
}

/// Serves until `closing` is done, and then finishes the answers that were begun: whoever orders a drain hears of it.
/// A stream of events has no end, so that the caller limits the wait.
///
/// # Errors
/// When the metrics cannot be registered; an accept error does not end it.
pub async fn serve(
    listener: tokio::net::TcpListener,
    state: AdminState,
    closing: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let exporter = Exporter::new(state.snapshots.clone(), state.status.clone(), state.metrics)
        .map_err(std::io::Error::other)?;
    let policy =
        HeaderValue::from_str(&web::content_security_policy()).map_err(std::io::Error::other)?;
    let app = Arc::new(App {
        snapshots: state.snapshots,
        status: state.status,
        clock: Clock::new(state.started),
        exporter,
        pages: Pages { listen: state.listen },
        policy,
        requests: Semaphore::new(REQUESTS_MAX),
        sketches: Semaphore::new(1),
        plans: Semaphore::new(1),
        access: state.access,
        orders: state.orders,
    });
    axum::serve(Bounded::new(listener), router(app)).with_graceful_shutdown(closing).await
}

/// Whoever adds a topic adds its routes here.
fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(pages::routes())
        .merge(health::routes())
        .merge(statements::routes())
        .merge(plans::routes())
        .merge(units::routes())
        .merge(findings::routes())
        .merge(report::routes())
        .merge(snapshot::routes())
        .merge(control::routes())
        .merge(events::routes())
        .merge(activity::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

impl App {
    fn moment(&self) -> (Arc<Snapshot>, ProxyCounters) {
        (self.snapshots.snapshot(), self.status.proxy())
    }

    fn answer<T>(&self, render: impl FnOnce(&View<'_>) -> T) -> T {
        let (snapshot, proxy) = self.moment();
        render(&View { snapshot: &snapshot, proxy: &proxy, clock: self.clock })
    }
}

/// Admits or refuses a request and puts the security headers on whatever comes out.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api");
    let mut response = match admit(&app, &request) {
        // Until the answer begins: a stream may go on for longer.
        Ok(_permit) => match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => too_slow(),
        },
        Err(refusal) => refusal,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, app.policy.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if api {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[allow(clippy::result_large_err)]
fn admit<'a>(
    app: &'a App,
    request: &Request,
) -> Result<tokio::sync::SemaphorePermit<'a>, Response> {
    let uri_host = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if !host::may_ask(&app.access, uri_host, request.headers()) {
        let problem = Problem::new(703, "this host name is not served here")
            .help("use an IP address or localhost in the URL, or set admin.allowed_hosts");
        return Err(refuse(StatusCode::FORBIDDEN, &problem));
    }
    authorize(&app.access, request)?;
    app.requests.try_acquire().map_err(|_| {
        let problem = Problem::new(706, "too many requests at once").help("try again");
        refuse(StatusCode::TOO_MANY_REQUESTS, &problem)
    })
}

/// Health and metrics are for everybody; orders need the token; where other machines can ask, reads need it, too.
#[allow(clippy::result_large_err)]
fn authorize(access: &Access, request: &Request) -> Result<(), Response> {
    let path = request.uri().path();
    if OPEN_PATHS.contains(&path) {
        return Ok(());
    }
    if !access.serves_api() {
        let problem = Problem::new(703, "only /live, /ready and /metrics are served here")
            .help("admin.api = true serves page and API");
        return Err(refuse(StatusCode::FORBIDDEN, &problem));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let given = request.headers().get(header::AUTHORIZATION).and_then(|text| text.to_str().ok());
    // The page holds no data; it asks the API for them, with the token.
    let page = path == "/" && web::is_built();
    let open = (!access.reads_need_token() || page) && !access.guards(path);
    if reads && open || access.admits(given) {
        return Ok(());
    }
    let problem = Problem::new(702, "this needs the token of the proxy")
        .help("send `Authorization: Bearer TOKEN`; admin.token says where the token is, else it stands in the ready line on the terminal");
    let mut response = refuse(StatusCode::UNAUTHORIZED, &problem);
    let scheme = HeaderValue::from_static("Bearer realm=\"pgsonde\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    Err(response)
}

fn too_slow() -> Response {
    let problem = Problem::new(707, "this took too long").help("try again");
    refuse(StatusCode::SERVICE_UNAVAILABLE, &problem)
}

/// Programs ask below `/api`; whatever else is asked for, somebody typed.
async fn not_found(uri: Uri) -> Response {
    let problem = Problem::new(704, "there is nothing at this address")
        .help("the page is at /, the API below /api/v1, metrics at /metrics");
    let answer = if uri.path().starts_with("/api") { refuse } else { refuse_page };
    answer(StatusCode::NOT_FOUND, &problem)
}

async fn wrong_method() -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, &Problem::new(701, "this method does not work here"))
}

#[cfg(test)]
mod tests;
