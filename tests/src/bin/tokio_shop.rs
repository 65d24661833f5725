//! tokio-postgres: `tokio_shop list|run …`; `tests/drivers/scenario.py` tells how such programs speak.

use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio_postgres::{Client, Error, NoTls, connect};

const PAGE: i64 = 40;
const PAGE_CUSTOMERS: usize = 23;
const PAGE_OF_ORDERS: &str = "select id, customer_id, status from orders order by id desc limit $1";
const CUSTOMER: &str = "select id, name from customers where id = $1";
const ITEMS: &str = "select id, quantity from items where order_id = $1";
const INSERT: &str = "insert into tags (name, uses) values ($1, 0)";
/// Longer than the pause that ends a chain.
const PAUSE: Duration = Duration::from_millis(300);

type Seen<'a> = Pin<Box<dyn Future<Output = Result<Value, Error>> + 'a>>;
type Run = for<'a> fn(&'a mut Client, &'a str) -> Seen<'a>;

struct Scenario {
    name: &'static str,
    expect: Value,
    never: &'static [&'static str],
    repeats: u32,
    run: Run,
}

/// The program has a problem: `expect` must be found.
#[allow(clippy::needless_pass_by_value)] // the calls read better with `json!` written in place
fn finds(name: &'static str, expect: Value, repeats: u32, run: Run) -> Scenario {
    Scenario { name, expect: json!([expect]), never: &[], repeats, run }
}

/// Nothing of warning or above, and none of the kinds that it was repaired of.
fn silent(name: &'static str, never: &'static [&'static str], run: Run) -> Scenario {
    Scenario { name, expect: json!([]), never, repeats: 3, run }
}

fn n_plus_one(parent: &str, child: &str, gate: &str) -> Value {
    json!({ "kind": "n_plus_one", "proof": "dataflow", "parent": parent, "child": child, "gate": gate })
}

fn kind(name: &str, child: &str) -> Value {
    json!({ "kind": name, "child": child })
}

fn seen(n: usize, rows: i64) -> Value {
    json!({ "n": n, "rows": rows })
}

fn word(number: i32) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("w{}-{number}", now.map_or(0, |time| time.as_nanos()))
}

/// Distinct customers of a page, in its order.
fn customers(rows: &[tokio_postgres::Row]) -> Vec<i32> {
    let mut ids: Vec<i32> = Vec::new();
    for row in rows {
        let id = row.get(1);
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

fn lookups_in_a_loop<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let statement = db.prepare(CUSTOMER).await?;
        for id in customers(&db.query(PAGE_OF_ORDERS, &[&PAGE]).await?) {
            db.query(&statement, &[&id]).await?;
        }
        Ok(seen(PAGE_CUSTOMERS, PAGE))
    })
}

fn looked_up_by_array<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let ids = customers(&db.query(PAGE_OF_ORDERS, &[&PAGE]).await?);
        db.query("select id, name from customers where id = any($1)", &[&ids]).await?;
        Ok(Value::Null)
    })
}

fn children_in_a_transaction<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let open = db.transaction().await?;
        for row in open.query(PAGE_OF_ORDERS, &[&PAGE]).await? {
            open.query(ITEMS, &[&row.get::<_, i64>(0)]).await?;
        }
        open.commit().await?;
        Ok(seen(40, PAGE))
    })
}

fn portal_in_parts<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let open = db.transaction().await?;
        let portal = open.bind(PAGE_OF_ORDERS, &[&PAGE]).await?;
        loop {
            let rows = open.query_portal(&portal, 10).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                open.query(ITEMS, &[&row.get::<_, i64>(0)]).await?;
            }
        }
        open.commit().await?;
        Ok(seen(40, PAGE))
    })
}

fn children_in_a_pipeline<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let open = db.transaction().await?;
        let statement = open.prepare(ITEMS).await?;
        let rows = open.query(PAGE_OF_ORDERS, &[&PAGE]).await?;
        let mut ids = rows.iter().map(|row| row.get::<_, i64>(0));
        while let (Some(one), Some(other)) = (ids.next(), ids.next()) {
            let (one, other): ([&(dyn tokio_postgres::types::ToSql + Sync); 1], _) =
                ([&one], [&other as &(dyn tokio_postgres::types::ToSql + Sync)]);
            let pair = tokio::join!(open.query(&statement, &one), open.query(&statement, &other));
            pair.0?;
            pair.1?;
        }
        open.commit().await?;
        Ok(seen(40, PAGE))
    })
}

fn looped_lookup<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let statement = db.prepare("select id, name from customers where email = $1").await?;
        for number in 0..60 {
            db.query(&statement, &[&format!("c{}@example.net", number * 7 % 300)]).await?;
        }
        Ok(json!({ "n": 60 }))
    })
}

fn insert_by_row<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let statement = db.prepare(INSERT).await?;
        for number in 0..30 {
            db.execute(&statement, &[&word(number)]).await?;
        }
        Ok(json!({ "n": 30 }))
    })
}

fn insert_by_copy<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let names: Vec<String> = (0..300).map(word).collect();
        let rows = "insert into tags (name, uses) select name, 0 from unnest($1::text[]) name";
        db.execute(rows, &[&names]).await?;
        Ok(Value::Null)
    })
}

