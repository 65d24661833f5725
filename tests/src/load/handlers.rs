//! What the shop's requests do. Each dirty handler has a clean twin that uses the same texts.

use super::chance::Chance;
use super::script::Script;
use super::shop::*;

/// A handler.
type Handler = fn(&mut Script, &mut Chance);

/// Clean handlers and how often they are asked for.
const CLEAN: &[(u64, Handler)] = &[
    (10, order_list),
    (14, order_detail),
    (16, product_page),
    (6, search),
    (3, export),
    (8, checkout),
    (6, worker),
    (10, polling),
    (1, report),
    (10, profile),
    (20, customer_api),
    (8, city_api),
    (6, top_list),
];

/// Handlers with planted loops.
const DIRTY: &[Handler] = &[
    dirty_customers,
    dirty_items,
    dirty_counts,
    dirty_nested,
    dirty_reviewers,
    dirty_interleaved,
    dirty_refresh,
];

/// Handlers that fan out over the pool.
const FAN_OUT: &[Handler] = &[fanned_items, fanned_reviewers];

pub(super) fn clean(chance: &mut Chance) -> Script {
    let total: u64 = CLEAN.iter().map(|(weight, _)| weight).sum();
    let mut at = chance.below(total);
    let mut script = Script::default();
    for (weight, handler) in CLEAN {
        if at < *weight {
            handler(&mut script, chance);
            break;
        }
        at -= weight;
    }
    script
}

pub(super) fn dirty(chance: &mut Chance, fan_out: bool) -> Script {
    let handlers = if fan_out { FAN_OUT } else { DIRTY };
    let mut script = Script::default();
    handlers[chance.below(handlers.len() as u64) as usize](&mut script, chance);
    script
}

fn order_cells(orders: &[i64]) -> Vec<Vec<i64>> {
    let customers = orders.iter().map(|order| customer_of(*order)).collect();
    vec![orders.to_vec(), customers, vec![3; orders.len()]]
}

fn item_cells(orders: &[i64]) -> Vec<Vec<i64>> {
    let mut cells = vec![Vec::new(); 3];
    for order in orders {
        for (item, product) in items_of(*order) {
            cells[0].push(item);
            cells[1].push(*order);
            cells[2].push(product);
        }
    }
    cells
}

fn product_cells(products: &[i64]) -> Vec<Vec<i64>> {
    vec![products.to_vec(), products.iter().map(|product| category_of(*product)).collect()]
}

fn review_cells(product: i64) -> Vec<Vec<i64>> {
    let (reviews, customers): (Vec<i64>, Vec<i64>) = reviews_of(product).into_iter().unzip();
    vec![reviews.clone(), vec![product; reviews.len()], customers]
}

fn customer_cells(customers: &[i64]) -> Vec<Vec<i64>> {
    vec![customers.to_vec(), customers.iter().map(|customer| city_of(*customer)).collect()]
}

/// In order of first occurrence, as an identity map leaves them.
fn distinct(values: &[i64]) -> Vec<i64> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(value) {
            seen.push(*value);
        }
    }
    seen
}

fn read_page(s: &mut Script, c: &mut Chance, rows: usize) -> Vec<i64> {
    let orders = order_page(c, rows);
    s.exec(c, &ORDER_PAGE, &[3, rows as i64], order_cells(&orders));
    orders
}

fn read_customer(s: &mut Script, c: &mut Chance, customer: i64) {
    s.exec(c, &CUSTOMER, &[customer], customer_cells(&[customer]));
}

fn read_product(s: &mut Script, c: &mut Chance, product: i64) {
    s.exec(c, &PRODUCT, &[product], product_cells(&[product]));
}

fn read_items(s: &mut Script, c: &mut Chance, order: i64) -> Vec<i64> {
    let cells = item_cells(&[order]);
    let products = cells[2].clone();
    s.exec(c, &ITEMS_OF_ORDER, &[order], cells);
    products
}

fn order_list(s: &mut Script, c: &mut Chance) {
    let rows = c.between(10, 50) as usize;
    let orders = read_page(s, c, rows);
    let customers = distinct(&order_cells(&orders)[1]);
    s.list(c, &CUSTOMERS_IN, &customers, customer_cells(&customers));
    s.list(c, &ITEMS_IN, &orders, item_cells(&orders));
}

fn order_detail(s: &mut Script, c: &mut Chance) {
    let order = some_order(c);
    s.exec(c, &ORDER, &[order], order_cells(&[order]));
    let products = distinct(&read_items(s, c, order));
    s.list(c, &PRODUCTS_IN, &products, product_cells(&products));
    read_customer(s, c, customer_of(order));
}

