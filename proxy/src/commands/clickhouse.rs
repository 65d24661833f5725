//! `pgsonde clickhouse`

use super::print;
use crate::clickhouse::{Client, Dialect, PRESENT, Place, missing, statements, views};
use crate::config::Secret;
use crate::problem::Problem;
use clap::{Args, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Where the password of a store is, for commands.
const PASSWORD: &str = "CLICKHOUSE_PASSWORD";

/// Arguments of `clickhouse`.
#[derive(Args, Debug)]
pub(crate) struct ClickHouseArgs {
    #[command(subcommand)]
    command: ClickHouseCommand,
}

#[derive(Debug, Subcommand)]
enum ClickHouseCommand {
    /// Make the tables that the export writes to; what is there stays as it is
    Init(InitArgs),
}

#[derive(Args, Debug)]
struct InitArgs {
    /// http(s)://[user@]host[:8123][/database], with CLICKHOUSE_PASSWORD as the password
    #[arg(value_name = "URL")]
    url: String,
    /// Spread the rows over the shards of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Print the statements instead of running them
    #[arg(long)]
    print: bool,
    /// Print them for stores of this kind, without asking one
    #[arg(long, value_enum, requires = "print", value_name = "DIALECT")]
    dialect: Option<DialectArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DialectArg {
    Modern,
    Compat,
}

/// The store of a URL, with the password out of the environment.
pub(crate) fn client(url: &str) -> Result<Client, Problem> {
    let place = Place::parse(url).map_err(|rule| {
        Problem::new(204, format!("this is no store: {rule}"))
            .help("pgsonde clickhouse init http://127.0.0.1:8123/default")
    })?;
    Ok(Client::new(place, std::env::var(PASSWORD).ok().map(Secret::given)))
}

pub(crate) fn run(args: &ClickHouseArgs) -> Result<ExitCode, Problem> {
    let ClickHouseCommand::Init(args) = &args.command;
    let client = client(&args.url)?;
    let fits = |name: &String| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    if args.cluster.as_ref().is_some_and(|name| !fits(name)) {
        return Err(Problem::new(204, "--cluster: a name has letters, digits, `_`, `-` and `.`"));
    }
    let problem = |refusal: crate::clickhouse::Refusal| refusal.problem(client.place());
    let dialect = match args.dialect {
        Some(DialectArg::Modern) => Dialect::Modern,
        Some(DialectArg::Compat) => Dialect::Compat,
        None => client.dialect().map_err(problem)?,
    };
    let database = &client.place().database;
    let cluster = args.cluster.as_deref();
    let (tables, views) = (statements(dialect, database, cluster), views(dialect, cluster));
    if args.print {
        let all: Vec<&str> = tables.iter().chain(&views).map(String::as_str).collect();
        print(&(all.join(";\n\n") + ";\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let run = |all: &[String]| all.iter().try_for_each(|sql| client.query(sql).map(drop));
    run(&tables).map_err(problem)?;
    let present = client.query(PRESENT).map_err(problem)?;
    run(&missing(dialect, cluster, &present)).map_err(problem)?;
    run(&views).map_err(problem)?;
    // Of the views' statements one drops.
    let made = tables.len() + views.len() - 1;
    print(&format!("made {made} tables and views ({} dialect) in {database}\n", dialect.name()))?;
    Ok(ExitCode::SUCCESS)
}