fn update_by_row<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let open = db.transaction().await?;
        let statement = open.prepare("update products set stock = stock + 1 where id = $1").await?;
        for number in 0..30 {
            open.execute(&statement, &[&(500_000 + number * 7)]).await?;
        }
        open.commit().await?;
        Ok(json!({ "n": 30 }))
    })
}

fn same_read_again<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let statement = db.prepare("select name from countries where id = $1").await?;
        for _ in 0..12 {
            db.query(&statement, &[&301]).await?;
        }
        Ok(json!({ "n": 12 }))
    })
}

fn whole_table<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        db.query("select id, device from events", &[]).await?;
        Ok(Value::Null)
    })
}

fn whole_table_by_portal<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let open = db.transaction().await?;
        let portal = open.bind("select id, device from events", &[]).await?;
        while !open.query_portal(&portal, 2_000).await?.is_empty() {}
        open.commit().await?;
        Ok(Value::Null)
    })
}

fn connection_per_query<'a>(_db: &'a mut Client, url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        for number in 0..15 {
            let (own, connection) = connect(url, NoTls).await?;
            let driven = tokio::spawn(connection);
            own.query(CUSTOMER, &[&(7_000 + number * 3)]).await?;
            drop(own);
            // It ends once the client is gone; how doesn't matter here.
            let _ended = driven.await;
        }
        Ok(Value::Null)
    })
}

fn remote_call_in_a_transaction<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let open = db.transaction().await?;
        open.execute("update products set stock = 7 where id = $1", &[&500_000]).await?;
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        open.commit().await?;
        Ok(Value::Null)
    })
}

fn queue_worker<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    const TAKE: &str =
        "select id from jobs where state = 'ready' order by id limit 1 for update skip locked";
    Box::pin(async move {
        for _ in 0..20 {
            let open = db.transaction().await?;
            let id: i32 = open.query_one(TAKE, &[]).await?.get(0);
            open.execute("update jobs set state = 'done' where id = $1", &[&id]).await?;
            open.commit().await?;
        }
        Ok(Value::Null)
    })
}

fn joined<'a>(db: &'a mut Client, _url: &'a str) -> Seen<'a> {
    Box::pin(async move {
        let sql = "select o.id, c.name from orders o join customers c on c.id = o.customer_id \
                   order by o.id desc limit $1";
        db.query(sql, &[&PAGE]).await?;
        Ok(Value::Null)
    })
}

fn scenarios() -> Vec<Scenario> {
    let children = |gate| n_plus_one("orders.id", "items.order_id", gate);
    let to_one = n_plus_one("orders.customer_id", "customers.id", "chain");
    vec![
        finds("lookups_in_a_loop", to_one, 3, lookups_in_a_loop),
        silent("looked_up_by_array", &["n_plus_one", "looped_lookup"], looked_up_by_array),
        silent("joined", &["n_plus_one", "looped_lookup"], joined),
        finds("children_in_a_transaction", children("scope"), 3, children_in_a_transaction),
        finds("portal_in_parts", children("scope"), 3, portal_in_parts),
        finds("children_in_a_pipeline", children("scope"), 3, children_in_a_pipeline),
        finds("looped_lookup", kind("looped_lookup", "customers.email"), 3, looped_lookup),
        finds("insert_by_row", kind("write_loop", "tags"), 3, insert_by_row),
        silent("insert_by_unnest", &["write_loop"], insert_by_copy),
        finds("update_by_row", kind("write_loop", "products"), 3, update_by_row),
        finds("same_read_again", kind("duplicate_query", "countries"), 3, same_read_again),
        finds("whole_table", kind("unbounded_result", "events"), 3, whole_table),
        silent("whole_table_by_portal", &["unbounded_result", "tiny_fetch"], whole_table_by_portal),
        finds(
            "connection_per_query",
            json!({ "kind": "connection_churn" }),
            1,
            connection_per_query,
        ),
        finds(
            "remote_call_in_a_transaction",
            json!({ "kind": "idle_in_transaction" }),
            1,
            remote_call_in_a_transaction,
        ),
        silent("queue_worker", &["n_plus_one", "write_loop"], queue_worker),
    ]
}

async fn played(scenario: &Scenario, url: &str) -> Result<Value, Error> {
    let name = scenario.name;
    let url = format!("{url}_{name}?application_name={name}");
    let (mut db, connection) = connect(&url, NoTls).await?;
    let driven = tokio::spawn(connection);
    let mut seen = Value::Null;
    for repeat in 0..scenario.repeats {
        if repeat > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        seen = (scenario.run)(&mut db, &url).await?;
    }
    drop(db);
    // It ends once the client is gone; how doesn't matter here.
    let _ended = driven.await;
    if seen.is_object() {
        seen["sightings"] = json!(scenario.repeats);
        return Ok(json!([seen]));
    }
    Ok(json!([]))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_list = args.first().is_some_and(|task| task == "list");
    for scenario in scenarios() {
        let Scenario { name, expect, never, .. } = &scenario;
        if is_list {
            println!("{}", json!({ "name": name, "expect": expect, "never": never, "may": [] }));
        } else if args.iter().skip(2).any(|wanted| wanted == name) {
            let answer = match played(&scenario, &args[1]).await {
                Ok(truth) => json!({ "scenario": name, "truth": truth }),
                Err(error) => json!({ "scenario": name, "error": error.to_string() }),
            };
            println!("{answer}");
        }
    }
}