fn product_page(s: &mut Script, c: &mut Chance) {
    let product = some_product(c);
    read_product(s, c, product);
    let category = category_of(product);
    s.exec(c, &CATEGORY, &[category], vec![vec![category]]);
    let cells = review_cells(product);
    let customers = distinct(&cells[2]);
    s.exec(c, &REVIEWS_OF_PRODUCT, &[product], cells);
    s.list(c, &CUSTOMERS_IN, &customers, customer_cells(&customers));
    s.exec(c, &REVIEW_COUNT, &[product], Vec::new());
}

fn search(s: &mut Script, c: &mut Chance) {
    let word = c.zipf(300);
    s.exec(c, &PRODUCT_COUNT, &[word], Vec::new());
    let found = found_products(word, 20);
    s.exec(c, &PRODUCT_SEARCH, &[word, 20], product_cells(&found));
    // The visitor opens one of them.
    if c.below(3) == 0 {
        let product = found[c.below(20) as usize];
        read_product(s, c, product);
    }
}

fn export(s: &mut Script, c: &mut Chance) {
    s.thinks(2_000);
    let mut after = some_order(c).saturating_sub(600).max(1);
    for _ in 0..c.between(4, 12) {
        let orders: Vec<i64> = (after + 1..=after + 50).collect();
        s.exec(c, &ORDER_KEYSET, &[after, 50], order_cells(&orders));
        s.list(c, &ITEMS_IN, &orders, item_cells(&orders));
        after += 50;
    }
}

fn checkout(s: &mut Script, c: &mut Chance) {
    let (customer, order) = (some_customer(c), 1_000_000 + c.below(1 << 40) as i64);
    read_customer(s, c, customer);
    s.exec(c, &ORDER_INSERT, &[customer, 3], vec![vec![order]]);
    for n in 0..c.between(1, 4) as i64 {
        let product = some_product(c);
        read_product(s, c, product);
        s.exec(c, &ITEM_INSERT, &[order, product], vec![vec![order * 8 + n]]);
    }
    s.exec(c, &ORDER_TOTAL, &[99, order], Vec::new());
}

/// Jobs one by one, each in its own transaction.
fn worker(s: &mut Script, c: &mut Chance) {
    let first = c.below(1 << 40) as i64;
    for job in first..first + c.between(3, 20) as i64 {
        s.exec(c, &JOB_CLAIM, &[0], vec![vec![job]]);
        let order = some_order(c);
        s.exec(c, &ORDER, &[order], order_cells(&[order]));
        read_customer(s, c, customer_of(order));
        s.exec(c, &JOB_DONE, &[job], Vec::new());
        s.commit();
    }
}

fn polling(s: &mut Script, c: &mut Chance) {
    s.exec(c, &PING, &[], Vec::new());
    s.exec(c, &JOBS_WAITING, &[0], vec![Vec::new()]);
}

fn report(s: &mut Script, c: &mut Chance) {
    s.exec(c, &SALES, &[], vec![categories()]);
    s.exec(c, &CITY_LIST, &[], vec![cities()]);
}

fn profile(s: &mut Script, c: &mut Chance) {
    let customer = some_customer(c);
    read_customer(s, c, customer);
    let city = city_of(customer);
    s.exec(c, &CITY, &[city], vec![vec![city]]);
    let orders: Vec<i64> = (0..c.below(9) as i64).map(|n| customer * 7 + n * 11).collect();
    let customers = vec![customer; orders.len()];
    let cells = vec![orders.clone(), customers, vec![3; orders.len()]];
    s.exec(c, &ORDERS_OF_CUSTOMER, &[customer], cells);
    s.list(c, &ITEMS_IN, &orders, item_cells(&orders));
}

/// A hot endpoint: one look-up.
fn customer_api(s: &mut Script, c: &mut Chance) {
    let customer = some_customer(c);
    read_customer(s, c, customer);
}

/// A small table that everybody asks.
fn city_api(s: &mut Script, c: &mut Chance) {
    if c.below(8) == 0 {
        s.exec(c, &CITY_LIST, &[], vec![cities()]);
    } else {
        let city = c.zipf(40);
        s.exec(c, &CITY, &[city], vec![vec![city]]);
    }
}

