//! The admin listener: page, API, metrics and health over HTTP, for this machine's eyes.
//!
//! It only reads. Every answer is rendered from the latest snapshot and the proxy's counters; nobody waits for
//! the analyzer. Requests whose `Host` is a foreign name are refused, which stops DNS rebinding.

use super::api::{FindingQuery, RouteSort, Sort, StatementQuery, TransactionSort, View, health};
use super::bounded::Bounded;
use super::clock::Clock;
use super::metrics::{self, Exporter};
use super::page::{self, Pages};
use super::shapes::ProblemBody;
use super::status::{ProxyCounters, ProxyStatus, SnapshotSource};
use super::web;
use crate::config::MetricSettings;
use crate::problem::Problem;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pgsonde_analyzer::snapshot::Snapshot;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Semaphore;

/// Requests rendered at once; more are answered with 429.
const REQUESTS_MAX: usize = 32;
/// Items of a list that asks for none in particular.
const LIMIT_DEFAULT: usize = 50;
/// Most items of a list.
const LIMIT_MAX: usize = 500;

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
}

struct App {
    snapshots: Arc<dyn SnapshotSource>,
    status: Arc<dyn ProxyStatus>,
    clock: Clock,
    exporter: Exporter,
    pages: Pages,
    policy: HeaderValue,
    requests: Semaphore,
}

type Parameters = Result<Query<BTreeMap<String, String>>, QueryRejection>;

/// Serves until the task is dropped.
///
/// # Errors
/// When the metrics cannot be registered; an accept error does not end it.
pub async fn serve(listener: tokio::net::TcpListener, state: AdminState) -> std::io::Result<()> {
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
    });
    axum::serve(Bounded::new(listener), router(app)).await
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/plain", get(plain))
        .route("/statements/{digest}", get(statement_page))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/api/v1/info", get(info))
        .route("/api/v1/summary", get(summary))
        .route("/api/v1/statements", get(statements))
        .route("/api/v1/statements/{digest}", get(statement))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/routes/{service}/{route}", get(route))
        .route("/api/v1/units/{id}", get(unit))
        .route("/api/v1/transactions", get(transactions))
        .route("/api/v1/findings", get(findings))
        .route("/api/v1/findings/{finding}", get(finding))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
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
        Ok(_permit) => next.run(request).await,
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
    if !is_local(uri_host, request.headers()) {
        let problem = Problem::new(703, "this host name is not served here")
            .help("use an IP address or localhost in the URL");
        return Err(refuse(StatusCode::FORBIDDEN, &problem));
    }
    app.requests.try_acquire().map_err(|_| {
        let problem = Problem::new(706, "too many requests at once").help("try again");
        refuse(StatusCode::TOO_MANY_REQUESTS, &problem)
    })
}

/// Whether `Host` (and `Origin`, where a browser sends one) is an IP literal or `localhost`.
fn is_local(uri_host: Option<String>, headers: &HeaderMap) -> bool {
    let text = |name| {
        headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?").to_owned())
    };
    let origin_is_local = match text(header::ORIGIN) {
        Some(origin) => origin.strip_prefix("http://").is_some_and(is_local_authority),
        None => true,
    };
    let host = uri_host.or_else(|| text(header::HOST));
    origin_is_local && host.is_some_and(|host| is_local_authority(&host))
}

fn is_local_authority(authority: &str) -> bool {
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((ip, port)) = rest.split_once(']') else { return false };
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(digits);
        return port_fits && ip.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if digits(port) => host,
        Some(_) => return false,
        None => authority,
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
}

fn refuse(status: StatusCode, problem: &Problem) -> Response {
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
fn refuse_page(status: StatusCode, problem: &Problem) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    (status, html(page::refusal(title, problem))).into_response()
}

/// Programs ask below `/api`; whatever else is asked for, somebody typed.
async fn not_found(uri: Uri) -> Response {
    let problem = Problem::new(704, "there is nothing at this address")
        .help("the page is at /, the API below /api/v1, metrics at /metrics");
    let answer = if uri.path().starts_with("/api") { refuse } else { refuse_page };
    answer(StatusCode::NOT_FOUND, &problem)
}

async fn wrong_method() -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, &Problem::new(701, "only GET works here"))
}

async fn live(State(app): State<Arc<App>>) -> Response {
    Json(health(&app.status.proxy())).into_response()
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let health = health(&app.status.proxy());
    let status =
        if health.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn metrics_text(State(app): State<Arc<App>>) -> Response {
    match app.exporter.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => broken("the metrics could not be written"),
    }
}

fn broken(what: &str) -> Response {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, &Problem::new(709, what))
}

