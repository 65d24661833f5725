//! SIGUSR1: a snapshot in the folder of the captures, as `/api/v1/snapshot` would give it.

use crate::clock;
use crate::export::{ProxyStatus as _, rfc3339_unix};
use crate::fleet;
use crate::orders::AnalyzerOrder;
use crate::problem::{LOCAL_RESOURCE, Problem};
use crate::shared::Shared;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Writes the snapshot and says in the log where it is, or why there is none.
pub(crate) async fn save(shared: Arc<Shared>, analyzer: Sender<AnalyzerOrder>) {
    match written(&shared, &analyzer).await {
        Ok(path) => tracing::info!(path = %path.display(), "wrote a snapshot"),
        Err(problem) => tracing::error!(why = problem.what(), "wrote no snapshot"),
    }
}

async fn written(shared: &Shared, analyzer: &Sender<AnalyzerOrder>) -> Result<PathBuf, Problem> {
    let folder = shared.events.settings().dir.ok_or_else(|| {
        Problem::new(LOCAL_RESOURCE, "SIGUSR1 writes a snapshot into capture.dir, which is not set")
    })?;
    let (to, made) = oneshot::channel();
    let ending = || Problem::new(705, "the proxy is ending");
    analyzer.send(AnalyzerOrder::Sketch(to)).map_err(|_| ending())?;
    let sketched = made.await.map_err(|_| ending())?;
    let source = fleet::Source {
        proxy_id: shared.events.hub.proxy_id(),
        started_us: unix_us(clock::started_at()),
    };
    let path = folder.join(name(&source.proxy_id, unix_us(SystemTime::now())));
    let counters = shared.proxy();
    let target = path.clone();
    let write = move || put(&target, &fleet::write(&sketched, &counters, &source)?);
    let failed =
        |why: String| Problem::new(LOCAL_RESOURCE, format!("cannot write the snapshot: {why}"));
    let outcome = tokio::task::spawn_blocking(write).await;
    outcome.map_err(|why| failed(why.to_string()))?.map_err(|why| failed(why.to_string()))?;
    Ok(path)
}

/// Under another name first, so that nobody reads half of it; for the owner alone, as captures are.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let unfinished = path.with_extension("unfinished");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&unfinished)?.write_all(bytes)?;
    std::fs::rename(unfinished, path)
}

/// `20261123T010203Z-0123456789ab.snapshot.zst`
fn name(proxy_id: &str, unix_us: u64) -> String {
    let digits =
        |text: &str| text.chars().filter(|letter| !matches!(letter, '-' | ':')).collect::<String>();
    let moment: String = rfc3339_unix(unix_us).chars().take(19).collect();
    format!("{}Z-{proxy_id}.snapshot.zst", digits(&moment))
}

fn unix_us(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_sort_by_time() {
        let us = 1_764_000_000_000_000;
        assert_eq!(name("0123456789ab", us), "20251124T160000Z-0123456789ab.snapshot.zst");
    }
}
