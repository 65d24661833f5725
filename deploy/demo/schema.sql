-- A small shop. Every lookup that the pages make has an index, but one: items.sku.
create table customers (
    id integer primary key,
    name text not null,
    email text not null
);
create table orders (
    id integer primary key,
    customer_id integer not null references customers,
    placed_at timestamptz not null
);
create table items (
    id integer primary key,
    order_id integer not null,
    sku text not null,
    quantity integer not null,
    note text not null
);

insert into customers
select n, 'Customer ' || n, 'customer' || n || '@example.net' from generate_series(1, 5000) n;

-- The newest fifty orders belong to some forty customers, so that some repeat.
insert into orders
select n, 1 + (n % 40) * 119 + (n / 4000), '2025-01-01'::timestamptz + n * interval '7 minutes'
from generate_series(1, 20000) n;

insert into items
select n, 1 + n % 20000, 'SKU-' || md5((n % 250000)::text), 1 + n % 5, repeat('-', 40)
from generate_series(1, 1000000) n;

create index on orders (customer_id);
create index on items (order_id);
analyze;
