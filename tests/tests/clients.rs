//! Real clients through the proxy: every outcome equals that of a direct connection.

use pgsonde_tests::{
    Options, Output, Postgres, Proxy, eventually, process, python, raw, run, run_ok,
};
use std::io::{Read, Write};
use std::sync::OnceLock;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// One user for each way to authenticate; `postgres` is trusted.
const AUTH_USERS: [&str; 4] = ["trust_user", "password_user", "md5_user", "scram_user"];

/// One cluster and one proxy for all tests of this file.
fn stage() -> &'static (Postgres, Proxy) {
    static STAGE: OnceLock<(Postgres, Proxy)> = OnceLock::new();
    STAGE.get_or_init(|| {
        let postgres = Postgres::with(&Options {
            hba: vec![
                "host all password_user 127.0.0.1/32 password",
                "host all md5_user 127.0.0.1/32 md5",
                "host all scram_user 127.0.0.1/32 scram-sha-256",
                "host all rejected_user 127.0.0.1/32 reject",
            ],
            sql: "set password_encryption = 'md5';
                  create role md5_user login password 'secret';
                  create role password_user login password 'secret';
                  create role trust_user login;
                  set password_encryption = 'scram-sha-256';
                  create role scram_user login password 'secret';
                  create role rejected_user login;",
            ..Options::default()
        });
        let proxy = Proxy::start(&postgres, &[]);
        (postgres, proxy)
    })
}

/// Runs the same thing directly and through the proxy.
fn both<T>(mut action: impl FnMut(u16) -> T) -> (T, T) {
    let (postgres, proxy) = stage();
    (action(postgres.port()), action(proxy.port()))
}

/// What may differ between two runs is masked: ports, process ids, OIDs.
fn masked(output: &Output) -> (Option<i32>, String, String) {
    let words = output.stderr.split(|c: char| c.is_ascii_digit());
    let stderr = words.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("0");
    (output.code, output.stdout.clone(), stderr)
}

/// No session of this file may have become opaque.
fn assert_nothing_opaque() {
    let (_, proxy) = stage();
    assert_eq!(proxy.metrics().sum("pgsonde_opaque_sessions_total"), 0.0, "{:?}", proxy.lines());
}

fn psql_script(port: u16, script: &str) -> Output {
    let (postgres, _) = stage();
    run(postgres.client("psql", port).args(["-XAt"]), script, LIMIT)
}

#[test]
fn psql_sees_what_it_sees_directly() {
    let long_text = "z".repeat(2_000_000);
    let long_query = format!("select length('{long_text}');");
    let scripts: [(&str, &str); 16] = [
        ("simple", "select 1, null, 'two'; select; select g from generate_series(1, 3) g;"),
        ("several in one Query", r"select 1\; select 2\; select 3;"),
        ("empty", ";\n-- nothing\n;select 1;"),
        ("notices", "do $$ begin raise notice 'n'; raise warning 'w'; end $$; select 1;"),
        (
            "transactions",
            "begin; select 1; savepoint a; select 1/0; rollback to a; select 2; commit; select 3;",
        ),
        ("failed transaction", "begin; select 1/0; select 1; commit; select 2;"),
        ("errors", "selec; select * from nowhere; select 'a'::int; select 1;"),
        ("error in the middle of a Query", r"select 1\; select 1/0\; select 3; select 4;"),
        (
            "tags",
            "create temp table t (i int); insert into t values (1), (2); update t set i = 3; delete from t;",
        ),
        (
            "cursor",
            "begin; declare c cursor for select generate_series(1, 9); fetch 4 c; move 2 c; fetch all c; end;",
        ),
        (
            "prepared in SQL",
            "prepare p as select $1::int; execute p(1); execute p(2); deallocate p; execute p(3);",
        ),
        ("fetch count", "\\set FETCH_COUNT 3\nselect g from generate_series(1, 10) g; select 1;"),
        (
            "fetch count, error",
            "\\set FETCH_COUNT 3\nselect 1 / (5 - g) from generate_series(1, 10) g; select 1;",
        ),
        ("long result", "select repeat('x', 3000000);"),
        ("long query", &long_query),
        (
            "settings",
            "set timezone = 'Asia/Tokyo'; show timezone; set client_encoding = latin1; select 'é';",
        ),
    ];
    for (name, script) in scripts {
        let (direct, through) = both(|port| masked(&psql_script(port, script)));
        assert_eq!(direct, through, "{name}");
    }
    assert_nothing_opaque();
}

