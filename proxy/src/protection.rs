//! Which leg is encrypted, and whether SCRAM channel binding can hold: checked before the first session, when
//! certificates are read again, and as long as the server wasn't reached.

use crate::config::{Auth, ProxySettings};
use crate::problem::Problem;
use crate::shared::{Shared, Way};
use crate::tls::Tls;
use crate::tls::check::{Legs, is_ed25519};
use crate::upstream;
use std::sync::Arc;
use std::time::Duration;

/// Time between two questions to the server whether it is there.
const PROBE_PERIOD: Duration = Duration::from_secs(2);

/// Code of everything about channel binding over two TLS connections.
const BINDING: u16 = 410;

const WITHIN_TLS: &str = "the client speaks TLS to pgsonde and pgsonde to the server; binding exists to detect exactly that";

/// Asks the server as a session would.
///
/// # Errors
/// PGS0410 where the certificates differ that must be the same. An absent server is no error.
pub(crate) async fn check_at_start(shared: &Shared) -> Result<(), Problem> {
    let current = shared.current();
    warn_of_ed25519(&current.tls);
    let legs = upstream::survey(shared, current.way()).await;
    judge(current.settings.proxy.tls.auth, legs)
}

/// The table of what may be: modes A to C and E.
fn judge(auth: Auth, legs: Option<Legs>) -> Result<(), Problem> {
    match (auth, legs) {
        (Auth::SameCertificate, Some(Legs::Different)) => Err(different()),
        (Auth::Passthrough, Some(Legs::Different)) => {
            let why = "clients on TLS need channel_binding=disable";
            tracing::warn!(code = "PGS0410", why, "the certificates of both legs differ");
            Ok(())
        }
        (Auth::Passthrough, Some(Legs::Same)) => {
            tracing::info!(
                "both legs show the same certificate: proxy.tls.auth = \"same-certificate\" would hold it to that"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

fn different() -> Problem {
    Problem::new(BINDING, "proxy.tls.cert is not the certificate of the server, but proxy.tls.auth = \"same-certificate\" says so")
        .note("SCRAM channel binding cannot pass through two separate TLS connections")
        .note(WITHIN_TLS)
        .help("give the server's certificate and key, or set proxy.tls.auth = \"passthrough\" (clients then need channel_binding=disable), or drop proxy.tls.cert and use the plain loopback leg")
}

fn warn_of_ed25519(tls: &Tls) {
    if tls.client.as_ref().is_some_and(|leg| is_ed25519(leg.leaf())) {
        let why = "channel binding has no hash for certificates that are signed with Ed25519";
        tracing::warn!(code = "PGS0410", why, "use an ECDSA or RSA certificate");
    }
}

/// Keeps asking: thoroughly as long as something is wrong, else only whether the server is there.
pub(crate) async fn check_on(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PROBE_PERIOD).await;
        if shared.upstream_error().is_none() {
            upstream::probe(&shared).await;
            continue;
        }
        let current = shared.current();
        let legs = upstream::survey(&shared, current.way()).await;
        if let Err(problem) = judge(current.settings.proxy.tls.auth, legs) {
            shared.note_upstream(Err(format!("{} ({})", problem.what(), problem.code_text())));
        }
    }
}

/// Reads certificates and keys for new settings. A certificate that is not the server's where it has to be is none.
///
/// # Errors
/// A file can't be used, or the server doesn't show this certificate.
pub(crate) async fn fresh(shared: &Shared, proxy: &ProxySettings) -> Result<Tls, Problem> {
    let fresh = Tls::load(proxy)?;
    warn_of_ed25519(&fresh);
    if proxy.tls.auth == Auth::SameCertificate {
        let legs = upstream::survey(shared, Way { proxy, tls: &fresh }).await;
        if matches!(legs, None | Some(Legs::Different)) {
            let what =
                "the server does not show the certificate of proxy.tls.cert, or cannot be asked";
            return Err(Problem::new(BINDING, what));
        }
    }
    Ok(fresh)
}

/// The client leg in the ready lines.
pub(crate) fn client_words(shared: &Shared, exposed: bool) -> String {
    let current = shared.current();
    let settings = &current.settings.proxy.tls;
    let leg = match (&settings.certificate, settings.relay, settings.required) {
        (Some(_), _, true) => "TLS required",
        (Some(_), _, false) => "TLS offered",
        (None, true, _) => "TLS relayed undecrypted: encrypted sessions are not profiled",
        (None, false, _) => "plain",
    };
    let reach = match (exposed, &settings.certificate) {
        (false, _) => "local only",
        (true, Some(_)) => "open to other machines",
        (true, None) => "REACHABLE FROM OTHER MACHINES without TLS",
    };
    match (exposed, leg) {
        (false, "plain") => "plain, loopback only".to_owned(),
        _ => format!("{leg}; {reach}"),
    }
}

/// The server leg in the ready lines.
pub(crate) fn server_words(shared: &Shared) -> String {
    if let Some(error) = shared.upstream_error() {
        return format!("NOT reachable: {error}");
    }
    let Some(reached) = shared.upstream_reached() else { return "NOT reachable".to_owned() };
    let connect_ms = reached.connect_us as f64 / 1_000.0;
    match reached.protection {
        "off" => format!("plain, reachable, connect {connect_ms:.1} ms"),
        version => {
            let mode = shared.current().settings.proxy.upstream.sslmode.name();
            format!("TLS {mode} ok ({version}), connect {connect_ms:.1} ms")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_self_check() {
        use Auth::{Passthrough, SameCertificate};
        let rows = [
            (Passthrough, None, true),
            (Passthrough, Some(Legs::Plain), true),
            (Passthrough, Some(Legs::ServerOnly), true),
            (Passthrough, Some(Legs::ClientOnly), true),
            (Passthrough, Some(Legs::Same), true),
            (Passthrough, Some(Legs::Different), true),
            (SameCertificate, None, true),
            (SameCertificate, Some(Legs::ClientOnly), true),
            (SameCertificate, Some(Legs::Same), true),
            (SameCertificate, Some(Legs::Different), false),
        ];
        for (auth, legs, starts) in rows {
            let outcome = judge(auth, legs);
            assert_eq!(outcome.is_ok(), starts, "{auth:?} {legs:?}");
            if let Err(problem) = outcome {
                assert_eq!((problem.number(), problem.exit_code()), (410, 3));
            }
        }
    }
}
