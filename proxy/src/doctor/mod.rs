//! Tests a connection step by step: each line says what is so, what fails, and the remedy.

mod network;
mod outcome;
mod session;
mod target;

use crate::config::{Endpoint, SslMode, Upstream};
use crate::problem::Problem;
use crate::stream::Stream;
use crate::tls::ServerLeg;
use network::Demand;
use outcome::{Outcome, exit_code, to_json, to_text};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use target::Target;
use tokio_postgres::{Client, Config, NoTls};

/// Sessions that the proxy admits by default (`proxy.max_connections`).
const MAX_CONNECTIONS_DEFAULT: usize = 1_000;
/// The steps behind a login.
const SESSION_STEPS: [&str; 6] = ["version", "pooler", "round trip", "clock", "rights", "limits"];

/// What to test and how to tell.
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) side_connection: Option<String>,
    pub(crate) via: Option<String>,
    pub(crate) limit: Duration,
    pub(crate) strict: bool,
    pub(crate) json: bool,
}

/// Prints the lines on stdout; the exit code is 0, 1 or 3.
///
/// # Errors
/// PGS0202 and PGS0204 for a URL that can't be used.
pub(crate) fn run(options: &Options) -> Result<u8, Problem> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Problem::new(crate::problem::LOCAL_RESOURCE, format!("cannot start: {error}"))
        })?;
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let target = Target::parse(&options.url, &env)?;
    let side =
        options.side_connection.as_deref().map(|url| Target::parse(url, &env)).transpose()?;
    let via = options
        .via
        .as_deref()
        .map(|via| Upstream::parse(&format!("postgresql://{via}?sslmode=disable"), "--via"))
        .transpose()?;
    let outcomes = runtime.block_on(async {
        let mut outcomes = Vec::new();
        examine(target, side, via, options.limit, &mut outcomes).await?;
        Ok::<_, Problem>(outcomes)
    })?;
    let code = exit_code(&outcomes, options.strict);
    if options.json {
        println!("{}", to_json(&outcomes, code));
    } else {
        print!("{}", to_text(&outcomes));
    }
    Ok(code)
}

