//! The shop: texts, the columns of their results, and data that are a function of their keys.

use super::chance::{Chance, mixed};
use pgsonde_analyzer::record::Tag;

/// One statement text. Columns: table OID, attribute number, label.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) sql: &'static str,
    pub(super) columns: &'static [(u32, i16, &'static str)],
    pub(super) tag: Tag,
    /// Median service time.
    pub(super) us: u64,
}

type Columns = &'static [(u32, i16, &'static str)];

const fn read(sql: &'static str, columns: Columns, us: u64) -> Query {
    Query { sql, columns, tag: Tag::Select, us }
}

const fn write(sql: &'static str, columns: Columns, tag: Tag) -> Query {
    Query { sql, columns, tag, us: 500 }
}

const CUSTOMERS: u32 = 20_001;
const CITIES: u32 = 20_002;
const PRODUCTS: u32 = 20_003;
const CATEGORIES: u32 = 20_004;
const ORDERS: u32 = 20_005;
const ITEMS: u32 = 20_006;
const REVIEWS: u32 = 20_007;
const JOBS: u32 = 20_008;

const CUSTOMER_COLUMNS: Columns = &[(CUSTOMERS, 1, "id"), (CUSTOMERS, 4, "city_id")];
const ORDER_COLUMNS: Columns =
    &[(ORDERS, 1, "id"), (ORDERS, 2, "customer_id"), (ORDERS, 5, "shop_id")];
const ITEM_COLUMNS: Columns = &[(ITEMS, 1, "id"), (ITEMS, 2, "order_id"), (ITEMS, 3, "product_id")];
const PRODUCT_COLUMNS: Columns = &[(PRODUCTS, 1, "id"), (PRODUCTS, 3, "category_id")];
const REVIEW_COLUMNS: Columns =
    &[(REVIEWS, 1, "id"), (REVIEWS, 2, "product_id"), (REVIEWS, 3, "customer_id")];

pub(super) static CUSTOMER: Query =
    read("SELECT id, city_id FROM customers WHERE id = $1", CUSTOMER_COLUMNS, 300);
pub(super) static CITY: Query =
    read("SELECT id, name FROM cities WHERE id = $1", &[(CITIES, 1, "id")], 200);
pub(super) static CITY_LIST: Query =
    read("SELECT id, name FROM cities ORDER BY name", &[(CITIES, 1, "id")], 400);
pub(super) static ORDER: Query =
    read("SELECT id, customer_id, shop_id FROM orders WHERE id = $1", ORDER_COLUMNS, 300);
pub(super) static ORDER_PAGE: Query = read(
    "SELECT id, customer_id, shop_id FROM orders WHERE shop_id = $1 ORDER BY id DESC LIMIT $2",
    ORDER_COLUMNS,
    2_000,
);
pub(super) static ORDER_KEYSET: Query = read(
    "SELECT id, customer_id, shop_id FROM orders WHERE id > $1 ORDER BY id LIMIT $2",
    ORDER_COLUMNS,
    2_000,
);
pub(super) static ORDERS_OF_CUSTOMER: Query =
    read("SELECT id, customer_id, shop_id FROM orders WHERE customer_id = $1", ORDER_COLUMNS, 600);
pub(super) static ITEMS_OF_ORDER: Query =
    read("SELECT id, order_id, product_id FROM items WHERE order_id = $1", ITEM_COLUMNS, 400);
pub(super) static PRODUCT: Query =
    read("SELECT id, category_id FROM products WHERE id = $1", PRODUCT_COLUMNS, 300);
pub(super) static PRODUCT_SEARCH: Query = read(
    "SELECT id, category_id FROM products WHERE name LIKE $1 ORDER BY name LIMIT $2",
    PRODUCT_COLUMNS,
    4_000,
);
pub(super) static PRODUCT_TOP: Query = read(
    "SELECT id, category_id FROM products ORDER BY sold DESC LIMIT $1",
    PRODUCT_COLUMNS,
    1_000,
);
pub(super) static PRODUCT_COUNT: Query =
    read("SELECT count(*) FROM products WHERE name LIKE $1", &[], 3_000);
pub(super) static CATEGORY: Query =
    read("SELECT id, name FROM categories WHERE id = $1", &[(CATEGORIES, 1, "id")], 200);
pub(super) static REVIEWS_OF_PRODUCT: Query = read(
    "SELECT id, product_id, customer_id FROM reviews WHERE product_id = $1",
    REVIEW_COLUMNS,
    700,
);
pub(super) static REVIEW_COUNT: Query =
    read("SELECT count(*) FROM reviews WHERE product_id = $1", &[], 500);
pub(super) static SALES: Query = read(
    "SELECT category_id, sum(price) FROM products GROUP BY category_id",
    &[(PRODUCTS, 3, "category_id")],
    30_000,
);
pub(super) static JOBS_WAITING: Query =
    read("SELECT id FROM jobs WHERE state = $1", &[(JOBS, 1, "id")], 300);
