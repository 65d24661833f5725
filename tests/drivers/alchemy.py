"""SQLAlchemy 2 on psycopg2, psycopg and asyncpg: `python alchemy.py DRIVER list|run …` (see scenario.py)."""

import random
import secrets
import sys

from sqlalchemy import any_, cast, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import defer, joinedload, raiseload, selectinload, subqueryload

import alchemy_usage  # noqa: F401 - registers its scenarios
from alchemy_shop import (DRIVER, PAGE, PAGE_CUSTOMERS, Country, Customer, Document, Event, Item, Order, Product,
                          Shop, Tag, page, products)
from scenario import CHAIN_PAUSE_S, finds, kind, main, n_plus_one, silent, truth

# Relations


@finds(n_plus_one("orders.customer_id", "customers.id", gate="scope", variant="plain"))
def lazy_to_one(shop):
    with shop.session() as session:
        assert all(order.customer.name for order in page(session))
    return truth(n=PAGE_CUSTOMERS, rows=PAGE)


@silent("n_plus_one")
def lazy_to_one_joined(shop):
    with shop.session() as session:
        assert all(order.customer.name for order in page(session, joinedload(Order.customer)))


@silent("n_plus_one")
def lazy_to_one_selectin(shop):
    with shop.session() as session:
        guards = (selectinload(Order.customer), raiseload("*", sql_only=True))
        assert all(order.customer.name for order in page(session, *guards))


@finds(n_plus_one("orders.customer_id", "customers.id", gate="chain"), pause_s=CHAIN_PAUSE_S)
def lazy_to_one_autocommit(shop):
    with shop.autocommit() as session:
        assert all(order.customer.name for order in page(session))
    return truth(n=PAGE_CUSTOMERS, rows=PAGE)


@finds(n_plus_one("orders.id", "items.order_id"))
def lazy_to_many(shop):
    with shop.session() as session:
        assert sum(len(order.items) for order in page(session)) > PAGE
    return truth(n=PAGE, rows=PAGE)


@silent("n_plus_one")
def lazy_to_many_selectin(shop):
    with shop.session() as session:
        assert sum(len(order.items) for order in page(session, selectinload(Order.items))) > PAGE


@silent("n_plus_one")
def lazy_to_many_subquery(shop):
    with shop.session() as session:
        assert sum(len(order.items) for order in page(session, subqueryload(Order.items))) > PAGE


@finds(n_plus_one("orders.id", "items.order_id"), n_plus_one("items.product_id", "products.id", variant="nested"))
def nested(shop):
    with shop.session() as session:
        seen = {item.product.id for order in page(session, rows=8) for item in order.items}
    return [{"n": 8, "rows": 8}, {"n": len(seen)}]


@silent("n_plus_one")
def nested_selectin(shop):
    with shop.session() as session:
        orders = page(session, selectinload(Order.items).selectinload(Item.product), rows=8)
        assert all(item.product.name for order in orders for item in order.items)


@finds(n_plus_one("customers.id", "orders.customer_id", variant="aggregate"))
def count_per_parent(shop):
    with shop.session() as session:
        for customer in session.scalars(select(Customer).order_by(Customer.id).limit(20)).all():
            session.scalar(select(func.count()).select_from(Order).where(Order.customer_id == customer.id))
    return truth(n=20, rows=20)


@silent("n_plus_one")
def count_grouped(shop):
    counted = select(Order.customer_id, func.count().label("orders")).group_by(Order.customer_id).subquery()
    with shop.session() as session:
        session.execute(select(Customer, counted.c.orders).outerjoin(counted, counted.c.customer_id == Customer.id)
                        .order_by(Customer.id).limit(20)).all()


@finds(n_plus_one("orders.id", "orders.id", variant="refresh"), pause_s=CHAIN_PAUSE_S)
def refresh_after_commit(shop):
    with shop.session() as session:
        orders = page(session, rows=20)
        session.commit()
        assert all(order.status for order in orders)
    return truth(n=20, rows=20)


@silent("n_plus_one", pause_s=CHAIN_PAUSE_S)
def refresh_not_expired(shop):
    with shop.session(expire_on_commit=False) as session:
        orders = page(session, rows=20)
        session.commit()
        assert all(order.status for order in orders)


