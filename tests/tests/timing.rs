//! Own text and own time: a client that knows what it sent, and how long it waited, against the records. Texts and
//! counts are asserted; the error of the times is printed as a table (`--nocapture`), never asserted.

use pgsonde_tests::{Postgres, Proxy, raw};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

const CALLS: usize = 100;

/// One class of statements: its label, which names a table and so makes a digest of its own, and its text.
struct Class {
    label: &'static str,
    text: String,
    extended: bool,
}

fn classes() -> Vec<Class> {
    let sql = [
        ("instant", "select 1 from instant_"),
        ("one_ms", "select pg_sleep(0.001) from one_ms_"),
        ("ten_ms", "select pg_sleep(0.01) from ten_ms_"),
        ("rows", "select g from generate_series(1, 20000) g, rows_"),
        ("wide", "select repeat('w', 500000) from wide_"),
    ];
    let both = sql.iter().flat_map(|(label, text)| {
        [false, true].map(|extended| {
            let suffix = if extended { "_extended" } else { "_simple" };
            let text = text.replace(&format!("{label}_"), &format!("{label}{suffix}"));
            Class { label, text, extended }
        })
    });
    both.collect()
}

impl Class {
    fn table(&self) -> String {
        format!("{}{}", self.label, if self.extended { "_extended" } else { "_simple" })
    }

    fn frames(&self) -> Vec<u8> {
        if !self.extended {
            return raw::query(&self.text);
        }
        [
            raw::frame(b'P', &[b"\0", self.text.as_bytes(), b"\0\0\0"].concat()),
            raw::frame(b'B', b"\0\0\0\0\0\0\0\0"),
            raw::frame(b'E', b"\0\0\0\0\0"),
            raw::frame(b'S', b""),
        ]
        .concat()
    }

    /// Runs it once; how long the client waited, in microseconds.
    fn run(&self, client: &mut TcpStream) -> u128 {
        let frames = self.frames();
        let started = Instant::now();
        client.write_all(&frames).expect("written");
        raw::read_until_ready(client, 1);
        started.elapsed().as_micros()
    }
}

/// The row of the digest whose text names this table.
fn row<'a>(statements: &'a Value, table: &str) -> &'a Value {
    let items = statements["items"].as_array().expect("a list");
    let is_it = |item: &&Value| {
        let text = item["query_text"].as_str().unwrap_or_default();
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == table)
    };
    items.iter().find(is_it).unwrap_or_else(|| panic!("{table} was seen: {statements}"))
}

#[test]
fn each_class_has_its_own_text_count_and_time() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    let mut client = raw::session(proxy.port());
    let classes = classes();
    for class in &classes {
        let table = class.table();
        postgres.psql_ok(postgres.port(), &format!("create table {table} as select 1 as one"));
    }
    let mut waited = vec![0_u128; classes.len()];
    for _ in 0..CALLS {
        for (class, waited) in classes.iter().zip(&mut waited) {
            *waited += class.run(&mut client);
        }
    }
    proxy.settle();
    let statements = proxy.api("statements?limit=500");
    println!(
        "{:<18}{:>8}{:>14}{:>14}{:>12}",
        "class", "calls", "client us", "recorded us", "error us"
    );
    for (class, waited) in classes.iter().zip(waited) {
        let row = row(&statements, &class.table());
        assert_eq!(row["calls"], CALLS, "{}: {row}", class.text);
        let recorded = row["total_ms"].as_f64().expect("a number") * 1_000.0 / CALLS as f64;
        let waited = waited as f64 / CALLS as f64;
        let error = recorded - waited;
        println!("{:<18}{CALLS:>8}{waited:>14.0}{recorded:>14.0}{error:>12.0}", class.table());
    }
    let books = proxy.books();
    assert_eq!(books["exact"].as_u64(), Some((CALLS * classes.len()) as u64), "{books}");
}
