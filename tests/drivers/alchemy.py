"""SQLAlchemy 2 on psycopg2, psycopg and asyncpg: `python alchemy.py DRIVER list|run …` (see scenario.py)."""

import asyncio
import random
import secrets
import sys
import time
from contextlib import contextmanager

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import (BigInteger, ForeignKey, Identity, any_, cast, create_engine, delete, event, exc, func, insert,
                        inspect, select, text, update)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import (DeclarativeBase, Mapped, Session, defer, joinedload, load_only, mapped_column, raiseload,
                            relationship, selectinload, subqueryload)
from sqlalchemy.pool import NullPool
from sqlalchemy.util.concurrency import greenlet_spawn

from scenario import CHAIN_PAUSE_S, finds, kind, main, n_plus_one, silent, truth

FIRST_ORDER = 3_000_000
PAGE = 40
PAGE_CUSTOMERS = 23
DRIVER = sys.argv[1]


class Base(DeclarativeBase):
    pass


class Country(Base):
    __tablename__ = "countries"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    country_id: Mapped[int] = mapped_column(ForeignKey("countries.id"))
    country: Mapped[Country] = relationship()
    orders: Mapped[list["Order"]] = relationship(back_populates="customer")


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    category_id: Mapped[int]
    sku: Mapped[str]
    name: Mapped[str]
    stock: Mapped[int]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    status: Mapped[str]
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list["Item"]] = relationship(back_populates="order")
    payments: Mapped[list["Payment"]] = relationship()


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    quantity: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="items")
    product: Mapped[Product] = relationship()


class Payment(Base):
    __tablename__ = "payments"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    cents: Mapped[int]


class Document(Base):
    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str]


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[str]
    kind: Mapped[str]


class Job(Base):
    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    payload: Mapped[str]


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    uses: Mapped[int]


class Shop:
    """One database through one driver. With asyncpg the scenario runs in SQLAlchemy's greenlet, so its text is the same."""

    def __init__(self, url, name):
        self.url, self.name, self.tags, self.engines = url, name, {}, []
        self.loop = asyncio.new_event_loop() if DRIVER == "asyncpg" else None
        self.engine = self.new_engine()

    def new_engine(self, **options):
        url = self.url.replace("postgresql://", f"postgresql+{DRIVER}://")
        if self.loop:
            arguments = {"server_settings": {"application_name": self.name}}
            engine = create_async_engine(url, connect_args=arguments, **options).sync_engine
        else:
            engine = create_engine(url, connect_args={"application_name": self.name}, **options)
        event.listen(engine, "before_cursor_execute", self.tag, retval=True)
        self.engines.append(engine)
        return engine

    def tag(self, _connection, _cursor, statement, parameters, _context, _many):
        """The comment of sqlcommenter, while a request is set."""
        if not self.tags:
            return statement, parameters
        percent = "%" if DRIVER == "asyncpg" else "%%"
        return (f"{statement} /*framework='sqlalchemy',route='{percent}2Forders',"
                f"traceparent='00-{self.tags['trace']}-00f067aa0ba902b7-01'*/"), parameters

    @contextmanager
    def request(self):
        self.tags = {"trace": secrets.token_hex(16)}
        yield
        self.tags = {}

    @contextmanager
    def session(self, **options):
        with Session(options.pop("bind", self.engine), **options) as session:
            yield session

    def autocommit(self):
        return self.session(bind=self.engine.execution_options(isolation_level="AUTOCOMMIT"))

    def run(self, function, *arguments):
        return self.loop.run_until_complete(greenlet_spawn(function, *arguments)) if self.loop else function(*arguments)

    def play(self, scenario):
        return self.run(scenario, self)

    def close(self):
        for engine in self.engines:
            self.run(engine.dispose)
        if self.loop:
            self.loop.close()


def page(session, *options, rows=PAGE):
    """The newest orders."""
    return session.scalars(select(Order).order_by(Order.id.desc()).limit(rows).options(*options)).unique().all()


def products(numbers):
    return [500_000 + number * 7 for number in numbers]


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


# Transactions, connections, time


@finds(kind("idle_in_transaction"), repeats=1)
def idle_in_transaction(shop):
    with shop.session() as session:
        session.execute(update(Product).where(Product.id == 500_000).values(stock=7))
        time.sleep(1.3)
        session.commit()


@silent("idle_in_transaction", "long_transaction", repeats=1)
def idle_outside_of_a_transaction(shop):
    with shop.session() as session:
        session.execute(update(Product).where(Product.id == 500_000).values(stock=7))
        session.commit()
        time.sleep(1.3)
        session.scalar(select(Product.stock).where(Product.id == 500_000))


@finds(kind("long_transaction"), repeats=1, only=("psycopg",))
def long_transaction(shop):
    with shop.session() as session:
        for number in range(7):
            session.execute(update(Product).where(Product.id == 500_000 + number * 7).values(stock=7))
            time.sleep(0.85)
        session.commit()


@finds(kind("connection_churn"), repeats=1)
def connection_per_query(shop):
    engine = shop.new_engine(poolclass=NullPool)
    for number in range(15):
        with shop.session(bind=engine) as session:
            session.get(Customer, 7000 + number * 3)


