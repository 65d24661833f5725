//! The interactive page: one file that `dashboards/web` builds, with all script and style inside, served at `/` and
//! written as a report with its data inside. Where it was not built, the plain tables take its place.

use super::page::STYLE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write as _;

// `BUILT`: the page, if there was one when this was compiled.
include!(concat!(env!("OUT_DIR"), "/built.rs"));

/// Places in the built page that are filled in.
const POLICY_PLACE: &str = "<!--policy-->";
const PLAIN_PLACE: &str = "<!--plain-->";
const DATA_PLACE: &str = "<!--data-->";
const TITLE_PLACE: &str = "<title>pgsonde</title>";

/// A browser without scripts is led to the tables.
const TO_PLAIN: &str =
    "<noscript><meta http-equiv=\"refresh\" content=\"0; url=/plain\"></noscript>";
const LINK_TO_PLAIN: &str =
    "<p>Without JavaScript there are <a href=\"/plain\">plain tables</a>.</p>";

/// Where the page was not built: a report of tables alone.
const BARE: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<!--policy-->\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>pgsonde</title>\n\
    <link rel=\"icon\" href=\"data:,\">\n</head>\n<body>\n<!--plain-->\n<!--data-->\n</body>\n</html>\n";

/// Whether `/` is that page, which holds no data of its own.
pub(crate) fn is_built() -> bool {
    BUILT.is_some()
}

/// What `/` answers; nothing if the page was not built. `listen` is where applications connect.
pub(crate) fn served(listen: &str) -> Option<String> {
    let head =
        format!("{TO_PLAIN}\n<meta name=\"pgsonde-listen\" content=\"{}\">", escaped(listen));
    let places = [(POLICY_PLACE, head.as_str()), (PLAIN_PLACE, LINK_TO_PLAIN), (DATA_PLACE, "")];
    BUILT.map(|page| filled(page, &places))
}

/// The policy of all answers: only the embedded scripts and styles run, known by their hashes, and only this
/// listener is asked.
pub(crate) fn content_security_policy() -> String {
    let policy = policy(BUILT.unwrap_or(BARE), "'self'");
    format!("{policy}; frame-ancestors 'none'")
}

/// The page with data inside: `answers` maps an API path ("/api/v1/statements") to its JSON; `plain` is the HTML of
/// the tables for readers without JavaScript (already escaped); `title` is text.
#[allow(dead_code)] // reports are written by commands
pub(crate) fn one_file(answers: &BTreeMap<String, Value>, plain: &str, title: &str) -> String {
    let page = BUILT.unwrap_or(BARE);
    let policy = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">",
        policy(page, "'none'")
    );
    let plain = format!("<style>{STYLE}</style>\n{plain}");
    let data = format!(
        "<script type=\"application/octet-stream\" id=\"data\">{}</script>",
        BASE64.encode(packed(answers))
    );
    let title = format!("<title>{}</title>", escaped(title));
    let places = [
        (POLICY_PLACE, policy.as_str()),
        (TITLE_PLACE, &title),
        (PLAIN_PLACE, &plain),
        (DATA_PLACE, &data),
    ];
    filled(page, &places)
}

/// Puts each text into its place, in one pass from front to back, so that no text is taken for a place.
fn filled(page: &str, places: &[(&str, &str)]) -> String {
    let mut found: Vec<(usize, &str, &str)> = places
        .iter()
        .filter_map(|(place, text)| page.find(place).map(|at| (at, *place, *text)))
        .collect();
    found.sort_unstable_by_key(|(at, ..)| *at);
    let mut out = String::with_capacity(
        page.len() + places.iter().map(|(_, text)| text.len()).sum::<usize>(),
    );
    let mut done = 0;
    for (at, place, text) in found {
        out.push_str(&page[done..at]);
        out.push_str(text);
        done = at + place.len();
    }
    out.push_str(&page[done..]);
    out
}

fn policy(page: &str, connect: &str) -> String {
    let [scripts, styles] = ["script", "style"].map(|element| hashes(page, element));
    let none = |hashes: String| if hashes.is_empty() { "'none'".to_owned() } else { hashes };
    let styles = format!("{styles} {}", hash(STYLE));
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src {connect}; \
         base-uri 'none'; form-action 'none'",
        none(scripts),
        styles.trim_start(),
    )
}

