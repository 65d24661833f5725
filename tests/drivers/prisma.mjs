// Prisma on pg by its adapter: `node prisma.mjs list|run …`.
import { email, finds, kind, main, nPlusOne, PAGE, product, require, silent, sleep, upTo, word } from "./scenario.mjs";

const { PrismaClient } = require("./shop-client");
const { PrismaPg } = require("@prisma/adapter-pg");

async function open(url, name) {
  const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, application_name: name, max: 1 }) });
  return { client, close: () => client.$disconnect() };
}

const page = (db, include) => db.order.findMany({ orderBy: { id: "desc" }, take: PAGE, include });

finds([nPlusOne("orders.customer_id", "customers.id")], async function find_unique_in_a_loop(db) {
  const seen = new Set();
  for (const order of await page(db)) {
    if (!seen.has(order.customer_id)) await db.customer.findUnique({ where: { id: order.customer_id } });
    seen.add(order.customer_id);
  }
  return [{ n: seen.size, rows: PAGE }];
});

silent(["n_plus_one", "looped_lookup"], async function find_unique_batched(db) {
  // findUnique calls of one turn are batched by Prisma itself.
  const orders = await page(db);
  await Promise.all(orders.map((order) => db.customer.findUnique({ where: { id: order.customer_id } })));
});

silent(["n_plus_one", "looped_lookup"], async function included(db) {
  if (!(await page(db, { customer: true })).every((order) => order.customer.name)) throw new Error("no name");
});

finds([nPlusOne("orders.id", "items.order_id")], async function children_in_a_loop(db) {
  for (const order of await page(db)) await db.item.findMany({ where: { order_id: order.id } });
  return [{ n: PAGE, rows: PAGE }];
});

silent(["n_plus_one"], async function nested_include(db) {
  await page(db, { items: { include: { product: true } }, payments: true });
});

finds([nPlusOne("orders.id", "items.order_id", { gate: "scope" })], async function children_in_a_transaction(db) {
  await db.$transaction(async (tx) => {
    for (const order of await page(tx)) await tx.item.findMany({ where: { order_id: order.id } });
  });
  return [{ n: PAGE, rows: PAGE }];
});

finds([nPlusOne("customers.id", "orders.customer_id", { variant: "aggregate" })], async function count_per_parent(db) {
  const customers = await db.customer.findMany({ orderBy: { id: "asc" }, take: 20 });
  for (const customer of customers) await db.order.count({ where: { customer_id: customer.id } });
  return [{ n: 20, rows: 20 }];
});

silent(["n_plus_one"], async function counted_with_the_parents(db) {
  await db.customer.findMany({ orderBy: { id: "asc" }, take: 20, include: { _count: { select: { orders: true } } } });
});

finds([kind("looped_lookup", { child: "customers.email" })], async function looped_lookup(db) {
  for (const number of upTo(60)) await db.customer.findUnique({ where: { email: email(number) } });
  return [{ n: 60 }];
});

silent(["looped_lookup"], async function looked_up_at_once(db) {
  await db.customer.findMany({ where: { email: { in: upTo(60).map(email) } } });
});

finds([kind("write_loop", { child: "tags" })], async function create_by_row(db) {
  for (const _ of upTo(30)) await db.tag.create({ data: { name: word(), uses: 0 } });
  return [{ n: 30 }];
});

silent(["write_loop"], async function create_many(db) {
  await db.tag.createMany({ data: upTo(200).map(() => ({ name: word(), uses: 0 })) });
});

finds([kind("unbounded_result", { child: "events" })], async function whole_table(db) {
  await db.event.findMany();
});

finds([kind("deep_offset", { child: "events" })], async function offset_pages(db) {
  for (const number of upTo(12)) {
    await db.event.findMany({ orderBy: { id: "asc" }, skip: number * 1900, take: 20 });
    await sleep(60);
  }
});

silent(["deep_offset"], async function cursor_pages(db) {
  let last = 900001;
  for (const _ of upTo(12)) {
    const rows = await db.event.findMany({ orderBy: { id: "asc" }, cursor: { id: last }, skip: 1, take: 20 });
    last = rows.at(-1).id;
    await sleep(60);
  }
});

finds([kind("wide_fetch", { column: "documents.body" })], async function bodies_for_a_list_of_titles(db) {
  await db.document.findMany({ take: 60 });
}, { repeats: 4 });

silent(["wide_fetch"], async function bodies_omitted(db) {
  await db.document.findMany({ take: 60, omit: { body: true } });
});

finds([kind("large_in_list")], async function huge_in_list(db) {
  await db.product.findMany({ where: { id: { in: upTo(1200).map(product) } } });
});

finds([kind("idle_in_transaction")], async function remote_call_in_a_transaction(db) {
  await db.$transaction(async (tx) => {
    await tx.product.update({ where: { id: 500000 }, data: { stock: 7 } });
    await sleep(1300);
  });
}, { repeats: 1 });

silent([], async function updates_at_once(db) {
  await db.product.updateMany({ where: { id: { lt: 500210 } }, data: { stock: { increment: 1 } } });
});

await main(open);