@silent("connection_churn", repeats=1)
def pooled_connections(shop):
    for number in range(15):
        with shop.session() as session:
            session.get(Customer, 7000 + number * 3)


@finds(kind("tx_chatter"), repeats=1)
def begin_around_each_read(shop):
    for number in range(400):
        with shop.session() as session:
            session.scalar(select(Customer.name).where(Customer.id == 7000 + number * 37 % 300 * 3))


@silent("tx_chatter", "n_plus_one", repeats=1)
def reads_in_autocommit(shop):
    draw = random.Random(5)
    for number in range(50):
        with shop.autocommit() as session:
            session.scalar(select(Customer.name).where(Customer.id == 7000 + draw.randrange(300) * 3))
        time.sleep(0.01)


@finds(kind("ping_overhead"), may=("looped_lookup",), repeats=1)
def ping_before_each_read(shop):
    engine = shop.new_engine(pool_pre_ping=True, isolation_level="AUTOCOMMIT")
    for number in range(600):
        with shop.session(bind=engine) as session:
            session.scalar(select(Customer.name).where(Customer.id == 7000 + number * 37 % 300 * 3))


@silent("ping_overhead", "n_plus_one")
def pool_pre_ping(shop):
    engine = shop.new_engine(pool_pre_ping=True)
    for _ in range(10):
        with shop.session(bind=engine) as session:
            assert all(order.customer.name for order in page(session, joinedload(Order.customer)))


@finds(kind("polling"), repeats=1)
def polling(shop):
    for _ in range(26):
        with shop.session() as session:
            assert session.scalar(select(Job.id).where(Job.state == "none").limit(1)) is None
        time.sleep(0.1)


@finds(kind("sequential_independent"))
def reports_one_after_another(shop):
    with shop.session() as session:
        for report in ("sales_report", "stock_report", "country_report", "payment_report"):
            session.execute(text(f"select * from {report}")).all()


# Healthy programs


@silent("n_plus_one", "looped_lookup", "write_loop")
def queue_worker(shop):
    take = select(Job).where(Job.state == "ready").order_by(Job.id).limit(1).with_for_update(skip_locked=True)
    for _ in range(30):
        with shop.session() as session:
            job = session.scalars(take).one()
            job.state = "done"
            session.commit()


@silent("write_loop", "duplicate_query", repeats=1)
def retries_after_serialization_failure(shop):
    engine = shop.engine.execution_options(isolation_level="REPEATABLE READ")
    for number in range(12):
        product, other = 500_000 + number * 7, shop.engine
        for attempt in range(2):
            with engine.connect() as connection:
                try:
                    stock = connection.scalar(select(Product.stock).where(Product.id == product))
                    if attempt == 0:
                        with other.begin() as rival:
                            rival.execute(update(Product).where(Product.id == product).values(stock=stock + 1))
                    connection.execute(update(Product).where(Product.id == product).values(stock=stock - 1))
                    connection.commit()
                    break
                except exc.DBAPIError:
                    connection.rollback()
        time.sleep(0.06)


@silent("write_loop")
def fixtures(shop):
    """A few rows in each of many tables, as factories write them."""
    with shop.session() as session:
        for number in range(4):
            base = secrets.randbelow(1_000_000) + 200_000_000
            country = Country(id=base, name="Nowhere")
            customer = Customer(id=base, name="Nobody", email=secrets.token_hex(8), country=country)
            order = Order(id=base, status="new", customer=customer)
            for row in (country, customer, order, Tag(name=secrets.token_hex(8), uses=number)):
                session.add(row)
                session.flush()
        session.rollback()


@silent("n_plus_one", "looped_lookup", "duplicate_query")
def introspection(shop):
    looked = inspect(shop.engine)
    for table in looked.get_table_names():
        assert looked.get_columns(table)
        looked.get_foreign_keys(table)
        looked.get_indexes(table)


@silent("n_plus_one", "duplicate_query")
def dashboard(shop):
    """Aggregates over everything, each once."""
    with shop.session() as session:
        session.execute(select(Order.status, func.count()).group_by(Order.status)).all()
        session.execute(select(Customer.country_id, func.count()).group_by(Customer.country_id)).all()
        session.scalar(select(func.sum(Payment.cents)))


@contextmanager
def migration(shop):
    with shop.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        with context.begin_transaction(_per_migration=True):
            yield Operations(context)


@finds(kind("lock_hazard", rule="index_not_concurrent"), kind("lock_hazard", rule="set_not_null"), kind("lock_hazard", rule="no_lock_timeout"),
       may=("lock_hazard",), repeats=1)
def migration_dangerous(shop):
    with migration(shop) as op:
        op.create_index("events_kind", "events", ["kind"])
        op.alter_column("events", "note", nullable=False)


@silent("lock_hazard", repeats=1)
def migration_safe(shop):
    with migration(shop) as op:
        with op.get_context().autocommit_block():
            op.create_index("events_kind", "events", ["kind"], postgresql_concurrently=True)
        op.execute("set lock_timeout = '2s'")
        op.create_check_constraint("events_note", "events", "note is not null", postgresql_not_valid=True)
    with migration(shop) as op:
        op.execute("set lock_timeout = '2s'")
        op.execute("alter table events validate constraint events_note")


if __name__ == "__main__":
    main(Shop, sys.argv[2:], DRIVER)
