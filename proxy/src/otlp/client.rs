//! One request over HTTP, and what its answer means.

use super::outbox::{Request, Signal};
use crate::config::{OtlpSettings, header_pairs};
use crate::exports::http;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue};
use url::Url;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, but for so many of its rows, and why.
    Taken(u64, String),
    /// To be tried again, after a time that the receiver names or none.
    Again(Option<Duration>, String),
    /// Never to be tried again.
    Never(String),
}

/// A receiver.
pub(super) struct Client {
    base: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    agent: Agent,
}

impl Client {
    pub(super) fn new(settings: &OtlpSettings) -> Self {
        let headers = settings.headers.as_ref().and_then(header_pairs).unwrap_or_default();
        Self { base: settings.base.clone(), headers, agent: http::agent(&settings.base) }
    }

    pub(super) fn post(&self, request: &Request) -> Answer {
        let url = format!("{}{}", self.base, request.signal.path());
        let mut post = self
            .agent
            .post(&url)
            .config()
            .timeout_global(Some(TIMEOUT))
            .build()
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "gzip");
        for (name, value) in &self.headers {
            post = post.header(name, value);
        }
        let mut answer = match post.send(request.body.as_slice()) {
            Ok(answer) => answer,
            Err(error) => return Answer::Again(None, http::why(&error)),
        };
        let status = answer.status().as_u16();
        let after = answer.headers().get("Retry-After").and_then(|after| after.to_str().ok());
        let after = after.and_then(retry_after);
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        meaning(request.signal, status, after, &body.unwrap_or_default())
    }
}

/// Seconds; a date is answered with our own wait.
fn retry_after(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// As the protocol says: these four statuses may be tried again, other refusals may not.
fn meaning(signal: Signal, status: u16, after: Option<Duration>, body: &[u8]) -> Answer {
    match status {
        200..=299 => {
            let (rejected, why) = rejected(signal, body);
            Answer::Taken(u64::try_from(rejected).unwrap_or(0), http::short(&why))
        }
        429 | 502..=504 => Answer::Again(after, format!("status {status}")),
        _ => Answer::Never(format!("status {status}")),
    }
}

fn rejected(signal: Signal, body: &[u8]) -> (i64, String) {
    let partial = match signal {
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
        Signal::Traces => ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| (partial.rejected_log_records, partial.error_message)),
    };
    partial.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_protocol_says() {
        let after = Some(Duration::from_secs(7));
        for status in [429, 502, 503, 504] {
            let again = Answer::Again(after, format!("status {status}"));
            assert_eq!(meaning(Signal::Logs, status, after, b""), again);
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            let never = Answer::Never(format!("status {status}"));
            assert_eq!(meaning(Signal::Logs, status, after, b""), never);
        }
        // partial_success = { rejected_spans: 2, error_message: "no" }
        let partial = [0x0a, 6, 0x08, 2, 0x12, 2, b'n', b'o'];
        let taken = |rows, why: &str| Answer::Taken(rows, why.to_owned());
        assert_eq!(meaning(Signal::Traces, 200, None, &partial), taken(2, "no"));
        assert_eq!(meaning(Signal::Traces, 200, None, b"{}"), taken(0, ""));
    }

    #[test]
    fn a_receiver_may_ask_for_five_minutes_at_most() {
        let rows = [("3", Some(3)), (" 86400 ", Some(300)), ("Fri, 1 Jan", None), ("-1", None)];
        for (text, seconds) in rows {
            assert_eq!(retry_after(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