#[test]
fn psql_copies_in_every_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rows").display().to_string();
    let table = "create temp table t (id int, note text);\n";
    let rows = "insert into t select g, repeat('n', g % 90) from generate_series(1, 5000) g;\n";
    let check = "select count(*), sum(id), sum(length(note)) from t;\n";
    let scripts = [
        ("out", format!("{table}{rows}\\copy t to stdout\n{check}")),
        (
            "out csv",
            format!(
                "{table}{rows}\\copy (select * from t where id < 50) to stdout csv header\n{check}"
            ),
        ),
        (
            "out text, in text",
            format!("{table}{rows}\\copy t to '{path}'\n\\copy t from '{path}'\n{check}"),
        ),
        (
            "out binary, in binary",
            format!(
                "{table}{rows}\\copy t to '{path}' binary\n\\copy t from '{path}' binary\n{check}"
            ),
        ),
        (
            "in fails midway",
            format!("{table}copy t from stdin;\n1\ta\n2\tb\nthree\tc\n4\td\n\\.\n{check}"),
        ),
        ("in fails at the first line", format!("{table}copy t from stdin;\nx\n\\.\n{check}")),
        ("in is refused", format!("copy nowhere from stdin;\n1\n\\.\n{table}{check}")),
        ("in of nothing", format!("{table}copy t from stdin;\n\\.\n{check}")),
        (
            "out fails midway",
            "copy (select 1 / (3000 - g) from generate_series(1, 9000) g) to stdout;".to_owned(),
        ),
        (
            "several copies in one Query",
            r"copy (select 1) to stdout\; copy (select 2) to stdout\; select 3;".to_owned(),
        ),
    ];
    for (name, script) in scripts {
        let (direct, through) = both(|port| masked(&psql_script(port, &script)));
        assert_eq!(direct, through, "{name}");
    }
    assert_nothing_opaque();
}

#[test]
fn large_objects_use_function_calls() {
    let script =
        "\\lo_import /etc/hosts\nselect length(lo_get(:LASTOID));\n\\lo_unlink :LASTOID\nselect 1;";
    let (direct, through) = both(|port| {
        let output = psql_script(port, script);
        let lines: Vec<String> =
            output.stdout.lines().filter(|line| !line.starts_with("lo_")).map(Into::into).collect();
        (output.code, lines)
    });
    assert_eq!(direct, through);
    assert_eq!(direct.0, Some(0));
    assert_nothing_opaque();
}

#[test]
fn notifications_arrive() {
    let script = "listen news;\nnotify news, 'own';\nselect 1;";
    let (direct, through) = both(|port| masked(&psql_script(port, script)));
    assert_eq!((direct.0, direct.2), (through.0, through.2));
    assert!(through.1.contains("notification \"news\" with payload \"own\""), "{}", through.1);
}

#[test]
fn ctrl_c_in_psql_cancels_the_statement() {
    let (postgres, proxy) = stage();
    let (direct, through) = both(|port| {
        let script = format!("select pg_sleep(60) /* ctrl-c {port} */;");
        std::thread::scope(|scope| {
            let psql = scope.spawn(|| {
                let mut command = postgres.client("psql", port);
                command.env("PGAPPNAME", format!("ctrl-c-{port}"));
                run(command.args(["-XAt"]), &script, LIMIT)
            });
            interrupt_psql(postgres, &format!("ctrl-c-{port}"));
            masked(&psql.join().expect("psql ran"))
        })
    });
    assert_eq!(direct, through);
    assert!(through.2.contains("canceling statement due to user request"), "{through:?}");
    assert!(proxy.metrics().sum("pgsonde_cancel_requests_total") >= 1.0);
}

/// Sends SIGINT to the psql with this application name, once its statement runs.
fn interrupt_psql(postgres: &Postgres, application: &str) {
    let running = format!(
        "select 1 from pg_stat_activity where application_name = '{application}' and wait_event = 'PgSleep'"
    );
    eventually("the statement runs", LIMIT, || {
        (postgres.psql_ok(postgres.port(), &running) == "1").then_some(())
    });
    let wanted = format!("PGAPPNAME={application}\0");
    let pid = std::fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
        let pid =
            entry.file_name().into_string().ok().filter(|name| name.parse::<u32>().is_ok())?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        String::from_utf8_lossy(&environment).contains(&wanted).then_some(pid)
    });
    process::signal("INT", &pid.expect("psql is among the processes"));
}

#[test]
fn pg_cancel_backend_and_statement_timeout_reach_the_client() {
    let script =
        "set statement_timeout = 200; select pg_sleep(60); set statement_timeout = 0; select 1;";
    let (direct, through) = both(|port| masked(&psql_script(port, script)));
    assert_eq!(direct, through);
    assert!(through.2.contains("statement timeout"), "{through:?}");
}

#[test]
fn psql_connects_with_every_sslmode_as_directly() {
    let (postgres, _) = stage();
    for mode in ["disable", "allow", "prefer", "require"] {
        let (direct, through) = both(|port| {
            let mut psql = postgres.client("psql", port);
            psql.args(["-XAtc", "select 1"]).env("PGSSLMODE", mode).env("PGGSSENCMODE", "prefer");
            masked(&run(&mut psql, "", LIMIT))
        });
        assert_eq!(direct, through, "sslmode={mode}");
    }
}

#[test]
fn encryption_requests_are_declined_with_one_byte_each() {
    let (_, proxy) = stage();
    let mut socket = raw::connect(proxy.port());
    for request in [raw::GSS_ENC_REQUEST, raw::SSL_REQUEST] {
        socket.write_all(&request).expect("written");
        let mut answer = [0];
        socket.read_exact(&mut answer).expect("one byte");
        assert_eq!(&answer, b"N", "{request:?}");
    }
    socket.write_all(&raw::startup()).expect("written");
    let mut answer = [0];
    socket.read_exact(&mut answer).expect("the server's first byte");
    assert_eq!(&answer, b"R", "authentication begins");
}

