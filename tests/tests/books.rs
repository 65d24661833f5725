//! The books: after a million statements from many clients at once, each was counted exactly once, under its own
//! text, and nothing else was.

use pgsonde_tests::{Postgres, Proxy, python};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(400);

/// What the whole load must exceed.
const STATEMENTS_MIN: u64 = 1_000_000;
const PIPELINE_STATEMENTS: u64 = 50;

/// One pgbench run: its own table, mode, clients, transactions per client.
struct Load {
    table: &'static str,
    mode: &'static str,
    clients: u64,
    transactions: u64,
    pipeline: bool,
}

const LOADS: [Load; 5] = [
    Load {
        table: "bench_simple",
        mode: "simple",
        clients: 8,
        transactions: 5_000,
        pipeline: false,
    },
    Load {
        table: "bench_extended",
        mode: "extended",
        clients: 8,
        transactions: 5_000,
        pipeline: false,
    },
    Load {
        table: "bench_prepared",
        mode: "prepared",
        clients: 16,
        transactions: 4_000,
        pipeline: false,
    },
    Load { table: "bench_pipe", mode: "prepared", clients: 8, transactions: 1_700, pipeline: true },
    Load {
        table: "bench_pipe_extended",
        mode: "extended",
        clients: 4,
        transactions: 1_000,
        pipeline: true,
    },
];

impl Load {
    fn statements(&self) -> u64 {
        self.clients * self.transactions * if self.pipeline { PIPELINE_STATEMENTS } else { 1 }
    }

    fn script(&self) -> String {
        let lookup = format!("select note from {} where id = :id;\n", self.table);
        if !self.pipeline {
            return format!("\\set id random(1, 1000)\n{lookup}");
        }
        let lookups = lookup.repeat(usize::try_from(PIPELINE_STATEMENTS).expect("small"));
        format!("\\set id random(1, 1000)\n\\startpipeline\n{lookups}\\endpipeline\n")
    }

    fn run(&self, postgres: &Postgres, port: u16, folder: &Path) {
        let file = folder.join(self.table);
        std::fs::write(&file, self.script()).expect("written");
        let (clients, transactions) = (self.clients.to_string(), self.transactions.to_string());
        let file = file.display().to_string();
        let args = ["-n", "-M", self.mode, "-c", &clients, "-t", &transactions, "-f", &file];
        let output = postgres.pgbench(port, &args, LIMIT);
        let all = self.clients * self.transactions;
        assert!(output.stdout.contains(&format!("actually processed: {all}/{all}")), "{output:?}");
    }
}

#[test]
fn a_million_statements_are_each_counted_once() {
    let postgres = Postgres::start();
    // What is counted is under test, not how much a busy machine can take: a queue for all that may wait.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("pgsonde.toml");
    std::fs::write(&config, "[profile]\nqueue_batches = 32768\n").expect("the file is written");
    let proxy = Proxy::start(&postgres, &["--config", &config.display().to_string()]);
    for load in &LOADS {
        let make = "(id int primary key, note text); insert into";
        let fill = "select g, 'note' from generate_series(1, 1000) g";
        postgres
            .psql_ok(postgres.port(), &format!("create table {0} {make} {0} {fill}", load.table));
    }
    let mixed = send_everything(&postgres, &proxy);
    proxy.settle();
    let dropped = proxy.metrics().sum("pgsonde_events_dropped_total");
    assert_eq!(dropped, 0.0, "nothing was lost: {}", proxy.books());

    for load in &LOADS {
        let (calls, errors) = proxy.calls_and_errors(load.table);
        assert_eq!((calls, errors), (load.statements(), 0), "{}", load.table);
        assert_eq!(
            calls,
            server_calls(&postgres, load.table),
            "{}: the server's own count",
            load.table
        );
    }
    for (table, expected) in
        mixed.as_object().expect("an object").iter().filter(|(_, value)| value.is_object())
    {
        let number = |name: &str| expected[name].as_u64().expect("a number");
        assert_eq!(proxy.calls_and_errors(table), (number("calls"), number("errors")), "{table}");
    }
    assert_books_balance(&proxy, &mixed);
}

/// All pgbench runs and the mixed program at the same time.
fn send_everything(postgres: &Postgres, proxy: &Proxy) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (port, folder) = (proxy.port(), folder.path());
    std::thread::scope(|scope| {
        let mix = scope.spawn(|| {
            let direct = format!("postgresql://postgres@127.0.0.1:{}/postgres", postgres.port());
            python("load_mix.py", &[&proxy.url(), &direct, "4", "300"], LIMIT)
        });
        let benches: Vec<_> = LOADS
            .iter()
            .map(|load| scope.spawn(move || load.run(postgres, port, folder)))
            .collect();
        benches.into_iter().for_each(|bench| bench.join().expect("pgbench ran"));
        mix.join().expect("the mixed load ran")
    })
}

fn server_calls(postgres: &Postgres, table: &str) -> u64 {
    let sql = format!(
        "select sum(calls) from pg_stat_statements where query ~ '^select note from {table} '"
    );
    postgres.psql_ok(postgres.port(), &sql).parse().expect("a number")
}

fn assert_books_balance(proxy: &Proxy, mixed: &Value) {
    let books = proxy.books();
    let book = |name: &str| {
        books[name].as_u64().unwrap_or_else(|| panic!("books have no {name}: {books}"))
    };
    assert!(book("statements") >= STATEMENTS_MIN, "{books}");
    let terms = ["exact", "bound", "batch_members", "empty", "aborted"];
    assert_eq!(book("statements"), terms.map(book).iter().sum::<u64>(), "{books}");
    assert_eq!(book("empty"), mixed["empty"].as_u64().expect("a number"), "{books}");
    assert_eq!(book("skipped"), mixed["skipped"].as_u64().expect("a number"), "{books}");
    assert_eq!(book("aborted"), 0, "{books}");
    assert_eq!(book("untracked"), 0, "every text was known: {books}");
    let piped: u64 = LOADS.iter().filter(|load| load.pipeline).map(Load::statements).sum();
    assert!(book("batch_members") >= piped, "{books}");

    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("pgsonde_opaque_sessions_total"), 0.0, "every session was understood");
    let total = metrics.sum("pgsonde_statements_total");
    assert_eq!(total, book("statements") as f64, "the metrics say the same");
}
