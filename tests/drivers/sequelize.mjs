// Sequelize on node-postgres: `node sequelize.mjs list|run …`. Values as literals over the simple protocol.
import { email, finds, kind, main, nPlusOne, PAGE, PAGE_CUSTOMERS, product, require, silent, sleep, upTo, word } from "./scenario.mjs";

const { DataTypes, Op, Sequelize } = require("sequelize");

function models(db) {
  const id = { type: DataTypes.BIGINT, primaryKey: true };
  const own = (tableName) => ({ tableName, timestamps: false });
  const Customer = db.define("Customer", { id: { ...id, type: DataTypes.INTEGER }, name: DataTypes.TEXT, email: DataTypes.TEXT }, own("customers"));
  const Order = db.define("Order", { id, customer_id: DataTypes.INTEGER, status: DataTypes.TEXT }, own("orders"));
  const Item = db.define("Item", { id, order_id: DataTypes.BIGINT, product_id: DataTypes.INTEGER, quantity: DataTypes.INTEGER }, own("items"));
  const Payment = db.define("Payment", { id, order_id: DataTypes.BIGINT, cents: DataTypes.INTEGER }, own("payments"));
  const Product = db.define("Product", { id: { ...id, type: DataTypes.INTEGER }, name: DataTypes.TEXT, stock: DataTypes.INTEGER }, own("products"));
  const Event = db.define("Event", { id: { ...id, type: DataTypes.INTEGER }, device: DataTypes.TEXT }, own("events"));
  const Tag = db.define("Tag", { id: { ...id, autoIncrement: true }, name: DataTypes.TEXT, uses: DataTypes.INTEGER }, own("tags"));
  Order.belongsTo(Customer, { foreignKey: "customer_id" });
  Order.hasMany(Item, { foreignKey: "order_id" });
  Order.hasMany(Payment, { foreignKey: "order_id" });
  Item.belongsTo(Product, { foreignKey: "product_id" });
  return { Customer, Order, Item, Payment, Product, Event, Tag };
}

async function open(url, name) {
  const db = new Sequelize(url, { logging: false, pool: { max: 1, idle: 60000 }, dialectOptions: { application_name: name } });
  return { client: Object.assign({ db }, models(db)), close: () => db.close() };
}

const newest = (more = {}) => ({ order: [["id", "DESC"]], limit: PAGE, ...more });

finds([nPlusOne("orders.customer_id", "customers.id")], async function lazy_to_one(shop) {
  const seen = new Set();
  for (const order of await shop.Order.findAll(newest())) {
    if (!seen.has(order.customer_id)) await order.getCustomer();
    seen.add(order.customer_id);
  }
  return [{ n: PAGE_CUSTOMERS, rows: PAGE }];
});

silent(["n_plus_one", "looped_lookup"], async function to_one_included(shop) {
  await shop.Order.findAll(newest({ include: shop.Customer }));
});

finds([nPlusOne("orders.id", "items.order_id")], async function lazy_to_many(shop) {
  for (const order of await shop.Order.findAll(newest())) await order.getItems();
  return [{ n: PAGE, rows: PAGE }];
});

silent(["n_plus_one"], async function to_many_separate(shop) {
  await shop.Order.findAll(newest({ include: [{ model: shop.Item, separate: true }, { model: shop.Payment, separate: true }] }));
});

finds([nPlusOne("orders.id", "items.order_id", { variant: "aggregate" })], async function count_per_parent(shop) {
  for (const order of await shop.Order.findAll(newest({ limit: 20 }))) await order.countItems();
  return [{ n: 20, rows: 20 }];
});

finds([nPlusOne("orders.id", "items.order_id", { gate: "scope" })], async function lazy_in_a_transaction(shop) {
  await shop.db.transaction(async (transaction) => {
    for (const order of await shop.Order.findAll(newest({ transaction }))) await order.getItems({ transaction });
  });
  return [{ n: PAGE, rows: PAGE }];
}, { pause: 70 });

finds([kind("cartesian_explosion")], async function two_collections_joined(shop) {
  await shop.Order.findAll({ include: [shop.Item, shop.Payment] });
});

finds([kind("looped_lookup", { child: "customers.email" })], async function looped_lookup(shop) {
  for (const number of upTo(60)) await shop.Customer.findOne({ where: { email: email(number) } });
  return [{ n: 60 }];
});

silent(["looped_lookup"], async function looked_up_at_once(shop) {
  await shop.Customer.findAll({ where: { email: { [Op.in]: upTo(60).map(email) } } });
});

finds([kind("write_loop", { child: "tags" })], async function create_by_row(shop) {
  for (const _ of upTo(30)) await shop.Tag.create({ name: word(), uses: 0 });
  return [{ n: 30 }];
});

silent(["write_loop"], async function bulk_create(shop) {
  await shop.Tag.bulkCreate(upTo(200).map(() => ({ name: word(), uses: 0 })));
});

// It never releases its savepoints, so what is seen is the loop of INSERTs.
finds([kind("write_loop", { child: "tags", proof: "observed" })], async function nested_transactions(shop) {
  await shop.db.transaction(async (transaction) => {
    for (const _ of upTo(20)) {
      await shop.db.transaction({ transaction }, (inner) => shop.Tag.create({ name: word(), uses: 0 }, { transaction: inner }));
    }
  });
  return [{ n: 20 }];
}, { may: ["write_loop"] });

finds([kind("large_in_list")], async function huge_in_list(shop) {
  await shop.Product.findAll({ where: { id: upTo(1200).map(product) } });
});

finds([kind("unbounded_result", { child: "events" })], async function whole_table(shop) {
  await shop.Event.findAll({ raw: true });
});

finds([kind("deep_offset", { child: "events" })], async function offset_pages(shop) {
  for (const number of upTo(12)) {
    await shop.Event.findAll({ order: [["id", "ASC"]], offset: number * 1900, limit: 20 });
    await sleep(60);
  }
});

silent(["deep_offset", "n_plus_one"], async function keyset_pages(shop) {
  let last = 0;
  for (const _ of upTo(12)) {
    const rows = await shop.Event.findAll({ where: { id: { [Op.gt]: last } }, order: [["id", "ASC"]], limit: 20 });
    last = rows.at(-1).id;
    await sleep(60);
  }
});

await main(open);