@finds(n_plus_one("orders.customer_id", "customers.id", gate="scope"))
def stream_lookups(shop):
    newest = select(Order.id, Order.customer_id).order_by(Order.id.desc()).limit(PAGE)
    with shop.session() as session:
        for _order, customer in session.execute(newest.execution_options(yield_per=10)):
            session.scalar(select(Customer.name).where(Customer.id == customer))
    return truth(n=PAGE, rows=PAGE)


@silent("n_plus_one", "looped_lookup")
def stream_joined(shop):
    newest = select(Order.id, Customer.name).join(Order.customer).order_by(Order.id.desc()).limit(PAGE)
    with shop.session() as session:
        assert len(list(session.execute(newest.execution_options(yield_per=10)))) == PAGE


@finds(n_plus_one("orders.id", "items.order_id", gate="scope"))
def traced_over_connections(shop):
    """One request whose statements spread over three connections of the pool."""
    engine = shop.engine.execution_options(isolation_level="AUTOCOMMIT")
    connections = [engine.connect() for _ in range(3)]
    with shop.request():
        orders = connections[0].execute(select(Order.id, Order.status).order_by(Order.id.desc()).limit(PAGE)).all()
        for number, order in enumerate(orders):
            connections[number % 3].execute(select(Item.id, Item.quantity).where(Item.order_id == order.id)).all()
    for connection in connections:
        connection.close()
    return truth(n=PAGE, rows=PAGE)


@silent("n_plus_one", only=("psycopg", "psycopg2"))
def traced_requests_apart(shop):
    """The same statements, but each look-up is a request of its own."""
    engine = shop.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        with shop.request():
            orders = connection.execute(select(Order.id, Order.status).order_by(Order.id.desc()).limit(PAGE)).all()
        random.Random(4).shuffle(orders)
        for order in orders:
            with shop.request():
                connection.execute(select(Item.id, Item.quantity).where(Item.order_id == order.id)).all()


@finds(n_plus_one("items.product_id", "products.id"), n_plus_one("items.order_id", "orders.id"))
def interleaved(shop):
    with shop.session() as session:
        items = session.scalars(select(Item).order_by(Item.id.desc()).limit(30)).all()
        seen = [(item.product.id, item.order.id) for item in items]
    return [{"n": len({product for product, _ in seen}), "rows": 30}, {"n": len({order for _, order in seen}), "rows": 30}]


@silent("n_plus_one")
def interleaved_joined(shop):
    with shop.session() as session:
        options = (joinedload(Item.product), joinedload(Item.order))
        items = session.scalars(select(Item).order_by(Item.id.desc()).limit(30).options(*options)).all()
        assert all((item.product.id, item.order.id) for item in items)


@finds(n_plus_one("items.product_id", "products.id"))
def in_lists_of_varying_length(shop):
    with shop.session() as session:
        rows = session.execute(select(Item.order_id, Item.product_id).order_by(Item.id.desc()).limit(48)).all()
        orders = list(dict.fromkeys(row.order_id for row in rows))
        for order in orders:
            wanted = [row.product_id for row in rows if row.order_id == order]
            session.execute(select(Product.id, Product.name).where(Product.id.in_(wanted))).all()
    return truth(n=len(orders), rows=48)


@silent("n_plus_one", "looped_lookup")
def batched_loader(shop):
    """A loader that asks for twelve products at a time."""
    with shop.session() as session:
        wanted = session.scalars(select(Item.product_id).order_by(Item.id.desc()).limit(96)).all()
        for at in range(0, 96, 12):
            session.execute(select(Product.id, Product.name).where(Product.id.in_(wanted[at:at + 12]))).all()


# Loops


@finds(kind("looped_lookup", child="customers.email", proof="sequence"))
def looped_lookup(shop):
    with shop.session() as session:
        for number in range(60):
            session.scalar(select(Customer.name).where(Customer.email == f"c{number * 7 % 300}@example.net"))
    return truth(n=60)


@silent("looped_lookup")
def looped_lookup_any(shop):
    emails = [f"c{number * 7 % 300}@example.net" for number in range(60)]
    with shop.session() as session:
        array = cast(emails, postgresql.ARRAY(postgresql.TEXT))
        session.execute(select(Customer.email, Customer.name).where(Customer.email == any_(array))).all()


