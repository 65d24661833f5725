//! Which names a request may use for this listener: stops DNS rebinding.

use super::access::Access;
use axum::http::{HeaderMap, HeaderValue, header};
use std::net::IpAddr;

/// Whether `Host` (and `Origin`, where a browser sends one) is an IP literal, `localhost` or an allowed name.
pub(super) fn may_ask(access: &Access, uri_host: Option<String>, headers: &HeaderMap) -> bool {
    let text = |name| {
        headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?").to_owned())
    };
    let origin_is_own = match text(header::ORIGIN) {
        Some(origin) => {
            let schemes = ["http://", "https://"];
            let authority = schemes.iter().find_map(|scheme| origin.strip_prefix(scheme));
            authority.is_some_and(|authority| is_own(access, authority))
        }
        None => true,
    };
    let host = uri_host.or_else(|| text(header::HOST));
    origin_is_own && host.is_some_and(|host| is_own(access, &host))
}

fn is_own(access: &Access, authority: &str) -> bool {
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
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
        || access.allows_host(host)
}
