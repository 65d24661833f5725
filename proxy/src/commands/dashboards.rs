//! `pgsonde dashboards DIR`: dashboards, rules, alerts and provisioning that belong to this version.

use crate::problem::{LOCAL_RESOURCE, Problem};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Code of a file that is there already and says something else.
const ALREADY_THERE: u16 = 106;
/// What the dashboards link to unless told otherwise.
const REPORT_URL: &str = "http://127.0.0.1:9635";

/// Arguments of `dashboards`.
#[derive(Args, Debug)]
pub(crate) struct DashboardsArgs {
    /// Folder to write to; made if absent
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Address of pgsonde's report page, for links from the dashboards [default: http://127.0.0.1:9635]
    #[arg(long, value_name = "URL")]
    report_url: Option<String>,
    /// Where the runbooks are published, for links from the alerts [default: the written files]
    #[arg(long, value_name = "URL")]
    runbook_url: Option<String>,
    /// Overwrite files that differ
    #[arg(long)]
    force: bool,
}

macro_rules! embedded {
    ($($from:literal => $to:literal,)*) => {
        /// Path below the folder, and what stands there.
        const FILES: &[(&str, &str)] =
            &[$(($to, include_str!(concat!("../../../dashboards/", $from))),)*];
        /// The same files in the source.
        #[cfg(test)]
        const SOURCES: &[&str] = &[$($from,)*];
    };
}

embedded! {
    "grafana/pgsonde-findings.json" => "grafana/pgsonde-findings.json",
    "grafana/pgsonde-overview.json" => "grafana/pgsonde-overview.json",
    "grafana/pgsonde-routes.json" => "grafana/pgsonde-routes.json",
    "grafana/pgsonde-self.json" => "grafana/pgsonde-self.json",
    "grafana/pgsonde-statements.json" => "grafana/pgsonde-statements.json",
    "grafana/pgsonde-transactions.json" => "grafana/pgsonde-transactions.json",
    "provisioning/dashboards/pgsonde.yml" => "grafana/provisioning/dashboards/pgsonde.yml",
    "provisioning/datasources/pgsonde.yml" => "grafana/provisioning/datasources/pgsonde.yml",
    "prometheus/alerts.yml" => "prometheus/alerts.yml",
    "prometheus/rules.yml" => "prometheus/rules.yml",
    "prometheus/scrape.yml" => "prometheus/scrape.yml",
    "prometheus/runbooks/PgsondeConfigReloadFailed.md" => "prometheus/runbooks/PgsondeConfigReloadFailed.md",
    "prometheus/runbooks/PgsondeDown.md" => "prometheus/runbooks/PgsondeDown.md",
    "prometheus/runbooks/PgsondeDroppingEvents.md" => "prometheus/runbooks/PgsondeDroppingEvents.md",
    "prometheus/runbooks/PgsondeExportFailing.md" => "prometheus/runbooks/PgsondeExportFailing.md",
    "prometheus/runbooks/PgsondeExportLosing.md" => "prometheus/runbooks/PgsondeExportLosing.md",
    "prometheus/runbooks/PgsondeHighErrorRatio.md" => "prometheus/runbooks/PgsondeHighErrorRatio.md",
    "prometheus/runbooks/PgsondeIdleInTransaction.md" => "prometheus/runbooks/PgsondeIdleInTransaction.md",
    "prometheus/runbooks/PgsondeLatencyP99High.md" => "prometheus/runbooks/PgsondeLatencyP99High.md",
    "prometheus/runbooks/PgsondeMissingIndex.md" => "prometheus/runbooks/PgsondeMissingIndex.md",
    "prometheus/runbooks/PgsondeNPlusOne.md" => "prometheus/runbooks/PgsondeNPlusOne.md",
    "prometheus/runbooks/PgsondeOverheadHigh.md" => "prometheus/runbooks/PgsondeOverheadHigh.md",
    "prometheus/runbooks/PgsondeProfilingDegraded.md" => "prometheus/runbooks/PgsondeProfilingDegraded.md",
    "prometheus/runbooks/PgsondeUpstreamConnectFailing.md" => "prometheus/runbooks/PgsondeUpstreamConnectFailing.md",
}

