//! Every format of one hand-made moment whose names try to break out of each of them.

use super::*;
use crate::export::api::View;
use crate::export::fixture;
use serde_json::Value;

fn report(top: usize) -> Report {
    let (snapshot, proxy) = (fixture::snapshot(), fixture::counters());
    Report::of(&View { snapshot: &snapshot, proxy: &proxy, clock: fixture::clock() }, top)
}

#[test]
fn no_name_breaks_out_of_any_format() {
    let report = report(200);
    for format in [Format::Html, Format::Md, Format::Junit, Format::Folded, Format::Text] {
        let text = render(&report, fixture::HOSTILE, format);
        assert!(!text.contains('\u{1b}'), "{format:?}");
        // Where there is markup, none of theirs.
        let markup = matches!(format, Format::Html | Format::Md | Format::Junit);
        assert!(!markup || !text.contains("<img"), "{format:?}: {text}");
    }
}

#[test]
fn junit_is_balanced_and_counts_its_failures() {
    let suite = junit::of_findings(&report(200));
    let xml = suite.to_xml();
    assert_eq!(xml.matches("<testcase").count(), suite.cases.len());
    let failures = xml.matches("<failure").count();
    assert!(xml.contains(&format!("failures=\"{failures}\"")), "{xml}");
    assert!(failures > 0);
    assert_eq!(junit::escaped("a<b>&\"'\u{1}"), "a&lt;b&gt;&amp;&quot;&#39;?");
}

#[test]
fn sarif_has_what_the_standard_requires() {
    let text = render(&report(200), "x", Format::Sarif);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "pgsonde");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["region"]["startLine"], 1);
        assert_eq!(result["partialFingerprints"]["finding/v1"].as_str().unwrap().len(), 12);
    }
    let known = Some(vec![report(1).findings.items[0].id.clone()]);
    let place = sarif::Place { known, ..sarif::Place::default() };
    let states: Vec<Value> =
        sarif::document(&report(1).findings.items, &place)["runs"][0]["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["baselineState"].clone())
            .collect();
    assert_eq!(states[0], "unchanged");
    assert!(states[1..].iter().all(|state| state == "new"));
}

#[test]
fn flame_formats_have_the_same_time() {
    let report = report(200);
    let flame = report.flame.expect("a flame");
    let lines = folded(&flame);
    let weight = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let sum: u64 = lines.lines().map(weight).sum();
    assert!(lines.lines().all(|line| line.matches(';').count() == 3), "{lines}");
    let scope = speedscope(&flame);
    let profile = &scope["profiles"][0];
    assert_eq!(profile["endValue"], sum);
    let frames = scope["shared"]["frames"].as_array().unwrap().len();
    for sample in profile["samples"].as_array().unwrap() {
        assert!(sample.as_array().unwrap().iter().all(|i| i.as_u64().unwrap() < frames as u64));
    }
    assert_eq!(
        profile["samples"].as_array().unwrap().len(),
        profile["weights"].as_array().unwrap().len()
    );
}

#[test]
fn one_file_stays_small_and_says_what_it_folds() {
    let mut report = report(200);
    let pattern = report.statements.items[0].clone();
    report.statements.items = (0..250)
        .map(|n| {
            let mut detail = pattern.clone();
            detail.item.digest = format!("{:016x}", 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n + 1));
            detail.item.query_text = format!(
                "SELECT t{n}.id, t{n}.name_{n}, t{n}.created_at FROM table_{n} AS t{n} WHERE t{n}.owner_{n} = ? ORDER BY {n}"
            );
            detail
        })
        .collect();
    let calls: u64 = report.statements.items.iter().map(|detail| detail.item.calls).sum();
    let small = html::folded(&report, html::STATEMENTS_MAX);
    let other = small.statements.other.as_ref().unwrap().digests.calls;
    let before = report.statements.other.as_ref().unwrap().digests.calls;
    let shown: u64 = small.statements.items.iter().map(|detail| detail.item.calls).sum();
    assert_eq!(shown + other - before, calls, "nothing is lost");
    assert!(small.notes.iter().any(|note| note.contains("50 cheaper ones are folded")));
    assert!(html::plain(&small, "x").len() < 100_000, "plain tables");
    let page = render(&report, "http://127.0.0.1:9635", Format::Html);
    assert!(page.contains("folded into"), "the page says so");
    assert!(page.len() < 700_000, "{} bytes", page.len());
}

#[test]
fn the_page_finds_its_answers_by_path() {
    let report = report(200);
    let answers = html::answers(&report);
    for path in ["info", "summary", "statements", "findings", "routes", "transactions", "flame"] {
        assert!(answers.contains_key(&format!("/api/v1/{path}")), "{path}");
    }
    assert!(answers.contains_key("/api/v1/routes/web/%2Forders"), "{:?}", answers.keys());
    let digest = &report.statements.items[0].item.digest;
    assert_eq!(answers[&format!("/api/v1/statements/{digest}")]["digest"], **digest);
}

#[test]
fn markdown_tables_have_the_columns_that_they_announce() {
    let text = render(&report(200), "x", Format::Md);
    let mut columns = 0;
    for line in text.lines() {
        let bars = line.replace("\\|", "").matches('|').count();
        if bars == 0 || !line.starts_with('|') {
            columns = 0;
        } else if columns == 0 {
            columns = bars;
        } else {
            assert_eq!(bars, columns, "{line}");
        }
    }
}
