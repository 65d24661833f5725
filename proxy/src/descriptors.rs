//! File descriptors: each session needs two.

/// Of listeners, logs, the analyzer, the admin listener, probes and cancel requests.
const OTHERS: u64 = 512;

/// Raises the limit as far as this process may, and says so where it isn't enough for `sessions`.
pub(crate) fn raise(sessions: usize) {
    let needed = sessions as u64 * 2 + OTHERS;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit >= needed => tracing::debug!(limit, "file descriptors"),
        Ok(limit) => tracing::warn!(
            code = "PGS0103",
            limit,
            needed,
            "too few file descriptors for proxy.max_connections: raise the limit (LimitNOFILE=, ulimit -n)"
        ),
        Err(error) => tracing::warn!(%error, "cannot learn the limit of file descriptors"),
    }
}
