//! `pgsonde report`

use crate::export::Format;
use crate::export::report::{self, Options, WhatIf};
use crate::problem::Problem;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `report`.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Admin URL of a running proxy, a saved report, snapshot or capture, or clickhouse://host/database
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Form of the report
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Statements shown by themselves, costliest first; the rest is summed as `other`
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=500))]
    top: u16,
    /// Costs of findings as they would be with other round trips to the server, such as `rtt=2ms`: what a test beside
    /// its database finds, on the network of production
    #[arg(long, value_name = "rtt=TIME")]
    what_if: Option<WhatIf>,
    /// Begin of the time range (RFC 3339, or -1h before now); only of a capture or a clickhouse:// source
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the time range; only of a capture or a clickhouse:// source
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

/// The form that was asked for; else what the name of the file says; else text.
pub(crate) fn chosen(format: Option<Format>, output: Option<&Path>, json: bool) -> Format {
    if let Some(format) = format {
        return format;
    }
    let extension = output.and_then(|path| path.extension()?.to_str());
    match extension {
        _ if json => Format::Json,
        Some("html" | "htm") => Format::Html,
        Some("md") => Format::Md,
        Some("json") => Format::Json,
        Some("sarif") => Format::Sarif,
        Some("xml") => Format::Junit,
        Some("folded") => Format::Folded,
        _ => Format::Text,
    }
}

pub(crate) fn run(args: ReportArgs, json: bool) -> Result<ExitCode, Problem> {
    let format = chosen(args.format, args.output.as_deref(), json);
    report::run(&Options {
        format,
        what_if: args.what_if,
        from: args.from,
        to: args.to,
        source: args.source,
        output: args.output,
        top: usize::from(args.top),
    })
    .map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReportArgs,
    }

    #[test]
    fn the_format_follows_flag_then_file_name() {
        let rows = [
            ("r x", false, Format::Text),
            ("r x", true, Format::Json),
            ("r x -o orders.html", false, Format::Html),
            ("r x -o a.md", false, Format::Md),
            ("r x -o a.sarif", false, Format::Sarif),
            ("r x -o a.html --format folded", false, Format::Folded),
            ("r x -o noextension", false, Format::Text),
        ];
        for (line, json, wanted) in rows {
            let line_args = Line::try_parse_from(line.split(' ')).unwrap().args;
            let format = chosen(line_args.format, line_args.output.as_deref(), json);
            assert_eq!(format, wanted, "{line}");
        }
    }
}
