//! Every artefact of one hand-made run, read back.

use super::*;
use crate::audit::budget::{Budget, Limit, Unit};
use crate::audit::judge::{Case, Judgement};
use crate::audit::table::table;
use crate::export::shapes::audit::{AUDIT_VERSION, Totals};
use crate::export::testing::report;

fn document() -> AuditDocument {
    let reports = [report()];
    let whole = [
        ("n_plus_one", Unit::Count, 0),
        ("p95", Unit::Time, 10_000_000),
        ("errors", Unit::Count, 9_999),
    ];
    let whole = whole.map(|(key, unit, most)| Limit { key, unit, most }).to_vec();
    let budget = Budget { whole, ..Budget::default() };
    let case = Case {
        reports: &reports,
        budget: &budget,
        baseline: &Baseline::default(),
        today: "2026-01-01",
    };
    let Judgement { limits, findings } = Judgement::of(&case);
    AuditDocument {
        version: AUDIT_VERSION,
        pgsonde: "0".to_owned(),
        totals: Totals {
            statements: 152,
            db_ms: 2_100.0,
            upstreams: vec!["db:5432".to_owned()],
            ..Totals::default()
        },
        limits,
        findings,
        warnings: Vec::new(),
        exit_code: 99,
        exit_reason: "budget".to_owned(),
        child_code: Some(0),
    }
}

fn with<T>(environment: &[(&str, &str)], check: impl FnOnce(&Artefacts<'_>) -> T) -> T {
    let (document, reports) = (document(), [report()]);
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let candidate = crate::audit::baseline::candidate(&reports, &Baseline::default());
    let verdict = table(&document, "out/report.html", false);
    check(&Artefacts {
        document: &document,
        reports: &reports,
        candidate: &candidate,
        verdict: &verdict,
        budget_file: "pgsonde-budget.toml",
        code: &Places::default(),
        environment: &environment,
    })
}

#[test]
fn the_table_begins_with_what_failed() {
    let text = table(&document(), "out/report.html", false);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("pgsonde audit   152 statements"), "{text}");
    assert!(lines[1].starts_with("  FAIL  n_plus_one = 0 "), "{text}");
    assert!(lines[1].contains("test_orders /orders: 17 × "), "{text}");
    assert!(lines[2].starts_with("  pass  "), "{text}");
    assert!(lines[2].contains("1 other limits passed"), "{text}");
    assert!(lines[3].ends_with("exit 99 (child passed, budget failed)"), "{text}");
}

#[test]
fn every_file_is_written_and_read_back() {
    let folder = std::env::temp_dir().join(format!("pgsonde-artefacts-{}", std::process::id()));
    let step = folder.join("step.md");
    std::fs::create_dir_all(&folder).unwrap();
    let step_text = step.display().to_string();
    with(&[("GITLAB_CI", "true"), ("GITHUB_STEP_SUMMARY", &step_text)], |artefacts| {
        artefacts.write(&folder).unwrap();
    });
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let json = |name: &str| serde_json::from_str::<Value>(&text(name)).unwrap();
    assert_eq!(json("audit.json")["exit_reason"], "budget");
    assert_eq!(json("pgsonde.sarif")["runs"][0]["results"][0]["baselineState"], "new");
    assert_eq!(json("baseline.json")["findings"].as_array().unwrap().len(), 2);
    assert_eq!(json("gl-code-quality-report.json")[0]["location"]["lines"]["begin"], 1);
    assert!(json("report.json")["statements"]["items"].is_array());
    assert!(text("junit.xml").contains("failures=\"1\""));
    assert!(text("report.html").contains("<table>"));
    assert_eq!(std::fs::read_to_string(&step).unwrap(), text("summary.md"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn annotations_are_few_and_can_not_be_broken_out_of() {
    with(&[], |artefacts| {
        let text = artefacts.annotations();
        assert!(text.lines().count() <= ANNOTATIONS_MAX);
        let marked =
            |line: &str| line.starts_with("::error file=") || line.starts_with("::warning file=");
        assert!(text.lines().all(marked), "{text}");
    });
    assert_eq!(property("a:b,c%\n::error::x"), "a%3Ab%2Cc%25 %3A%3Aerror%3A%3Ax");
}

#[test]
fn a_summary_keeps_its_size() {
    let mut document = document();
    let limit = document.limits[0].clone();
    document.limits = vec![JudgedLimit { detail: "x".repeat(1_000), ..limit }; 100];
    let (reports, environment) = ([report()], BTreeMap::new());
    let artefacts = Artefacts {
        document: &document,
        reports: &reports,
        candidate: &Baseline::default(),
        verdict: "",
        budget_file: "b",
        code: &Places::default(),
        environment: &environment,
    };
    let summary = artefacts.summary();
    assert!(summary.len() <= SUMMARY_BYTES_MAX, "{}", summary.len());
    assert!(summary.ends_with("the report has everything.\n"));
}

#[test]
fn the_schema_names_what_is_written() {
    let schema = crate::export::shapes::audit::schema();
    let value = serde_json::to_value(document()).unwrap();
    let check = |schema: &Value, value: &Value| {
        for name in schema["required"].as_array().unwrap() {
            assert!(value.get(name.as_str().unwrap()).is_some(), "{name}");
        }
        for name in schema["properties"].as_object().unwrap().keys() {
            assert!(value.get(name).is_some(), "{name}");
        }
    };
    check(&schema, &value);
    check(&schema["properties"]["totals"], &value["totals"]);
    check(&schema["properties"]["limits"]["items"], &value["limits"][0]);
    check(&schema["properties"]["findings"]["items"], &value["findings"][0]);
}

#[test]
fn findings_stand_where_the_code_of_their_statement_is() {
    let (document, reports) = (document(), [report()]);
    let judged = document.findings.iter().find(|judged| judged.finding.child.is_some()).unwrap();
    let digest = judged.finding.child.as_ref().unwrap().digest.clone();
    let code = Places::from([(digest, Code { file: "app/my views.py".to_owned(), line: 12 })]);
    let artefacts = Artefacts {
        document: &document,
        reports: &reports,
        candidate: &crate::audit::baseline::candidate(&reports, &Baseline::default()),
        verdict: "",
        budget_file: "pgsonde-budget.toml",
        code: &code,
        environment: &BTreeMap::new(),
    };
    let sarif = artefacts.sarif();
    let places: Vec<&Value> = sarif["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["locations"][0]["physicalLocation"])
        .collect();
    let at = |uri: &str, line: u32| json!({"artifactLocation": {"uri": uri}, "region": {"startLine": line}});
    assert!(places.contains(&&at("app/my%20views.py", 12)), "{places:?}");
    assert!(places.contains(&&at("pgsonde-budget.toml", 1)), "{places:?}");
    let quality = artefacts.code_quality().to_string();
    assert!(quality.contains(r#""lines":{"begin":12},"path":"app/my views.py""#), "{quality}");
    assert!(artefacts.annotations().contains("file=app/my views.py,line=12,"));
}

#[test]
fn a_route_without_a_limit_is_a_case_of_its_own() {
    with(&[], |artefacts| {
        let cases = artefacts.junit().cases;
        let free: Vec<&str> = cases
            .iter()
            .filter(|case| case.name == "no limit")
            .map(|case| case.class.as_str())
            .collect();
        assert!(free.iter().any(|class| class.starts_with("pgsonde.route./")), "{free:?}");
        assert!(free.iter().any(|class| class.starts_with("pgsonde.mark.")), "{free:?}");
        assert!(!free.iter().any(|class| class.ends_with(".none")), "{free:?}");
    });
}
