"""SQLAlchemy scenarios of transactions, connections and time; registered by being imported."""

import random
import secrets
import time
from contextlib import contextmanager

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import exc, func, inspect, select, text, update
from sqlalchemy.orm import joinedload
from sqlalchemy.pool import NullPool

from alchemy_shop import Country, Customer, Job, Order, Payment, Product, Tag, page
from scenario import finds, kind, silent

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