/// Writes all files, or none where one is there that differs.
pub(crate) fn run(args: &DashboardsArgs) -> Result<ExitCode, Problem> {
    let folder = std::path::absolute(&args.folder).map_err(|error| cannot(&args.folder, &error))?;
    let report_url = args.report_url.as_deref().unwrap_or(REPORT_URL).trim_end_matches('/');
    let own = format!("file://{}/prometheus/runbooks", folder.display());
    let runbooks =
        args.runbook_url.as_deref().map_or(own.as_str(), |url| url.trim_end_matches('/'));
    let files = files(report_url, runbooks);
    if !args.force {
        let differs = |(path, text): &&(&str, String)| {
            std::fs::read(folder.join(path)).is_ok_and(|there| there != text.as_bytes())
        };
        if let Some((path, _)) = files.iter().find(differs) {
            let shown = folder.join(path).display().to_string();
            return Err(Problem::new(ALREADY_THERE, format!("{shown} is there and differs"))
                .note("nothing was written")
                .help("--force overwrites it; another folder keeps both"));
        }
    }
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    eprintln!("wrote {} files to {}", files.len(), folder.display());
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let written = match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    };
    written.and_then(|()| std::fs::write(path, text)).map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(LOCAL_RESOURCE, format!("cannot write {}: {error}", path.display()))
}

/// Everything with its links in place.
fn files(report_url: &str, runbooks: &str) -> Vec<(&'static str, String)> {
    let placed = |(path, text): &(&'static str, &str)| {
        let text = text.replace(REPORT_URL, report_url);
        (*path, text.replace("runbook_url: runbooks/", &format!("runbook_url: {runbooks}/")))
    };
    let mut files: Vec<_> = FILES.iter().map(placed).collect();
    let of = |name: &str| {
        files.iter().find(|(path, _)| *path == name).map_or("", |(_, text)| text.as_str())
    };
    let manifest = manifest(&[of("prometheus/rules.yml"), of("prometheus/alerts.yml")]);
    files.push(("prometheus/prometheusrule.yml", manifest));
    files
}

/// The same groups as a manifest for the Prometheus operator.
fn manifest(rules: &[&str]) -> String {
    let mut text = "# For the Prometheus operator; generated from rules.yml and alerts.yml.\n\
                    apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: pgsonde\n  labels:\n    app.kubernetes.io/name: pgsonde\nspec:\n  groups:\n"
        .to_owned();
    for rules in rules {
        let groups = rules.lines().skip_while(|line| *line != "groups:").skip(1);
        for line in groups.filter(|line| !line.trim().is_empty()) {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn below(folder: &Path, out: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => below(&path, out),
                false => drop(out.insert(path)),
            }
        }
    }

    #[test]
    fn everything_in_the_source_is_embedded() {
        let dashboards = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards"));
        let mut there = BTreeSet::new();
        for part in ["grafana", "prometheus", "provisioning"] {
            below(&dashboards.join(part), &mut there);
        }
        // The tests of the alerts are no part of what runs.
        there.remove(&dashboards.join("prometheus/tests.yml"));
        let embedded: BTreeSet<PathBuf> =
            SOURCES.iter().map(|source| dashboards.join(source)).collect();
        assert_eq!(embedded, there);
    }

    #[test]
    fn links_are_absolute() {
        let files = files("https://pgsonde.example", "https://wiki.example/runbooks");
        let text = |name: &str| &files.iter().find(|(path, _)| *path == name).unwrap().1;
        for name in ["prometheus/alerts.yml", "prometheus/prometheusrule.yml"] {
            let links: Vec<&str> = text(name)
                .lines()
                .filter_map(|line| line.trim().strip_prefix("runbook_url: "))
                .collect();
            assert!(links.len() >= 11, "{links:?}");
            let base = "https://wiki.example/runbooks/Pgsonde";
            assert!(links.iter().all(|link| link.starts_with(base)), "{links:?}");
        }
        let overview = text("grafana/pgsonde-overview.json");
        assert!(overview.contains("https://pgsonde.example") && !overview.contains(REPORT_URL));
    }
}