@silent("looped_lookup", "n_plus_one")
def busy_endpoint(shop):
    """Many requests for one page each: no loop, whatever their number."""
    for number in range(90):
        with shop.session() as session:
            session.get(Customer, 7000 + number * 37 % 300 * 3)


@finds(kind("write_loop", child="products", proof="observed"))
def update_by_row(shop):
    with shop.session() as session:
        for product in products(range(30)):
            session.execute(update(Product).where(Product.id == product).values(stock=Product.stock - 1))
        session.commit()
    return truth(n=30)


@silent("write_loop")
def update_at_once(shop):
    with shop.session() as session:
        session.execute(update(Product).where(Product.id.in_(products(range(30)))).values(stock=Product.stock - 1))
        session.commit()


@finds(kind("write_loop", child="tags"))
def insert_and_commit_by_row(shop):
    with shop.session() as session:
        for _ in range(30):
            session.add(Tag(name=secrets.token_hex(8), uses=0))
            session.commit()
    return truth(n=30)


@silent("write_loop")
def insert_many_values(shop):
    with shop.session() as session:
        session.add_all(Tag(name=secrets.token_hex(8), uses=0) for _ in range(300))
        session.commit()


@finds(kind("write_loop", child="tags"))
def delete_by_row_autocommit(shop):
    with shop.session() as session:
        names = [secrets.token_hex(8) for _ in range(30)]
        session.execute(insert(Tag), [{"name": name, "uses": 0} for name in names])
        session.commit()
    with shop.autocommit() as session:
        for name in names:
            session.execute(delete(Tag).where(Tag.name == name))
    return truth(n=30)


@silent("write_loop", only=("psycopg", "asyncpg"))
def executemany_pipeline(shop):
    """Two hundred updates in a pipeline: many Executes, few round trips."""
    with shop.engine.begin() as connection:
        change = text("update products set stock = stock - 1 where id = :product")
        connection.execute(change, [{"product": product} for product in products(range(200))])


@finds(kind("upsert_loop", child="tags"), may=("write_loop", "looped_lookup"))
def get_or_create(shop):
    with shop.session() as session:
        for number in range(20):
            name = f"tag-{number + 1}" if number % 2 else secrets.token_hex(8)
            tag = session.scalar(select(Tag.id).where(Tag.name == name))
            if tag is None:
                session.execute(insert(Tag).values(name=name, uses=0))
            else:
                session.execute(update(Tag).where(Tag.name == name).values(uses=Tag.uses + 1))
        session.commit()


@silent("upsert_loop", "write_loop")
def upsert_at_once(shop):
    rows = [{"name": f"tag-{number + 1}" if number % 2 else secrets.token_hex(8), "uses": 1} for number in range(20)]
    with shop.session() as session:
        new = postgresql.insert(Tag).values(rows)
        session.execute(new.on_conflict_do_update(index_elements=["name"], set_={"uses": Tag.uses + 1}))
        session.commit()


@finds(kind("savepoint_loop"), may=("write_loop",))
def savepoint_by_row(shop):
    with shop.session() as session:
        for _ in range(20):
            with session.begin_nested():
                session.execute(insert(Tag).values(name=secrets.token_hex(8), uses=0))
        session.commit()
    return truth(n=20)


@silent("savepoint_loop", "write_loop")
def savepoint_once(shop):
    with shop.session() as session:
        with session.begin_nested():
            session.execute(insert(Tag).values([{"name": secrets.token_hex(8), "uses": 0} for _ in range(20)]))
        session.commit()


@finds(kind("duplicate_query", child="countries", proof="duplicate"))
def same_read_again(shop):
    with shop.session() as session:
        for _ in range(12):
            session.scalar(select(Country.name).where(Country.id == 301))
    return truth(n=12)


@silent("duplicate_query")
def same_read_from_the_identity_map(shop):
    with shop.session() as session:
        kept = [session.get(Country, 301) for _ in range(12)]
        assert len(set(kept)) == 1


# Results


@finds(kind("unbounded_result", child="events"))
def whole_table(shop):
    with shop.session() as session:
        assert len(session.execute(select(Event.id, Event.device)).all()) == 24_000


@silent("unbounded_result", "tiny_fetch")
def whole_table_streamed(shop):
    with shop.session() as session:
        rows = session.execute(select(Event.id, Event.device).execution_options(yield_per=1000))
        assert sum(1 for _ in rows) == 24_000