pub(super) static JOB_CLAIM: Query = write(
    "UPDATE jobs SET state = 1 WHERE id = (SELECT id FROM jobs WHERE state = $1 LIMIT 1) RETURNING id",
    &[(JOBS, 1, "id")],
    Tag::Update,
);
pub(super) static JOB_DONE: Query =
    write("UPDATE jobs SET state = 2 WHERE id = $1", &[], Tag::Update);
pub(super) static ORDER_INSERT: Query = write(
    "INSERT INTO orders (customer_id, shop_id) VALUES ($1, $2) RETURNING id",
    &[(ORDERS, 1, "id")],
    Tag::Insert,
);
pub(super) static ITEM_INSERT: Query = write(
    "INSERT INTO items (order_id, product_id) VALUES ($1, $2) RETURNING id",
    &[(ITEMS, 1, "id")],
    Tag::Insert,
);
pub(super) static ORDER_TOTAL: Query =
    write("UPDATE orders SET total = $1 WHERE id = $2", &[], Tag::Update);
pub(super) static CUSTOMERS_IN: Query =
    read("SELECT id, city_id FROM customers WHERE id IN ", CUSTOMER_COLUMNS, 1_000);
pub(super) static PRODUCTS_IN: Query =
    read("SELECT id, category_id FROM products WHERE id IN ", PRODUCT_COLUMNS, 1_000);
pub(super) static ITEMS_IN: Query =
    read("SELECT id, order_id, product_id FROM items WHERE order_id IN ", ITEM_COLUMNS, 1_500);
pub(super) static PING: Query = read("SELECT 1", &[], 100);

const CUSTOMER_COUNT: u64 = 5_000;
const PRODUCT_COUNT_TOTAL: u64 = 3_000;
const ORDER_COUNT: u64 = 40_000;
const CITY_COUNT: u64 = 40;
const CATEGORY_COUNT: u64 = 12;
/// Offset of keys, by table: some drivers number every table from 1, so they overlap.
const PRODUCT_FIRST: i64 = 100;

pub(super) fn some_customer(chance: &mut Chance) -> i64 {
    chance.zipf(CUSTOMER_COUNT)
}

pub(super) fn some_product(chance: &mut Chance) -> i64 {
    PRODUCT_FIRST + chance.zipf(PRODUCT_COUNT_TOTAL)
}

/// Recent orders are asked for most.
pub(super) fn some_order(chance: &mut Chance) -> i64 {
    ORDER_COUNT as i64 - chance.zipf(ORDER_COUNT) + 1
}

fn of(domain: u64, key: i64) -> Chance {
    Chance::new(mixed(domain.wrapping_mul(0x1_0000_0001) ^ key as u64))
}

pub(super) fn customer_of(order: i64) -> i64 {
    some_customer(&mut of(1, order))
}

pub(super) fn city_of(customer: i64) -> i64 {
    of(2, customer).zipf(CITY_COUNT)
}

pub(super) fn category_of(product: i64) -> i64 {
    of(3, product).between(1, CATEGORY_COUNT) as i64
}

/// (item, product), one to five of an order.
pub(super) fn items_of(order: i64) -> Vec<(i64, i64)> {
    let mut chance = of(4, order);
    let count = chance.between(1, 5) as i64;
    (0..count).map(|n| (order * 8 + n, some_product(&mut chance))).collect()
}

/// (review, customer) of a product.
pub(super) fn reviews_of(product: i64) -> Vec<(i64, i64)> {
    let mut chance = of(5, product);
    let count = chance.below(25) as i64;
    (0..count).map(|n| (product * 32 + n, some_customer(&mut chance))).collect()
}

/// A page of orders: their keys.
pub(super) fn order_page(chance: &mut Chance, rows: usize) -> Vec<i64> {
    let first = some_order(chance).max(rows as i64 * 4 + 1);
    let mut key = first;
    let next = |_| {
        key -= 1 + (mixed(key as u64) % 3) as i64;
        key
    };
    (0..rows).map(next).collect()
}

/// Products whose name matches.
pub(super) fn found_products(word: i64, rows: usize) -> Vec<i64> {
    let mut chance = of(6, word);
    let mut found = Vec::new();
    while found.len() < rows {
        let product = PRODUCT_FIRST + chance.between(1, PRODUCT_COUNT_TOTAL) as i64;
        if !found.contains(&product) {
            found.push(product);
        }
    }
    found
}

/// The best sold ones.
pub(super) fn top_products(rows: usize) -> Vec<i64> {
    (1..=rows as i64).map(|rank| PRODUCT_FIRST + rank).collect()
}

pub(super) fn cities() -> Vec<i64> {
    (1..=CITY_COUNT as i64).collect()
}

pub(super) fn categories() -> Vec<i64> {
    (1..=CATEGORY_COUNT as i64).collect()
}