async fn index(state: State<Arc<App>>) -> Response {
    match web::served() {
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

fn html(page: Result<String, askama::Error>) -> Response {
    match page {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(_) => broken("the page could not be written"),
    }
}

async fn info(State(app): State<Arc<App>>) -> Response {
    app.answer(|view| json(&view.info()))
}

async fn summary(State(app): State<Arc<App>>) -> Response {
    app.answer(|view| json(&view.summary()))
}

async fn statements(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(
        statement_query(parameters).map(|query| json(&app.answer(|view| view.statements(&query)))),
    )
}

async fn statement(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    parameters: Parameters,
) -> Response {
    found(detail_of(&app, &digest, parameters, |_, detail| json(detail)))
}

async fn routes(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    let query = sorted(parameters, RouteSort::parse, RouteSort::WORDS);
    found(query.map(|(sort, limit)| json(&app.answer(|view| view.routes(sort, limit)))))
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
    found(query.map(|(sort, limit)| json(&app.answer(|view| view.transactions(sort, limit)))))
}

async fn findings(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    found(finding_query(parameters).map(|query| json(&app.answer(|view| view.findings(&query)))))
}

async fn finding(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let found_one = hex(&id, 12).and_then(|number| {
        app.answer(|view| view.finding_by_id(number)).ok_or_else(|| gone("finding", &id))
    });
    found(found_one.map(|finding| json(&finding)))
}

fn detail_of(
    app: &App,
    digest: &str,
    parameters: Parameters,
    render: impl FnOnce(&View<'_>, &super::shapes::StatementDetail) -> Response,
) -> Result<Response, Refusal> {
    let number = hex(digest, 16)?;
    let mut given = given(parameters)?;
    let database = given.remove("database");
    none_left(&given)?;
    app.answer(|view| {
        let detail = view.statement_detail(number, database.as_deref());
        detail.map(|detail| render(view, &detail)).ok_or_else(|| gone("statement", digest))
    })
}

fn json<T: Serialize>(value: &T) -> Response {
    Json(value).into_response()
}

/// A request that cannot be answered: the status and what is wrong with it.
type Refusal = (StatusCode, Problem);

fn found(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|(status, problem)| refuse(status, &problem))
}

fn gone(what: &str, id: &str) -> Refusal {
    let problem = Problem::new(704, format!("no {what} {id} is known"))
        .help("the proxy forgets when it restarts; the list has what it knows now");
    (StatusCode::NOT_FOUND, problem)
}

fn bad(what: String) -> Refusal {
    (StatusCode::BAD_REQUEST, Problem::new(701, what))
}

fn hex(text: &str, digits: usize) -> Result<u64, Refusal> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = fits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    number.ok_or_else(|| bad(format!("an id has {digits} hexadecimal digits")))
}

fn given(parameters: Parameters) -> Result<BTreeMap<String, String>, Refusal> {
    match parameters {
        Ok(Query(map)) => Ok(map),
        Err(_) => Err(bad("the query string cannot be read".to_owned())),
    }
}

/// A parameter that does nothing would make its answer a lie.
fn none_left(given: &BTreeMap<String, String>) -> Result<(), Refusal> {
    match given.keys().next() {
        Some(name) => Err(bad(format!("unknown parameter `{}`", name.escape_debug()))),
        None => Ok(()),
    }
}

fn limit(given: &mut BTreeMap<String, String>) -> Result<usize, Refusal> {
    let Some(text) = given.remove("limit") else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| bad(format!("`limit` is a number from 1 to {LIMIT_MAX}")))
}

fn statement_query(parameters: Parameters) -> Result<StatementQuery, Refusal> {
    let mut given = given(parameters)?;
    let limit = limit(&mut given)?;
    let sort = match given.remove("sort") {
        None => Sort::default(),
        Some(text) => Sort::parse(&text).ok_or_else(|| {
            bad("`sort` is one of time, calls, mean, p99, rows, bytes, errors".to_owned())
        })?,
    };
    let database = given.remove("database");
    none_left(&given)?;
    Ok(StatementQuery { sort, database, limit })
}

/// `sort` and `limit` of a list that has no other parameters.
fn sorted<T: Default>(
    parameters: Parameters,
    parse: fn(&str) -> Option<T>,
    words: &str,
) -> Result<(T, usize), Refusal> {
    let mut given = given(parameters)?;
    let limit = limit(&mut given)?;
    let sort = match given.remove("sort") {
        None => T::default(),
        Some(text) => parse(&text).ok_or_else(|| bad(format!("`sort` is one of {words}")))?,
    };
    none_left(&given)?;
    Ok((sort, limit))
}

fn finding_query(parameters: Parameters) -> Result<FindingQuery, Refusal> {
    let mut given = given(parameters)?;
    let query = FindingQuery {
        limit: limit(&mut given)?,
        kind: given.remove("kind"),
        severity: given.remove("severity"),
        state: given.remove("state"),
    };
    none_left(&given)?;
    Ok(query)
}

#[cfg(test)]
mod tests;
