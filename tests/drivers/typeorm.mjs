// TypeORM on node-postgres: `node typeorm.mjs list|run …`.
import { email, finds, kind, main, nPlusOne, PAGE, product, require, silent, sleep, upTo, word } from "./scenario.mjs";

const { DataSource, EntitySchema, In } = require("typeorm");

const int = (more = {}) => ({ type: "int", ...more });
const text = () => ({ type: "text" });
const id = { type: "bigint", primary: true };
const to = (target, column, inverseSide) => ({ target, type: "many-to-one", joinColumn: { name: column }, inverseSide, lazy: true });
const from = (target, inverseSide) => ({ target, type: "one-to-many", inverseSide, lazy: true });

const Customer = new EntitySchema({
  name: "Customer", tableName: "customers",
  columns: { id: int({ primary: true }), name: text(), email: text() },
  relations: { orders: from("Order", "customer") },
});
const Order = new EntitySchema({
  name: "Order", tableName: "orders",
  columns: { id, status: text(), customer_id: int() },
  relations: { customer: to("Customer", "customer_id", "orders"), items: from("Item", "order"), payments: from("Payment", "order") },
});
const Item = new EntitySchema({
  name: "Item", tableName: "items",
  columns: { id, order_id: { type: "bigint" }, product_id: int(), quantity: int() },
  relations: { order: to("Order", "order_id", "items"), product: to("Product", "product_id") },
});
const Payment = new EntitySchema({
  name: "Payment", tableName: "payments",
  columns: { id, cents: int() },
  relations: { order: to("Order", "order_id", "payments") },
});
const Product = new EntitySchema({
  name: "Product", tableName: "products",
  columns: { id: int({ primary: true }), name: text(), stock: int() },
});
const Event = new EntitySchema({
  name: "Event", tableName: "events",
  columns: { id: int({ primary: true }), device: text() },
});
const Document = new EntitySchema({
  name: "Document", tableName: "documents",
  columns: { id: int({ primary: true }), title: text(), body: text() },
});
const Tag = new EntitySchema({
  name: "Tag", tableName: "tags",
  columns: { id: { type: "bigint", primary: true, generated: "identity" }, name: text(), uses: int() },
});
const entities = [Customer, Order, Item, Payment, Product, Event, Document, Tag];

async function open(url, name) {
  const client = new DataSource({ type: "postgres", url, applicationName: name, entities, extra: { max: 1 } });
  await client.initialize();
  return { client, close: () => client.destroy() };
}

const page = (manager, relations = {}, take = PAGE) => manager.getRepository(Order).find({ order: { id: "DESC" }, take, relations });

finds([nPlusOne("items.product_id", "products.id")], async function lazy_to_one(db) {
  // TypeORM joins back from the item, so the child's key may be the item's own.
  const items = await db.manager.getRepository(Item).find({ order: { id: "DESC" }, take: 30 });
  for (const item of items) await db.manager.getRepository(Product).findOneBy({ id: item.product_id });
  return [{ n: 30, rows: 30 }];
});

finds([nPlusOne("items.id", "items.id")], async function lazy_relation(db) {
  const items = await db.manager.getRepository(Item).find({ order: { id: "DESC" }, take: 30 });
  for (const item of items) await item.product;
  return [{ n: 30, rows: 30 }];
});

silent(["n_plus_one", "looped_lookup"], async function relation_joined(db) {
  const items = await db.manager.getRepository(Item).find({ order: { id: "DESC" }, take: 30, relations: { product: true } });
  for (const item of items) await item.product;
});

finds([nPlusOne("orders.id", "items.order_id")], async function lazy_to_many(db) {
  for (const order of await page(db.manager)) await order.items;
  return [{ n: PAGE, rows: PAGE }];
});

silent(["n_plus_one", "cartesian_explosion"], async function to_many_by_queries(db) {
  const orders = await db.manager.getRepository(Order).find({
    order: { id: "DESC" }, take: PAGE, relations: { items: true, payments: true }, relationLoadStrategy: "query",
  });
  for (const order of orders) await order.items;
});

finds([nPlusOne("orders.id", "items.order_id", { gate: "scope" })], async function lazy_to_many_in_a_transaction(db) {
  await db.transaction(async (manager) => {
    for (const order of await page(manager)) await manager.getRepository(Item).findBy({ order_id: order.id });
  });
  return [{ n: PAGE, rows: PAGE }];
}, { pause: 70 });

finds([kind("cartesian_explosion")], async function two_collections_joined(db) {
  await db.manager.getRepository(Order).find({ relations: { items: true, payments: true } });
});

// It reads each row again before it writes it.
finds([kind("upsert_loop", { child: "products" })], async function save_by_row(db) {
  const products = await db.manager.getRepository(Product).find({ order: { id: "ASC" }, take: 30 });
  for (const one of products) {
    one.stock += 1;
    await db.manager.getRepository(Product).save(one);
  }
  return [{ n: 30 }];
}, { may: ["n_plus_one", "upsert_loop"] });

silent(["write_loop"], async function insert_at_once(db) {
  await db.manager.getRepository(Tag).insert(upTo(200).map(() => ({ name: word(), uses: 0 })));
});

silent(["upsert_loop", "write_loop"], async function upsert_at_once(db) {
  await db.manager.getRepository(Tag).upsert(upTo(20).map((number) => ({ name: `tag-${number + 1}`, uses: 1 })), ["name"]);
});

finds([kind("looped_lookup", { child: "customers.email" })], async function looped_lookup(db) {
  for (const number of upTo(60)) await db.manager.getRepository(Customer).findOneBy({ email: email(number) });
  return [{ n: 60 }];
});

silent(["looped_lookup"], async function looked_up_at_once(db) {
  await db.manager.getRepository(Customer).findBy({ email: In(upTo(60).map(email)) });
});

finds([kind("large_in_list")], async function huge_in_list(db) {
  await db.manager.getRepository(Product).findBy({ id: In(upTo(1200).map(product)) });
});

finds([kind("unbounded_result", { child: "events" })], async function whole_table(db) {
  await db.manager.getRepository(Event).find();
});

finds([kind("deep_offset", { child: "events" })], async function offset_pages(db) {
  for (const number of upTo(12)) {
    await db.manager.getRepository(Event).find({ order: { id: "ASC" }, skip: number * 1900, take: 20 });
    await sleep(60);
  }
});

silent(["wide_fetch"], async function titles_only(db) {
  await db.manager.getRepository(Document).find({ select: { id: true, title: true }, take: 60 });
});

await main(open);