/// Hashes of the inline elements of one name, in the words of a policy.
fn hashes(page: &str, element: &str) -> String {
    let found = blocks(page).into_iter().filter(|(name, _)| *name == element);
    found.map(|(_, text)| hash(text)).collect::<Vec<_>>().join(" ")
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(text.as_bytes())))
}

/// The contents of inline scripts and styles, in their order. One pass: what stands inside of one is none.
fn blocks(page: &str) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    let mut rest = page;
    loop {
        let next = |name: &'static str| rest.find(&format!("<{name}")).map(|at| (at, name));
        let Some((at, name)) = ["script", "style"].into_iter().filter_map(next).min() else {
            return found;
        };
        let Some((_, inside)) = rest[at..].split_once('>') else { return found };
        let Some((text, after)) = inside.split_once(&format!("</{name}>")) else { return found };
        found.push((name, text));
        rest = after;
    }
}

fn packed(answers: &BTreeMap<String, Value>) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory doesn't fail; a report without data would show that it has none.
    let written = serde_json::to_writer(&mut gzip, answers).is_ok() && gzip.flush().is_ok();
    if written { gzip.finish().unwrap_or_default() } else { Vec::new() }
}

fn escaped(text: &str) -> String {
    let safe = super::text::clean(text);
    safe.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn inline_blocks_are_found_in_their_order() {
        let page = "<head><script type=\"module\">a('<style>b</style>')</script><style x>c{}</style>\
                    <script>d</script><style>open";
        assert_eq!(
            blocks(page),
            [("script", "a('<style>b</style>')"), ("style", "c{}"), ("script", "d")]
        );
    }

    #[test]
    fn the_policy_lets_in_what_is_embedded_and_nothing_else() {
        let policy = policy("<script>a</script><style>b</style>", "'self'");
        // echo -n a | openssl dgst -sha256 -binary | base64
        assert!(
            policy.contains("script-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=';")
        );
        assert!(
            policy.contains("style-src 'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0=' ")
        );
        assert!(policy.starts_with("default-src 'none'; "));
        for hole in ["unsafe", "http", "*"] {
            assert!(!policy.contains(hole), "{policy}");
        }
        assert!(super::policy("", "'none'").contains("script-src 'none'; "));
    }

    #[test]
    fn places_are_filled_once_and_texts_are_no_places() {
        let page = "<a><!--plain--><b><!--data--><!--plain-->";
        let places = [("<!--data-->", "D"), ("<!--plain-->", "<!--data-->"), ("<!--none-->", "x")];
        assert_eq!(filled(page, &places), "<a><!--data--><b>D<!--plain-->");
    }

    #[test]
    fn a_report_carries_its_data_its_tables_and_a_title_of_text() {
        let answers =
            BTreeMap::from([("/api/v1/info".to_owned(), serde_json::json!({"a": "</script>"}))]);
        let file = one_file(&answers, "<p>plain &amp; simple</p>", "</title><script>x</script>");
        assert!(file.contains("<title>&lt;/title&gt;&lt;script&gt;x&lt;/script&gt;</title>"));
        assert!(file.contains("<p>plain &amp; simple</p>"));
        assert!(file.contains("connect-src 'none'"));
        let (_, data) = file.rsplit_once("id=\"data\">").unwrap();
        let packed = BASE64.decode(data.split('<').next().unwrap()).unwrap();
        let mut json = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut json).unwrap();
        assert_eq!(json, r#"{"/api/v1/info":{"a":"</script>"}}"#);
    }

    #[test]
    fn every_embedded_block_is_in_the_policy() {
        let policy = content_security_policy();
        for page in
            [served("127.0.0.1:6435").unwrap_or_default(), one_file(&BTreeMap::new(), "", "t")]
        {
            for (name, text) in blocks(&page) {
                assert!(
                    text.is_empty() || policy.contains(&hash(text)) || text.len() < 64,
                    "{name}"
                );
            }
        }
    }
}
