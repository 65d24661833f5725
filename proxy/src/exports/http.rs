//! The HTTP client of exporters.

use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of another side's words that are shown.
const WORDS_BYTES_MAX: usize = 300;

/// A client for one place: no redirects, no proxies of the environment, refusals are answers.
pub(crate) fn agent(url: &Url) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None);
    if url.scheme() == "https" {
        config = config.tls_config(tls());
    }
    config.build().new_agent()
}

fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = found.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// One line of another side's words, and not all of a long one: a refusal may quote what was sent.
pub(crate) fn short(words: &str) -> String {
    let line = words.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    pgsonde_analyzer::text::cut(line, WORDS_BYTES_MAX).to_owned()
}

/// What went wrong with a request, without the operating system's number for it.
pub(crate) fn why(error: &ureq::Error) -> String {
    short(error.to_string().split(" (os error").next().unwrap_or_default())
}