/// The hottest keys as a list, and then one of them.
fn top_list(s: &mut Script, c: &mut Chance) {
    let top = top_products(10);
    s.exec(c, &PRODUCT_TOP, &[10], product_cells(&top));
    let product = top[c.below(10) as usize];
    read_product(s, c, product);
    s.exec(c, &REVIEWS_OF_PRODUCT, &[product], review_cells(product));
}

fn dirty_customers(s: &mut Script, c: &mut Chance) {
    let rows = c.between(12, 60) as usize;
    let orders = read_page(s, c, rows);
    let customers = distinct(&order_cells(&orders)[1]);
    for customer in &customers {
        read_customer(s, c, *customer);
    }
    s.plant(&ORDER_PAGE, 1, &CUSTOMER, customers.len());
}

fn dirty_items(s: &mut Script, c: &mut Chance) {
    s.thinks(1_000);
    let rows = c.between(8, 40) as usize;
    let orders = read_page(s, c, rows);
    for order in &orders {
        read_items(s, c, *order);
    }
    s.plant(&ORDER_PAGE, 0, &ITEMS_OF_ORDER, orders.len());
}

fn dirty_counts(s: &mut Script, c: &mut Chance) {
    let word = c.zipf(300);
    let found = found_products(word, 20);
    s.exec(c, &PRODUCT_SEARCH, &[word, 20], product_cells(&found));
    for product in &found {
        s.exec(c, &REVIEW_COUNT, &[*product], Vec::new());
    }
    s.plant(&PRODUCT_SEARCH, 0, &REVIEW_COUNT, found.len());
}

fn dirty_nested(s: &mut Script, c: &mut Chance) {
    let rows = c.between(8, 20) as usize;
    let orders = read_page(s, c, rows);
    let mut read = Vec::new();
    for order in &orders {
        for product in read_items(s, c, *order) {
            if !read.contains(&product) {
                read.push(product);
                read_product(s, c, product);
            }
        }
    }
    s.plant(&ORDER_PAGE, 0, &ITEMS_OF_ORDER, orders.len());
    s.plant(&ITEMS_OF_ORDER, 2, &PRODUCT, read.len());
}

fn dirty_reviewers(s: &mut Script, c: &mut Chance) {
    let product = some_product(c);
    read_product(s, c, product);
    let cells = review_cells(product);
    let customers = distinct(&cells[2]);
    s.exec(c, &REVIEWS_OF_PRODUCT, &[product], cells);
    for customer in &customers {
        read_customer(s, c, *customer);
    }
    s.plant(&REVIEWS_OF_PRODUCT, 2, &CUSTOMER, customers.len());
}

fn dirty_interleaved(s: &mut Script, c: &mut Chance) {
    let rows = c.between(15, 40) as usize;
    let orders = read_page(s, c, rows);
    let mut read = Vec::new();
    for order in &orders {
        let customer = customer_of(*order);
        if !read.contains(&customer) {
            read.push(customer);
            read_customer(s, c, customer);
        }
        read_items(s, c, *order);
    }
    s.plant(&ORDER_PAGE, 1, &CUSTOMER, read.len());
    s.plant(&ORDER_PAGE, 0, &ITEMS_OF_ORDER, orders.len());
}

fn dirty_refresh(s: &mut Script, c: &mut Chance) {
    let first = 2_000_000 + c.below(1 << 40) as i64;
    let orders: Vec<i64> = (first..first + c.between(6, 20) as i64).collect();
    for order in &orders {
        s.exec(c, &ORDER_INSERT, &[customer_of(*order), 3], vec![vec![*order]]);
    }
    s.commit();
    for order in &orders {
        s.exec(c, &ORDER, &[*order], order_cells(&[*order]));
    }
    s.plant(&ORDER_INSERT, 0, &ORDER, orders.len());
}

fn fanned_items(s: &mut Script, c: &mut Chance) {
    let rows = c.between(12, 40) as usize;
    let orders = read_page(s, c, rows);
    for (at, order) in orders.iter().enumerate() {
        s.lane(1 + at % 3);
        read_items(s, c, *order);
    }
    s.plant(&ORDER_PAGE, 0, &ITEMS_OF_ORDER, orders.len());
}

fn fanned_reviewers(s: &mut Script, c: &mut Chance) {
    let product = some_product(c);
    let cells = review_cells(product);
    let customers = distinct(&cells[2]);
    s.exec(c, &REVIEWS_OF_PRODUCT, &[product], cells);
    for (at, customer) in customers.iter().enumerate() {
        s.lane(1 + at % 3);
        read_customer(s, c, *customer);
    }
    s.plant(&REVIEWS_OF_PRODUCT, 2, &CUSTOMER, customers.len());
}
