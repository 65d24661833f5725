//! The few ErrorResponses that pgsonde writes itself: FATAL, with a `PGSnnnn` code in DETAIL and help in HINT.

use pgsonde_wire::foreign::fatal_error;

/// The server could not be reached (08001).
pub(crate) fn server_unreachable(address: &str, why: &str) -> Vec<u8> {
    fatal_error(
        "08001",
        &format!("pgsonde cannot reach PostgreSQL at {address}: {why}"),
        "PGS0301",
        &format!("Check that PostgreSQL runs there and that proxy.upstream ({address}) is right."),
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