async fn examine(
    mut target: Target,
    side: Option<Target>,
    via: Option<Upstream>,
    limit: Duration,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Problem> {
    let leg = ServerLeg::load(&target.upstream)?;
    let Some(host) = reach(&target, limit, outcomes).await else {
        skip(&["tls", "auth"], outcomes);
        skip(&SESSION_STEPS, outcomes);
        return Ok(());
    };
    let prefer = target.upstream.sslmode == SslMode::Prefer;
    let open = || network::connect(&host, leg.as_ref(), prefer, limit);
    let demand = match open().await {
        Ok(stream) => {
            outcomes.push(network::tls(&stream, &target));
            let secured = stream.is_tls();
            let demand = network::demand(stream, &target, limit).await;
            (secured, demand)
        }
        Err(outcome) => {
            let at_tls = outcome.step == "tls";
            outcomes.push(outcome);
            skip(if at_tls { &["auth"] } else { &["tls", "auth"] }, outcomes);
            skip(&SESSION_STEPS, outcomes);
            return Ok(());
        }
    };
    let (secured, demand) = demand;
    ask_password(&mut target, demand.as_ref().ok());
    let client = match open().await {
        Ok(stream) => login(stream, &target, demand.as_ref(), limit).await,
        Err(outcome) => Err(outcome),
    };
    match client {
        Ok((client, outcome, _)) => {
            outcomes.push(outcome);
            outcomes.extend(modes(secured, demand.as_ref().ok()));
            question(&client, side, limit, outcomes).await?;
            if let Some(via) = via {
                outcomes.push(through(&via, &target, limit).await);
            }
        }
        Err(outcome) => {
            outcomes.push(outcome);
            skip(&SESSION_STEPS, outcomes);
        }
    }
    Ok(())
}

fn skip(steps: &[&'static str], outcomes: &mut Vec<Outcome>) {
    outcomes.extend(steps.iter().map(|step| Outcome::skip(step)));
}

/// Name and TCP of every host; the first that can be reached.
async fn reach(target: &Target, limit: Duration, outcomes: &mut Vec<Outcome>) -> Option<Endpoint> {
    let mut first = None;
    for host in &target.upstream.hosts {
        let Endpoint::Tcp { host: name, port } = host else {
            first.get_or_insert_with(|| host.clone());
            continue;
        };
        let step = match network::names(name, *port, limit).await {
            Ok((addresses, outcome)) => {
                outcomes.push(outcome);
                network::tcp(&addresses, limit).await
            }
            Err(outcome) => {
                outcomes.push(outcome);
                outcomes.push(Outcome::skip("tcp"));
                continue;
            }
        };
        match step {
            Ok((_, outcome)) => {
                outcomes.push(outcome);
                first.get_or_insert_with(|| host.clone());
            }
            Err(outcome) => outcomes.push(outcome),
        }
    }
    first
}

/// Asked for at most once, and only where somebody can answer.
fn ask_password(target: &mut Target, demand: Option<&Demand>) {
    let wanted = matches!(demand, Some(Demand::Password | Demand::Md5 | Demand::Sasl { .. }));
    if wanted && target.password.is_none() && std::io::stdin().is_terminal() {
        target.password = rpassword::prompt_password(format!("Password of {}: ", target.user)).ok();
    }
}

async fn login(
    stream: Stream,
    target: &Target,
    demand: Result<&Demand, &std::io::Error>,
    limit: Duration,
) -> Result<(Client, Outcome, Duration), Outcome> {
    let step = "auth";
    let demand = demand.map_err(|error| {
        Outcome::fail(step, format!("the server gave no answer to the start-up: {error}"))
            .fix("whatever listens there may be no PostgreSQL server; its log may say more")
    })?;
    let mut config = Config::new();
    config.user(&target.user).dbname(&target.database).application_name("pgsonde doctor");
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    if let Some(password) = &target.password {
        config.password(password);
    }
    let began = Instant::now();
    let connecting = tokio::time::timeout(limit, config.connect_raw(stream, NoTls)).await;
    let refused = |why: String| {
        Outcome::fail(step, format!("{} as {}: {why}", demand.words(), target.user))
            .fix(remedy(target, &why))
    };
    match connecting {
        Err(_) => Err(refused(format!("no answer within {}", network::shown(limit)))),
        Ok(Err(error)) => Err(refused(session::words(&error))),
        Ok(Ok((client, connection))) => {
            tokio::spawn(connection);
            let took = began.elapsed();
            let line = format!(
                "{} as {} on {} ({})",
                demand.words(),
                target.user,
                target.database,
                network::shown(took)
            );
            Ok((client, Outcome::ok(step, line), took))
        }
    }
}

fn remedy(target: &Target, why: &str) -> &'static str {
    if target.password.is_none() && why.contains("password") {
        "set PGPASSWORD, or add a line to the pass file (~/.pgpass)"
    } else if why.contains("28P01") {
        "the password is wrong; pgsonde relays passwords and never changes them"
    } else if why.contains("28000") {
        "pg_hba.conf has no line for this user, database and address; behind the proxy it is the proxy's address"
    } else if why.contains("3D000") {
        "name an existing database in the URL"
    } else {
        "the server's log may say more"
    }
}

/// Which ways of connecting applications have through a proxy before this server.
fn modes(secured: bool, demand: Option<&Demand>) -> Vec<Outcome> {
    let step = "modes";
    let scram = matches!(demand, Some(Demand::Sasl { .. }));
    let mut lines = vec![Outcome::ok(
        step,
        "plain client leg (loopback): works, with sslmode=prefer or disable in the application",
    )];
    lines.push(match (secured, scram) {
        (true, true) => Outcome::note(
            step,
            "TLS client leg (proxy.tls.cert): clients need channel_binding=disable, or pgsonde the server's own certificate",
        ),
        _ => Outcome::ok(step, "TLS client leg (proxy.tls.cert): works"),
    });
    lines
}

async fn question(
    client: &Client,
    side: Option<Target>,
    limit: Duration,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Problem> {
    outcomes.push(session::version(client).await);
    outcomes.push(session::pooler(client).await);
    outcomes.push(session::round_trip(client).await);
    outcomes.push(session::clock(client).await);
    match side {
        None => outcomes.extend(session::rights(client).await),
        Some(side) => {
            let leg = ServerLeg::load(&side.upstream)?;
            let prefer = side.upstream.sslmode == SslMode::Prefer;
            let opened =
                network::connect(&side.upstream.hosts[0], leg.as_ref(), prefer, limit).await;
            let trust = Demand::Other(0);
            let client = match opened {
                Ok(stream) => login(stream, &side, Ok(&trust), limit).await,
                Err(outcome) => Err(outcome),
            };
            match client {
                Ok((client, ..)) => outcomes.extend(session::rights(&client).await),
                Err(outcome) => outcomes.push(Outcome { step: "rights", ..outcome }),
            }
        }
    }
    outcomes.push(session::limits(client, MAX_CONNECTIONS_DEFAULT).await);
    Ok(())
}

async fn through(via: &Upstream, target: &Target, limit: Duration) -> Outcome {
    let host = &via.hosts[0];
    let trust = Demand::Other(0);
    let opened = match network::connect(host, None, false, limit).await {
        Ok(stream) => login(stream, target, Ok(&trust), limit).await,
        Err(outcome) => Err(outcome),
    };
    match opened {
        Ok((client, _, took)) => session::same_through(&client, &host.to_string(), took).await,
        Err(outcome) => Outcome { step: "via", ..outcome },
    }
}

/// Asks a running proxy whether it is ready.
///
/// # Errors
/// PGS0303 where it isn't, or doesn't answer.
pub(crate) fn ready(admin: &str, limit: Duration) -> Result<(), Problem> {
    let not = |why: String| {
        Problem::new(303, format!("the proxy at {admin} is not ready: {why}"))
            .help("`GET /ready` and the log say why; --ready URL names another admin address")
    };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(limit)).build().into();
    let url = format!("{}/ready", admin.trim_end_matches('/'));
    agent.get(&url).call().map(|_| ()).map_err(|error| not(error.to_string()))
}
