//! SIGUSR1 during an audit: what was seen so far, as a snapshot that `pgsonde merge` and `report` read.

use super::proxies::numbered;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;

/// Longest time for one snapshot.
const LIMIT: Duration = Duration::from_secs(30);
/// Largest snapshot, in bytes.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// Which proxies are asked, and where their answers go.
pub(super) struct SnapshotOrder {
    /// Address of the admin interface and its token.
    pub(super) proxies: Arc<Vec<(String, String)>>,
    pub(super) out: PathBuf,
}

impl SnapshotOrder {
    /// Writes a snapshot of each proxy on a thread of its own: signals and the command don't wait for it.
    pub(super) fn carry_out(&self) {
        let (proxies, out) = (Arc::clone(&self.proxies), self.out.clone());
        std::thread::spawn(move || {
            for (index, (admin, token)) in proxies.iter().enumerate() {
                let path = out.join(numbered("pgsonde", index, ".snapshot.zst"));
                match asked(admin, token).map(|bytes| std::fs::write(&path, bytes)) {
                    Ok(Ok(())) => eprintln!("pgsonde audit   wrote {}", path.display()),
                    Ok(Err(error)) => eprintln!("pgsonde audit   no snapshot: {error}"),
                    Err(error) => eprintln!("pgsonde audit   no snapshot: {error}"),
                }
            }
        });
    }
}

fn asked(admin: &str, token: &str) -> Result<Vec<u8>, ureq::Error> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(LIMIT))
        .max_redirects(0)
        // It is on this machine; a company's HTTP proxy has no business with it.
        .proxy(None)
        .build()
        .into();
    let request = agent.get(format!("{admin}/api/v1/snapshot"));
    let mut answer = request.header("Authorization", format!("Bearer {token}")).call()?;
    answer.body_mut().with_config().limit(SNAPSHOT_BYTES_MAX).read_to_vec()
}