#[test]
fn pgbench_runs_in_every_mode() {
    let (postgres, proxy) = stage();
    let port = proxy.port();
    postgres.pgbench(port, &["-i", "-q", "-s", "1"], LIMIT);
    for mode in ["simple", "extended", "prepared"] {
        let output =
            postgres.pgbench(port, &["-n", "-M", mode, "-c", "4", "-j", "2", "-t", "100"], LIMIT);
        assert!(output.stdout.contains("actually processed: 400/400"), "{mode}: {output:?}");
        assert!(output.stdout.contains("failed transactions: 0 "), "{mode}: {output:?}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("pipeline.sql");
    let lookups = "select abalance from pgbench_accounts where aid = :aid;\n".repeat(10);
    let script = format!("\\set aid random(1, 100000)\n\\startpipeline\n{lookups}\\endpipeline\n");
    std::fs::write(&file, script).expect("written");
    let file = file.display().to_string();
    for mode in ["extended", "prepared"] {
        let output =
            postgres.pgbench(port, &["-n", "-M", mode, "-c", "4", "-t", "100", "-f", &file], LIMIT);
        assert!(
            output.stdout.contains("actually processed: 400/400"),
            "{mode} pipeline: {output:?}"
        );
    }
    assert_nothing_opaque();
}

fn driver_equals_direct(program: &str) {
    let (postgres, _) = stage();
    let (direct, through) = both(|port| {
        // Each run has a database of its own, so that names and OIDs start equal.
        let database = format!("db{port}_{}", program.trim_end_matches(".py"));
        postgres.psql_ok(postgres.port(), &format!("create database {database}"));
        python(program, &[&format!("postgresql://postgres@127.0.0.1:{port}/{database}")], LIMIT)
    });
    let names = direct.as_object().expect("an object of checks");
    assert!(names.len() > 10, "{program} ran its checks");
    for (check, outcome) in names {
        assert_eq!(outcome, &through[check], "{program}: {check}");
    }
    assert_nothing_opaque();
}

#[test]
fn psycopg_sees_what_it_sees_directly() {
    driver_equals_direct("psycopg_checks.py");
}

#[test]
fn asyncpg_sees_what_it_sees_directly() {
    driver_equals_direct("asyncpg_checks.py");
}

#[test]
fn every_way_to_authenticate_passes_through() {
    let (postgres, _) = stage();
    let attempts = AUTH_USERS
        .iter()
        .flat_map(|user| ["secret", "wrong", ""].map(|password| (*user, password)));
    let more = [("rejected_user", ""), ("no_such_user", "")];
    for (user, password) in attempts.chain(more) {
        let (direct, through) = both(|port| {
            let mut psql = postgres.client("psql", port);
            psql.args(["-XAtwc", "select current_user"]).env("PGUSER", user);
            if !password.is_empty() {
                psql.env("PGPASSWORD", password);
            }
            masked(&run(&mut psql, "", LIMIT))
        });
        assert_eq!(direct, through, "{user} with {password:?}");
        let lets_in = user == "trust_user" || (password == "secret" && AUTH_USERS.contains(&user));
        assert_eq!(through.0 == Some(0), lets_in, "{user} with {password:?}: {through:?}");
    }
}

#[test]
fn an_unknown_database_is_refused_as_directly() {
    let (postgres, _) = stage();
    let (direct, through) = both(|port| {
        let mut psql = postgres.client("psql", port);
        masked(&run(psql.args(["-XAtc", "select 1"]).env("PGDATABASE", "nowhere"), "", LIMIT))
    });
    assert_eq!(direct, through);
    assert!(through.2.contains("database \"nowhere\" does not exist"), "{through:?}");
}

#[test]
fn a_client_that_vanishes_takes_its_server_session_with_it() {
    let (postgres, proxy) = stage();
    let sessions = "select count(*) from pg_stat_activity where application_name = 'vanishing'";
    let open = || postgres.psql_ok(postgres.port(), sessions);
    let limit = Duration::from_secs(2);
    let gone = std::panic::catch_unwind(|| {
        let mut psql = postgres.client("psql", proxy.port());
        // Killed with SIGKILL when the limit is over: no Terminate, just the end of the socket.
        run_ok(
            psql.args(["-XAtc", "select 1", "-c", "\\! sleep 60"]).env("PGAPPNAME", "vanishing"),
            "",
            limit,
        )
    });
    assert!(gone.is_err(), "psql was killed");
    eventually("the server session ends", LIMIT, || (open() == "0").then_some(()));
}

#[test]
fn an_idle_session_keeps_its_state() {
    let script = "create temp table kept (i int);\nset work_mem = '5MB';\n\\! sleep 3\nselect count(*) from kept;\nshow work_mem;";
    let (direct, through) = both(|port| masked(&psql_script(port, script)));
    assert_eq!(direct, through);
    assert_eq!(through.1.lines().last(), Some("5MB"));
}
