// node-postgres: `node node_pg.mjs list|run …`. What a program does that writes its SQL by hand.
import { email, finds, kind, main, nPlusOne, PAGE, PAGE_CUSTOMERS, product, require, silent, sleep, upTo, word } from "./scenario.mjs";

const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");

const PAGE_OF_ORDERS = "select id, customer_id, status from orders order by id desc limit $1";
const CUSTOMER = "select id, name from customers where id = $1";
const ITEMS = "select id, quantity from items where order_id = $1";

async function open(url, name) {
  const client = new Pool({ connectionString: url, application_name: name, max: 4 });
  return { client, url, name, close: () => client.end() };
}

async function withTransaction(pool, work) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await work(client);
    await client.query("COMMIT");
  } finally {
    client.release();
  }
}

const distinct = (values) => [...new Set(values)];

finds([nPlusOne("orders.customer_id", "customers.id", { gate: "chain" })], async function lookups_in_a_loop(pool) {
  const { rows } = await pool.query(PAGE_OF_ORDERS, [PAGE]);
  for (const id of distinct(rows.map((row) => row.customer_id))) await pool.query(CUSTOMER, [id]);
  return [{ n: PAGE_CUSTOMERS, rows: PAGE }];
});

silent(["n_plus_one", "looped_lookup"], async function looked_up_by_array(pool) {
  const { rows } = await pool.query(PAGE_OF_ORDERS, [PAGE]);
  await pool.query("select id, name from customers where id = any($1)", [distinct(rows.map((row) => row.customer_id))]);
});

finds([nPlusOne("orders.id", "items.order_id", { gate: "scope" })], async function children_in_a_transaction(pool) {
  await withTransaction(pool, async (client) => {
    const { rows } = await client.query(PAGE_OF_ORDERS, [PAGE]);
    for (const row of rows) await client.query(ITEMS, [row.id]);
  });
  return [{ n: PAGE, rows: PAGE }];
}, { pause: 70 });

finds([nPlusOne("orders.id", "items.order_id", { gate: "scope" })], async function traced_fan_out(pool) {
  const trace = upTo(32).map(() => Math.floor(Math.random() * 16).toString(16)).join("");
  const tag = ` /*route='%2Forders',traceparent='00-${trace}-00f067aa0ba902b7-01'*/`;
  const { rows } = await pool.query(PAGE_OF_ORDERS + tag, [PAGE]);
  await Promise.all(rows.map((row) => pool.query(ITEMS + tag, [row.id])));
  return [{ n: PAGE, rows: PAGE }];
});

silent([], async function fan_out_without_a_trace(pool) {
  // Over several connections at once: found by the burst gate, or not at all; never loud without proof.
  for (const number of upTo(12)) await pool.query(CUSTOMER, [7000 + (number * 37) % 300 * 3]);
}, { pause: 70 });

/** Collects the keys of one turn of the event loop, as DataLoader does. */
class Loader {
  constructor(load) { this.load = load; this.waiting = null; }
  one(key) {
    if (!this.waiting) {
      const keys = [];
      this.waiting = { keys, answer: Promise.resolve().then(() => { this.waiting = null; return this.load(distinct(keys)); }) };
    }
    this.waiting.keys.push(key);
    return this.waiting.answer.then((found) => found.get(key));
  }
}

silent(["n_plus_one", "looped_lookup"], async function data_loader(pool) {
  const loader = new Loader(async (keys) => {
    const { rows } = await pool.query("select id, name from customers where id = any($1)", [keys]);
    return new Map(rows.map((row) => [row.id, row]));
  });
  const { rows } = await pool.query(PAGE_OF_ORDERS, [PAGE]);
  const names = await Promise.all(rows.map(async (row) => (await loader.one(row.customer_id)).name));
  if (names.length !== PAGE) throw new Error("a name is missing");
});

finds([kind("looped_lookup", { child: "customers.email" })], async function looped_lookup(pool) {
  for (const number of upTo(60)) await pool.query("select id, name from customers where email = $1", [email(number)]);
  return [{ n: 60 }];
});

