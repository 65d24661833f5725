//! The fields of the contract, with values worked out by hand from the fixture.

use super::super::fixture::{self, clock};
use super::*;
use crate::filter::Filter;
use serde_json::{Value, json};

fn with_view<T>(check: impl FnOnce(&View<'_>) -> T) -> T {
    let (snapshot, proxy) = (fixture::snapshot(), fixture::counters());
    check(&View { snapshot: &snapshot, proxy: &proxy, clock: clock() })
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn query(limit: usize) -> StatementQuery {
    StatementQuery::costliest(Page::first(limit))
}

#[test]
fn info_has_the_documented_fields() {
    let value = with_view(|view| serde_json::to_value(view.info()).unwrap());
    assert_eq!(
        keys(&value),
        [
            "advisor",
            "exports",
            "hash_version",
            "limits",
            "loss",
            "mode",
            "overhead",
            "own_use",
            "redact",
            "revision",
            "schema",
            "setup",
            "upstreams",
            "uptime_s",
            "version"
        ]
    );
    assert_eq!(value["loss"], json!({"events": 200, "dropped": 3, "opaque_sessions": 1}));
    let upstream = json!({"host": "db.internal", "port": 5432, "tls": "off", "connect_ms": 0.4});
    assert_eq!(value["upstreams"][0], upstream);
    // 900 ns, 2 µs, 2 µs, 20 µs: half lie within 2.5 µs, the last one within 25 µs.
    assert_eq!(value["overhead"], json!({"p50_us": 2.5, "p99_us": 25.0}));
}

#[test]
fn summary_counts_open_findings_and_true_rates() {
    let value = with_view(|view| serde_json::to_value(view.summary()).unwrap());
    assert_eq!(value["statements_per_s"], json!(15.2));
    assert_eq!(value["p95_ms"], json!(9.0));
    // 1 s of statements and 0.5 s of thinking inside transactions, in 10 s.
    assert_eq!(value["active_statements"], json!(0.15));
    // 2 of 152
    assert!((value["error_share"].as_f64().unwrap() - 2.0 / 152.0).abs() < 1e-12);
    // Only the proved finding counts: 1 s an hour.
    assert_eq!(value["avoidable_ms_per_day"], json!(24_000.0));
    assert_eq!(value["findings"], json!({"error": 1, "warning": 1, "info": 0}));
    assert_eq!(value["connections"], json!({"active": 1, "idle": 2, "idle_in_transaction": 0}));
    assert_eq!(value["from"], "2025-06-01T12:00:00.000Z");
    assert_eq!(value["to"], "2025-06-01T12:00:10.000Z");
    assert_eq!(value["routes"][0]["statements_per_unit"], json!(18.0));
    assert_eq!(value["routes"][0]["db_ms_per_unit"], json!(100.0));
}

#[test]
fn an_empty_snapshot_knows_nothing_rather_than_zero() {
    let (snapshot, proxy) = (Snapshot::default(), ProxyCounters::default());
    let view = View { snapshot: &snapshot, proxy: &proxy, clock: clock() };
    let summary = serde_json::to_value(view.summary()).unwrap();
    for unknown in ["error_share", "p50_ms", "p95_ms", "p99_ms"] {
        assert!(summary[unknown].is_null(), "{unknown}");
    }
    assert_eq!(summary["statements_per_s"], json!(0.0));
    assert_eq!(summary["avoidable_ms_per_day"], json!(0.0));
    assert!(serde_json::to_value(view.info()).unwrap()["overhead"]["p99_us"].is_null());
    assert_eq!(view.statements(&query(10)).total, 0);
}

#[test]
fn a_statement_has_the_documented_fields() {
    let list = serde_json::to_value(with_view(|view| view.statements(&query(50)))).unwrap();
    let item = &list["items"][0];
    let documented = [
        "digest",
        "summary",
        "operation",
        "query_text",
        "query_id",
        "calls",
        "total_ms",
        "share",
        "mean_ms",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "stddev_ms",
        "variance_to_mean",
        "rows",
        "rows_per_call",
        "sent_bytes",
        "errors",
        "transfer_share",
        "findings",
        "trend",
    ];
    for field in documented {
        assert!(item.get(field).is_some(), "{field}");
    }
    assert_eq!(item["digest"], "9f2c000000000001");
    assert_eq!(item["total_ms"], json!(600.0));
    assert_eq!(item["share"], json!(0.6));
    assert_eq!(item["variance_to_mean"], json!(1.5));
    assert_eq!(item["rows_per_call"], json!(4.0));
    assert_eq!(item["findings"], json!(["3f2a00000001"]));
    assert_eq!(item["sqlstates"], json!([{"sqlstate": "40001", "count": 2}]));
    assert_eq!(item["first_seen"], "2025-06-01T12:00:01.000Z");
    assert!(item["query_id"].is_null());
    let batched = &list["items"][1];
    assert_eq!(batched["mean_ms"], json!(4.0), "200 ms by 50 executions");
    assert!(batched["p50_ms"].is_null(), "members of batches have no percentiles");
}

#[test]
fn the_shares_of_a_list_add_up_whatever_the_limit() {
    for limit in [1, 2, 3, 50] {
        let list = with_view(|view| view.statements(&query(limit)));
        let other = list.other.unwrap();
        let shown: f64 = list.items.iter().map(|item| item.share).sum();
        let sum = shown + other.digests.share + other.indivisible_batches.share;
        assert!((sum - 1.0).abs() < 1e-9, "limit {limit}: {sum}");
        assert_eq!((list.items.len(), list.total), (limit.min(3), 3));
    }
}

#[test]
fn statements_sort_and_filter() {
    let digests = |sort, database: Option<&str>| {
        let database = database.map(str::to_owned);
        let query = StatementQuery { sort, database, ..query(9) };
        let list = with_view(|view| view.statements(&query));
        list.items.into_iter().map(|item| item.digest).collect::<Vec<_>>()
    };
    let (items, logs, hostile) = ("9f2c000000000001", "0000000000000002", "0000000000000003");
    assert_eq!(digests(Sort::Time, None), [items, logs, hostile]);
    assert_eq!(digests(Sort::Mean, None), [hostile, items, logs]);
    assert_eq!(digests(Sort::Errors, Some("shop")), [items, logs]);
    assert_eq!(digests(Sort::Calls, Some("nowhere")), [""; 0]);
    let filtered = |service: Option<&str>, route: Option<&str>, q: &str| {
        let [service, route] = [service, route].map(|name| name.map(str::to_owned));
        let filter = Filter::parse(q).unwrap();
        let query = StatementQuery { service, route, filter, ..query(9) };
        let list = with_view(|view| view.statements(&query));
        list.items.into_iter().map(|item| item.digest).collect::<Vec<_>>()
    };
    assert_eq!(filtered(None, Some("/orders"), ""), [items]);
    assert_eq!(filtered(None, Some("/nowhere"), ""), [""; 0]);
    assert_eq!(filtered(None, None, "op:insert"), [logs]);
    assert_eq!(filtered(None, None, "-op:insert route:/orders"), [items]);
    let known = filtered(None, None, "");
    assert_eq!(filtered(Some("nobody"), None, ""), [""; 0]);
    assert_eq!(known, [items, logs, hostile]);
    for name in ["time", "calls", "mean", "p99", "rows", "bytes", "errors"] {
        assert!(Sort::parse(name).is_some(), "{name}");
    }
    assert!(Sort::parse("speed").is_none());
}

#[test]
fn the_detail_adds_histogram_and_phases() {
    let detail = with_view(|view| view.statement_detail(0x9f2c_0000_0000_0001, None)).unwrap();
    assert_eq!(detail.histogram.len(), 25);
    assert_eq!(detail.histogram[10], Bucket { le_ms: Some(2.0), count: 60 });
    assert_eq!(detail.histogram[24].le_ms, None);
    let value = serde_json::to_value(&detail).unwrap();
    for field in
        ["histogram", "phases_ms", "columns", "routes", "hygiene", "plan", "index_advice", "digest"]
    {
        assert!(value.get(field).is_some(), "{field}");
    }
    assert_eq!(value["routes"], json!(["/orders"]));
    assert_eq!(value["phases_ms"]["first_row"], json!(500.0));
    assert!(with_view(|view| view.statement_detail(0x9f2c_0000_0000_0001, Some("x"))).is_none());
}

#[test]
fn a_finding_has_the_documented_fields() {
    let finding = with_view(|view| view.finding_by_id(0x3f2a_0000_0001)).unwrap();
    let value = serde_json::to_value(&finding).unwrap();
    let documented = [
        "id",
        "kind",
        "variant",
        "severity",
        "proof",
        "gate",
        "state",
        "muted_until",
        "mute_reason",
        "superseded_by",
        "reopened",
        "parent",
        "child",
        "n",
        "n_median",
        "n_max",
        "rows_median",
        "sightings",
        "ratio",
        "coverage",
        "explained",
        "order",
        "cost",
        "route",
        "routes",
        "service",
        "mark",
        "db_name",
        "fix",
        "rule",
        "column",
        "evidence",
        "first_seen",
        "last_seen",
        "examples",
    ];
    for field in documented {
        assert!(value.get(field).is_some(), "{field}");
    }
    assert_eq!(value["id"], "3f2a00000001");
    assert_eq!(value["parent"]["digest"], "0000000000000abc");
    assert_eq!(value["parent"]["table_oid"], 16_384);
    assert_eq!(value["child"]["column"], "order_id");
    assert_eq!(value["cost"]["saved_high_ms_per_hour"], json!(1_900.0));
    assert!(value["cost"]["rtt_ms"].is_null() && value["cost"]["bytes"].is_null());
    let example = json!({
        "at": "2025-06-01T12:00:09.000Z", "session": "7", "unit": null, "n": 17, "rows": 17, "wall_ms": 41.5
    });
    assert_eq!(value["examples"][0], example);
}

#[test]
fn evidence_keeps_its_types() {
    let value = serde_json::to_value(with_view(|view| view.finding_by_id(2)).unwrap()).unwrap();
    assert_eq!(
        value["evidence"],
        json!({"calls": 1_200, "p50_ms": 12.5, "operators": ["=", "~~"]})
    );
    assert!(value["parent"].is_null());
}

#[test]
fn findings_filter() {
    let count = |query: FindingQuery| with_view(|view| view.findings(&query)).items.len();
    let base = || FindingQuery { page: Page::first(9), ..FindingQuery::default() };
    assert_eq!(count(base()), 2);
    assert_eq!(count(FindingQuery { kind: Some("n_plus_one".into()), ..base() }), 1);
    assert_eq!(count(FindingQuery { severity: Some("info".into()), ..base() }), 0);
    assert_eq!(count(FindingQuery { state: Some("open".into()), ..base() }), 2);
    assert_eq!(count(FindingQuery { page: Page::first(1), ..base() }), 1);
}

#[test]
fn ready_says_why_not() {
    let mut proxy = fixture::counters();
    assert!(health(&proxy).reasons.is_empty());
    proxy.upstream.ok = false;
    proxy.upstream.last_error = Some("connection refused".to_owned());
    assert_eq!(health(&proxy).reasons, ["upstream db.internal:5432: connection refused"]);
    proxy.lifecycle = Lifecycle::Draining;
    assert_eq!(health(&proxy).reasons.len(), 2);
}

#[test]
fn shapes_survive_the_way_through_json() {
    let list = with_view(|view| {
        view.findings(&FindingQuery { page: Page::first(9), ..FindingQuery::default() })
    });
    let text = serde_json::to_string(&list).unwrap();
    let back: List<Finding> = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}

#[test]
fn routes_units_and_transactions_have_the_documented_fields() {
    let routes = with_view(|view| {
        serde_json::to_value(view.routes(RouteSort::Time, Page::first(10))).unwrap()
    });
    assert_eq!(
        keys(&routes["items"][0]),
        [
            "db_ms_per_unit",
            "duplicate",
            "largest",
            "p50_ms",
            "p95_ms",
            "round_trips_per_unit",
            "route",
            "service",
            "similar",
            "statements_p50",
            "statements_p95",
            "statements_per_unit",
            "think_ms_per_unit",
            "typical_unit",
            "units",
            "units_per_s",
            "worst_unit"
        ]
    );
    assert_eq!(routes["items"][0]["p95_ms"], json!(250.0));
    assert_eq!(routes["items"][0]["units_per_s"], json!(0.6));
    let detail =
        with_view(|view| serde_json::to_value(view.route_detail("web", "/orders")).unwrap());
    assert_eq!(detail["similar"], json!(96));
    assert_eq!(detail["typical"]["unit_id"], "00000000000000a1");
    assert_eq!(detail["worst"]["db_ms"], json!(18.8));
    assert!(with_view(|view| view.route_detail("web", "/other").is_none()));
    let unit = with_view(|view| serde_json::to_value(view.unit(0xa1)).unwrap());
    assert_eq!((&unit["duration_ms"], &unit["cut"]), (&json!(23.5), &json!(true)));
    assert_eq!(unit["at"], "2025-06-01T12:00:02.000Z");
    let phases = json!({"queue": 0.1, "first_row": 3.0, "transfer": 0.4, "client_stall": 0.0});
    let second = json!({
        "offset_ms": 20.0,
        "duration_ms": 3.5,
        "phases_ms": phases,
        "digest": "0000000000001111",
        "summary": null,
        "rows": 0,
    });
    assert_eq!(unit["statements"][1], second);
    assert_eq!(unit["statements"][0]["summary"], "SELECT items");
}

#[test]
fn transactions_come_with_their_rest() {
    let of = |sort, limit| {
        with_view(|view| serde_json::to_value(view.transactions(sort, limit)).unwrap())
    };
    let all = of(TransactionSort::Count, Page::first(10));
    let shapes: Vec<&Value> =
        all["items"].as_array().unwrap().iter().map(|item| &item["shape"]).collect();
    assert_eq!(shapes, [&json!("00000000000000b1"), &json!("00000000000000b2"), &Value::Null]);
    assert_eq!(
        keys(&all["items"][0]),
        [
            "busy_ms",
            "count",
            "database",
            "digests",
            "service",
            "shape",
            "statements",
            "think_ms",
            "total_ms"
        ]
    );
    assert_eq!(all["items"][0]["think_ms"], json!(2.0));
    assert_eq!(all["total"], json!(2));
    let first = of(TransactionSort::Think, Page::first(1));
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next_cursor"]), (1, &json!("1")));
    let last = of(TransactionSort::Think, Page { offset: 1, limit: 1 });
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next_cursor"]), (2, &Value::Null));
}

/// What an operator silenced is in no total, but still told.
#[test]
fn muted_findings_count_nowhere() {
    let (mut snapshot, proxy) = (fixture::snapshot(), fixture::counters());
    snapshot.findings[0].state = finding::State::Muted;
    snapshot.findings[0].mute =
        Some(finding::Mute { reason: "known".into(), until_unix_us: Some(1_748_779_200_000_000) });
    let view = View { snapshot: &snapshot, proxy: &proxy, clock: clock() };
    let summary = serde_json::to_value(view.summary()).unwrap();
    assert_eq!(summary["findings"], json!({"error": 0, "warning": 1, "info": 0}));
    assert_eq!(summary["avoidable_ms_per_day"], json!(0.0));
    let query = FindingQuery {
        state: Some("muted".to_owned()),
        page: Page::first(10),
        ..FindingQuery::default()
    };
    let muted = serde_json::to_value(view.findings(&query)).unwrap();
    assert_eq!(muted["total"], json!(1));
    assert_eq!(muted["items"][0]["mute_reason"], "known");
    assert_eq!(muted["items"][0]["muted_until"], "2025-06-01T12:00:00.000Z");
}
