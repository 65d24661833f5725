//! The command line: what a person types, turned into settings or a report.

use crate::advisor::offline;
use crate::commands::audit::{self, AuditArgs};
use crate::commands::clickhouse::{self, ClickHouseArgs};
use crate::commands::completions::CompletionsArgs;
use crate::commands::config::ConfigArgs;
use crate::commands::dashboards::DashboardsArgs;
use crate::commands::diff::{self, DiffArgs};
use crate::commands::explain_error::ExplainArgs;
use crate::commands::merge::{self, MergeArgs};
use crate::commands::report::{self, ReportArgs};
use crate::commands::{completions, config, dashboards, doctor, explain_error, export, tail, top};
use crate::config::{Flags, Settings};
use crate::problem::Problem;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// A transparent PostgreSQL proxy that profiles every statement and finds N+1 bursts and missing indexes.
#[derive(Debug, Parser)]
#[command(name = "pgsonde", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Debug)]
struct Global {
    /// Configuration file [default: ./pgsonde.toml, then the user's, then /etc/pgsonde/pgsonde.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON document on stdout; errors as JSON on stderr
    #[arg(long, global = true)]
    json: bool,
    /// Errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// More log output; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to use colours; auto: where a terminal takes them and NO_COLOR is unset
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"])]
    color: String,
    /// Form of the log on stderr
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    Proxy(ProxyArgs),
    /// Render the profile of a running proxy, or of a saved report
    Report(ReportArgs),
    /// Run a command through a private proxy and judge what it did to the database
    Audit(AuditArgs),
    /// Compare two reports
    Diff(DiffArgs),
    /// Advise indexes for a file of statements
    Advise(AdviseArgs),
    /// Make one report of many proxies: of their snapshots, running or saved
    Merge(MergeArgs),
    /// Test a connection step by step
    Doctor(doctor::DoctorArgs),
    /// Show each statement as one line while it happens
    Tail(tail::TailArgs),
    /// Show a live table of statements, findings and routes
    Top(top::TopArgs),
    /// Turn captures into plain files
    Export(export::ExportArgs),
    /// Prepare a ClickHouse for the export of events
    #[command(name = "clickhouse")]
    ClickHouse(ClickHouseArgs),
    /// Check, show or describe the configuration
    Config(ConfigArgs),
    /// Write Grafana dashboards, Prometheus rules and alerts
    Dashboards(DashboardsArgs),
    /// Explain a code such as PGS0405
    ExplainError(ExplainArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
}

#[derive(Args, Debug)]
struct ProxyArgs {
    /// The server: postgresql://host[:port][?sslmode=verify-full], or postgresql:///?host=/run/postgresql
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where applications connect [default: 127.0.0.1:6435]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where page, API and metrics are served [default: 127.0.0.1:9635]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Record every statement (without values) into .ndjson.zst files in this folder
    #[arg(long, value_name = "DIR")]
    capture: Option<String>,
    /// What is inspected: full, counters_only or bypass [default: full]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
}

#[derive(Args, Debug)]
struct AdviseArgs {
    /// The database: postgresql://user@host:5432/database, or env:NAME of a variable that holds the URL
    #[arg(long, value_name = "URL")]
    url: String,
    /// Statements, one per line with `;` at the end; a repeated line is one more call
    #[arg(long, value_name = "FILE")]
    workload: PathBuf,
    /// Bytes of all new indexes together, also as 500MB or 1GiB [default: 10 % of the tables, at least 256 MiB]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    budget: Option<u64>,
    /// How sure the advice should be
    #[arg(long, value_enum, default_value = "verified")]
    tier: Tier,
    /// Who proves it: a private scratch server, or the extension HypoPG of the database itself
    #[arg(long, value_enum, default_value = "shadow")]
    what_if: WhatIf,
    /// Folder of initdb and postgres, of the database's major version [default: found]
    #[arg(long, value_name = "DIR")]
    shadow_bin_dir: Option<PathBuf>,
    /// Where the shadow is made [default: the runtime folder, else the temporary one]
    #[arg(long, value_name = "DIR")]
    shadow_dir: Option<PathBuf>,
    /// Account that runs the shadow when pgsonde runs as root
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    shadow_user: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tier {
    Estimated,
    Verified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhatIf {
    Shadow,
    #[value(name = "hypopg")]
    HypoPg,
}

/// `1048576`, `500MB`, `1GiB`.
fn bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..end].parse().map_err(|_| "a number of bytes, as in 500MB".to_owned())?;
    let factor: u64 = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return Err("the unit is one of kB, MB, GB, KiB, MiB, GiB".to_owned()),
    };
    number.checked_mul(factor).ok_or_else(|| "too many bytes".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Runs the process: parses, acts, prints what went wrong, and answers the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, on stdout with code 0; a usage error has code 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    crate::colour::choose(&cli.global.color);
    let json = cli.global.json;
    match run(cli) {
        Ok(code) => code,
        Err(problem) => {
            eprint!("{}", if json { problem.to_json() } else { problem.to_text() });
            ExitCode::from(problem.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Problem> {
    match cli.command {
        Command::Proxy(args) => {
            let ending = crate::run_proxy(Settings::load(&flags(cli.global, args))?)?;
            Ok(ExitCode::from(ending.exit_code()))
        }
        Command::Report(args) => report::run(args, cli.global.json),
        Command::Merge(args) => merge::run(args, cli.global.json),
        Command::Diff(args) => diff::run(&args, cli.global.json),
        Command::Audit(args) => {
            let Global { config, json, quiet, verbose, .. } = cli.global;
            audit::run(args, audit::Global { config, json, quiet, verbose })
        }
        Command::Advise(args) => advise(args, cli.global.json),
        Command::Doctor(args) => doctor::run(args, cli.global.json),
        Command::Tail(args) => tail::run(&args, cli.global.json),
        Command::Top(args) => top::run(&args),
        Command::ClickHouse(args) => clickhouse::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Config(args) => {
            let json = cli.global.json;
            config::run(args, global_flags(cli.global), json)
        }
        Command::Dashboards(args) => dashboards::run(&args),
        Command::ExplainError(args) => explain_error::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man => completions::man(Cli::command()),
    }
}

fn advise(args: AdviseArgs, json: bool) -> Result<ExitCode, Problem> {
    offline::run(offline::Options {
        url: args.url,
        workload: args.workload,
        budget_bytes: args.budget,
        what_if: match (args.tier, args.what_if) {
            (Tier::Estimated, _) => crate::config::WhatIf::Off,
            (Tier::Verified, WhatIf::Shadow) => crate::config::WhatIf::Shadow,
            (Tier::Verified, WhatIf::HypoPg) => crate::config::WhatIf::HypoPg,
        },
        shadow_bin_dir: args.shadow_bin_dir,
        shadow_dir: args.shadow_dir,
        shadow_user: args.shadow_user,
        json,
    })
    .map(|()| ExitCode::SUCCESS)
}

fn flags(global: Global, args: ProxyArgs) -> Flags {
    let given = [
        ("proxy.upstream", "--upstream", args.upstream),
        ("proxy.listen", "--listen", args.listen),
        ("admin.listen", "--admin", args.admin),
        ("capture.dir", "--capture", args.capture),
        ("profile.mode", "--mode", args.mode),
    ];
    let values = given.into_iter().filter_map(|(key, flag, value)| Some((key, flag, value?)));
    let Flags { config, values: global } = global_flags(global);
    Flags { config, values: values.chain(global).collect() }
}

/// What every command takes.
fn global_flags(global: Global) -> Flags {
    let format = global.log_format.map(|format| format!("{format:?}").to_lowercase());
    let given = [("log.format", "--log-format", format), level(global.quiet, global.verbose)];
    let values = given.into_iter().filter_map(|(key, flag, value)| Some((key, flag, value?)));
    Flags { config: global.config, values: values.collect() }
}

fn level(quiet: bool, verbose: u8) -> (&'static str, &'static str, Option<String>) {
    let (flag, level) = match (quiet, verbose) {
        (true, _) => ("--quiet", Some("error")),
        (false, 0) => ("", None),
        (false, 1) => ("--verbose", Some("debug")),
        (false, _) => ("--verbose", Some("trace")),
    };
    ("log.level", flag, level.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn usage_errors_have_code_2() {
        let lines = [
            "pgsonde",
            "pgsonde proxi",
            "pgsonde proxy --upstraem x",
            "pgsonde proxy -q -v --upstream x",
            "pgsonde proxy --log-format xml",
            "pgsonde report",
            "pgsonde report http://x --top 0",
            "pgsonde report http://x --format pdf",
        ];
        for line in lines {
            assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parsed("pgsonde --version").unwrap_err().exit_code(), 0);
    }

    #[test]
    fn flags_become_keys() {
        let line =
            "pgsonde proxy --upstream postgresql://db --admin 127.0.0.1:1 -vv --log-format json";
        let cli = parsed(line).unwrap();
        let Command::Proxy(args) = cli.command else { panic!("proxy") };
        let values: Vec<_> = flags(cli.global, args)
            .values
            .into_iter()
            .map(|(key, _, value)| (key, value))
            .collect();
        let expected = [
            ("proxy.upstream", "postgresql://db"),
            ("admin.listen", "127.0.0.1:1"),
            ("log.format", "json"),
            ("log.level", "trace"),
        ];
        assert_eq!(values, expected.map(|(key, value)| (key, value.to_owned())));
    }
}