silent([], async function busy_endpoint(pool) {
  for (const number of upTo(40)) {
    await pool.query(CUSTOMER, [7000 + ((number * 37) % 300) * 3]);
    await sleep(8);
  }
}, { repeats: 1 });

finds([kind("write_loop", { child: "tags" })], async function insert_by_row(pool) {
  for (const _ of upTo(30)) await pool.query("insert into tags (name, uses) values ($1, 0)", [word()]);
  return [{ n: 30 }];
});

silent(["write_loop"], async function insert_by_unnest(pool) {
  await pool.query("insert into tags (name, uses) select name, 0 from unnest($1::text[]) name", [upTo(300).map(word)]);
});

finds([kind("write_loop", { child: "products", proof: "observed" })], async function update_by_row(pool) {
  await withTransaction(pool, async (client) => {
    for (const number of upTo(30)) await client.query("update products set stock = stock + 1 where id = $1", [product(number)]);
  });
  return [{ n: 30 }];
});

finds([kind("savepoint_loop")], async function savepoint_by_row(pool) {
  await withTransaction(pool, async (client) => {
    for (const number of upTo(20)) {
      await client.query(`SAVEPOINT row_${number}`);
      await client.query("insert into tags (name, uses) values ($1, 0)", [word()]);
      await client.query(`RELEASE SAVEPOINT row_${number}`);
    }
  });
  return [{ n: 20 }];
}, { may: ["write_loop"] });

finds([kind("duplicate_query", { child: "countries", proof: "sequence" })], async function same_read_again(pool) {
  for (const _ of upTo(12)) await pool.query("select name from countries where id = $1", [301]);
  return [{ n: 12 }];
});

finds([kind("unbounded_result", { child: "events" })], async function whole_table(pool) {
  await pool.query("select id, device from events");
});

silent(["unbounded_result", "tiny_fetch"], async function whole_table_by_cursor(pool) {
  const client = await pool.connect();
  const cursor = client.query(new Cursor("select id, device from events"));
  while ((await cursor.read(2000)).length > 0);
  await cursor.close();
  client.release();
});

finds([kind("tiny_fetch")], async function tiny_fetches(pool) {
  const client = await pool.connect();
  const cursor = client.query(new Cursor("select id from events limit 400"));
  while ((await cursor.read(5)).length > 0);
  await cursor.close();
  client.release();
});

finds([kind("in_list_churn")], async function lists_of_every_length(pool) {
  for (const number of upTo(30)) {
    const ids = upTo(((number * 7) % 30) + 1).map(product);
    await pool.query(`select name from products where id in (${ids.map((_, at) => `$${at + 1}`)})`, ids);
    await sleep(60);
  }
}, { repeats: 1 });

silent(["in_list_churn"], async function arrays_of_every_length(pool) {
  for (const number of upTo(30)) {
    await pool.query("select name from products where id = any($1)", [upTo(((number * 7) % 30) + 1).map(product)]);
    await sleep(60);
  }
}, { repeats: 1 });

finds([kind("connection_churn")], async function connection_per_query(_pool, { url, name }) {
  for (const number of upTo(15)) {
    const client = new Client({ connectionString: url, application_name: name });
    await client.connect();
    await client.query(CUSTOMER, [7000 + number * 3]);
    await client.end();
  }
}, { repeats: 1 });

finds([kind("sequential_independent")], async function reports_one_after_another(pool) {
  await withTransaction(pool, async (client) => {
    for (const report of ["sales", "stock", "country", "payment"]) await client.query(`select * from ${report}_report`);
  });
});

silent(["sequential_independent"], async function reports_at_once(pool) {
  await Promise.all(["sales", "stock", "country", "payment"].map((report) => pool.query(`select * from ${report}_report`)));
});

silent(["n_plus_one", "write_loop", "looped_lookup"], async function queue_worker(pool) {
  for (const _ of upTo(20)) {
    await withTransaction(pool, async (client) => {
      const take = "select id from jobs where state = 'ready' order by id limit 1 for update skip locked";
      const { rows } = await client.query(take);
      await client.query("update jobs set state = 'done' where id = $1", [rows[0].id]);
    });
  }
});

await main(open);