@finds(kind("deep_offset", child="events"))
def offset_pages(shop):
    for number in range(12):
        with shop.session() as session:
            session.execute(select(Event.id, Event.device).order_by(Event.id).limit(20).offset(number * 1900)).all()


@silent("deep_offset", "n_plus_one", "looped_lookup")
def keyset_pages(shop):
    last = 0
    for _ in range(12):
        with shop.session() as session:
            last = session.execute(select(Event.id, Event.device).where(Event.id > last).order_by(Event.id).limit(20)).all()[-1].id


@finds(kind("count_every_page"))
def counted_pages(shop):
    for number in range(6):
        with shop.session() as session:
            session.scalar(text("select count(*) from slow_orders"))
            session.execute(text("select * from slow_orders order by id limit :limit offset :offset"),
                            {"limit": 20, "offset": number * 20}).all()


@silent("count_every_page")
def pages_of_one_more(shop):
    for number in range(6):
        with shop.session() as session:
            session.execute(text("select * from slow_orders order by id limit :limit offset :offset"),
                            {"limit": 21, "offset": number * 20}).all()


@finds(kind("cartesian_explosion"))
def two_collections_joined(shop):
    with shop.session() as session:
        assert len(page(session, joinedload(Order.items), joinedload(Order.payments), rows=120)) == 120


@silent("cartesian_explosion", "n_plus_one")
def two_collections_selectin(shop):
    with shop.session() as session:
        assert len(page(session, selectinload(Order.items), selectinload(Order.payments), rows=120)) == 120


@finds(kind("wide_fetch", column="documents.body"), repeats=4)
def bodies_for_a_list_of_titles(shop):
    with shop.session() as session:
        assert len([document.title for document in session.scalars(select(Document).limit(60))]) == 60


@silent("wide_fetch")
def bodies_deferred(shop):
    with shop.session() as session:
        assert len([d.title for d in session.scalars(select(Document).options(defer(Document.body)).limit(60))]) == 60


@finds(kind("large_in_list"))
def huge_in_list(shop):
    with shop.session() as session:
        assert len(session.scalars(select(Product.name).where(Product.id.in_(products(range(1200))))).all()) == 1000


@silent("large_in_list", "in_list_churn", only=("psycopg", "asyncpg"))
def huge_array(shop):
    array = cast(products(range(1200)), postgresql.ARRAY(postgresql.INTEGER))
    with shop.session() as session:
        assert len(session.scalars(select(Product.name).where(Product.id == any_(array))).all()) == 1000


@finds(kind("in_list_churn"), only=("psycopg", "asyncpg"), repeats=1)
def lists_of_every_length(shop):
    for number in range(30):
        with shop.session() as session:
            session.scalars(select(Product.name).where(Product.id.in_(products(range(number * 7 % 30 + 1))))).all()


@silent("in_list_churn", repeats=1)
def arrays_of_every_length(shop):
    for number in range(30):
        with shop.session() as session:
            array = cast(products(range(number * 7 % 30 + 1)), postgresql.ARRAY(postgresql.INTEGER))
            session.scalars(select(Product.name).where(Product.id == any_(array))).all()


@finds(kind("statement_churn"), may=("looped_lookup",), only=("asyncpg",), repeats=1)
def literals(shop):
    for number in range(150):
        with shop.session() as session:
            session.execute(text(f"select name from products where id = {500_000 + number * 7}")).all()


@silent("statement_churn", only=("psycopg", "asyncpg"), repeats=1)
def bound_values(shop):
    for number in range(150):
        with shop.session() as session:
            session.execute(text("select name from products where id = :id"), {"id": 500_000 + number * 7}).all()


# SQLAlchemy reads fifty rows at a time from asyncpg, whatever it is asked for.
@finds(kind("tiny_fetch"), only=("psycopg", "psycopg2"))
def tiny_fetches(shop):
    with shop.session() as session:
        assert sum(1 for _ in session.execute(select(Item.id).limit(400).execution_options(yield_per=5))) == 400


@silent("tiny_fetch")
def fetches_of_five_hundred(shop):
    with shop.session() as session:
        assert sum(1 for _ in session.execute(select(Event.id).limit(4000).execution_options(yield_per=500))) == 4000


if __name__ == "__main__":
    main(Shop, sys.argv[2:], DRIVER)
