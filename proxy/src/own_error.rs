//! The few ErrorResponses that pgsonde writes itself: FATAL, with a `PGSnnnn` code in DETAIL and help in HINT.

use crate::upstream::Failure;
use pgsonde_wire::foreign::fatal_error;

/// The server could not be reached, or not in the way that was configured (08001).
pub(crate) fn server_unreachable(address: &str, failure: &Failure) -> Vec<u8> {
    let what = format!("pgsonde cannot connect to PostgreSQL at {address}: {}", failure.why);
    fatal_error("08001", &what, failure.code, &failure.help)
}

/// A plain session where `proxy.tls.required` is set (28000).
pub(crate) fn tls_required() -> Vec<u8> {
    fatal_error(
        "28000",
        "pgsonde takes only encrypted sessions here (proxy.tls.required)",
        "PGS0411",
        "Use sslmode=require or stronger in the application.",
    )
}

/// The session was idle for too long (57P05, as the server's own idle_session_timeout).
pub(crate) fn idle_too_long() -> Vec<u8> {
    fatal_error(
        "57P05",
        "pgsonde closes sessions that are idle for this long (proxy.idle_timeout)",
        "PGS0105",
        "Reconnect; raise proxy.idle_timeout, or let the pool of the application close first.",
    )
}

/// The server's connection ended while the client was waiting (08006).
pub(crate) fn server_connection_lost() -> Vec<u8> {
    fatal_error(
        "08006",
        "the connection from pgsonde to PostgreSQL ended unexpectedly",
        "PGS0303",
        "The server closed it without a reason; its log may say more. Reconnect when it is back.",
    )
}

/// All sessions are taken (53300).
pub(crate) fn too_many_connections(limit: usize) -> Vec<u8> {
    fatal_error(
        "53300",
        &format!("pgsonde has {limit} client connections already"),
        "PGS0103",
        "Raise proxy.max_connections, or close idle connections in the application.",
    )
}

/// pgsonde is going down (57P01).
pub(crate) fn shutting_down() -> Vec<u8> {
    fatal_error(
        "57P01",
        "pgsonde is shutting down",
        "PGS0104",
        "Reconnect; another instance or the server itself may take the connection.",
    )
}
