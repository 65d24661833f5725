//! `pgsonde config`: check what is there, show what is in force, write a sample, describe the format.

use super::print;
use crate::config::{Flags, Settings, sample, schema};
use crate::export::shapes;
use crate::problem::Problem;
use crate::tls::Tls;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Arguments of `config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Validate the configuration, with the files that it names
    Check(UpstreamArgs),
    /// Print the values in force
    Show(ShowArgs),
    /// Print a sample with the meaning, default and bounds of every key
    Init,
    /// Print the JSON Schema of the file
    Schema(SchemaArgs),
}

#[derive(Args, Debug)]
struct SchemaArgs {
    /// That of the audit.json of `pgsonde audit`
    #[arg(long)]
    audit: bool,
}

#[derive(Args, Debug)]
struct UpstreamArgs {
    /// The server, where the file doesn't name it
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    upstream: UpstreamArgs,
    /// Say for each value where it comes from: file and line, environment or flag
    #[arg(long)]
    origin: bool,
}

/// Runs it; `flags` are those that all commands have.
pub(crate) fn run(args: ConfigArgs, flags: Flags, json: bool) -> Result<ExitCode, Problem> {
    let text = match args.what {
        What::Check(upstream) => checked(&load(flags, upstream)?, json)?,
        What::Show(show) => shown(&load(flags, show.upstream)?, show.origin, json),
        What::Init => sample::text(),
        What::Schema(SchemaArgs { audit: false }) => format!("{:#}\n", schema::schema()),
        What::Schema(SchemaArgs { audit: true }) => format!("{:#}\n", shapes::audit::schema()),
    };
    print(&text).map(|()| ExitCode::SUCCESS)
}

fn load(mut flags: Flags, args: UpstreamArgs) -> Result<Settings, Problem> {
    let upstream = args.upstream.map(|url| ("proxy.upstream", "--upstream", url));
    flags.values.extend(upstream);
    Settings::load(&flags)
}

fn checked(settings: &Settings, json: bool) -> Result<String, Problem> {
    Tls::load(&settings.proxy).map_err(|problem| settings.point(problem))?;
    let file = settings.file.as_ref().map(|file| file.display().to_string());
    if json {
        return Ok(format!("{}\n", json!({ "ok": true, "file": file })));
    }
    Ok(match file {
        Some(file) => format!("{file} is fine\n"),
        None => "no configuration file; defaults, environment and flags are fine\n".to_owned(),
    })
}

fn shown(settings: &Settings, origin: bool, json: bool) -> String {
    let all = settings.shown();
    if json {
        let of = |shown: &crate::config::Shown| json!({ "key": shown.key, "value": shown.value, "origin": shown.origin });
        return format!("{:#}\n", json!(all.iter().map(of).collect::<Vec<_>>()));
    }
    let width = all.iter().map(|shown| shown.key.len() + shown.value.chars().count()).max();
    let mut text = String::new();
    for shown in &all {
        let used = shown.key.len() + shown.value.chars().count();
        let pad = width.unwrap_or(0).min(72).saturating_sub(used);
        // Writing into a String can't fail.
        let _ = match origin {
            true => {
                writeln!(text, "{} = {}{:pad$}  # {}", shown.key, shown.value, "", shown.origin)
            }
            false => writeln!(text, "{} = {}", shown.key, shown.value),
        };
    }
    text
}
