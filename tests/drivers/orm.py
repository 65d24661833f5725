"""Real SQLAlchemy on a real driver, one scenario per call; prints what a finding must say.

python orm.py prepare|run  postgresql://…  psycopg|psycopg2|asyncpg  SCENARIO  [REPEATS]

lazy, joined, selectin   the page of orders with their customers, in one transaction
traced                   the lazy page in autocommit, its statements tagged with one trace id per request
clean                    a busy program that does nothing wrong
unindexed, indexed       look-ups by a column without and with an index
"""

import asyncio
import json
import secrets
import sys

from sqlalchemy import ForeignKey, create_engine, event, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload)

ORDERS = 40
CUSTOMERS = 23  # fewer than orders: some customers repeat on the page, the session loads each once
EVENTS = 400_000


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    customer: Mapped[Customer] = relationship()


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[str]
    serial: Mapped[str] = mapped_column(index=True)


def prepare(session):
    """Customer ids lie far from order ids, so that no value fits a wrong column by chance."""
    Base.metadata.create_all(session.connection())
    session.execute(insert(Customer), [{"id": 7000 + n * 3, "name": f"c{n}"} for n in range(CUSTOMERS * 2)])
    session.execute(insert(Order), [{"id": n, "customer_id": 7000 + (n % CUSTOMERS) * 3} for n in range(1, ORDERS + 1)])


def prepare_events(session):
    Base.metadata.create_all(session.connection())
    filler = "select g, 'device-' || g, 'serial-' || g from generate_series(1, %d) g" % EVENTS
    session.connection().exec_driver_sql(f"insert into events {filler}")
    session.connection().exec_driver_sql("analyze events")


def page(session, *options):
    newest = select(Order).order_by(Order.id).limit(ORDERS).options(*options)
    return [order.customer.name for order in session.scalars(newest)]


def lazy(session, number):
    assert len(page(session)) == ORDERS


def joined(session, number):
    assert len(page(session, joinedload(Order.customer))) == ORDERS


def selectin(session, number):
    assert len(page(session, selectinload(Order.customer))) == ORDERS


def clean(session, number):
    """Bulk writes, single look-ups by ids that no result gave, aggregates, a join."""
    page(session, joinedload(Order.customer))
    for _ in range(8):
        session.scalars(select(Customer.name).where(Customer.id == 7000 + secrets.randbelow(CUSTOMERS) * 3 + 1)).all()
    base = 10_000 + number * 100
    session.execute(insert(Order), [{"id": base + n, "customer_id": 7000} for n in range(50)])
    session.execute(update(Order).where(Order.id >= base).values(customer_id=7003))
    session.get(Order, base)
    session.rollback()


def unindexed(session, number):
    session.scalars(select(Event).where(Event.device == f"device-{number * 7919 % EVENTS + 1}").limit(10)).all()


def indexed(session, number):
    session.scalars(select(Event).where(Event.serial == f"serial-{number * 7919 % EVENTS + 1}").limit(10)).all()


SCENARIOS = {"lazy": lazy, "joined": joined, "selectin": selectin, "traced": lazy, "clean": clean,
             "unindexed": unindexed, "indexed": indexed}


def tag_requests(engine, tags, percent):
    """Appends the current request's trace id to each statement, as sqlcommenter does."""
    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def add_comment(_connection, _cursor, statement, parameters, _context, _many):
        if "trace" not in tags:
            return statement, parameters
        return f"{statement} /*framework='sqlalchemy',route='{percent}2Forders',traceparent='00-{tags['trace']}-00f067aa0ba902b7-01'*/", parameters


def works(task, scenario, repeats, tags):
    """What to do, one session after the other; whoever runs it brings the session."""
    if task == "prepare":
        yield prepare_events if "indexed" in scenario else prepare
        return
    for number in range(repeats):
        if scenario == "traced":
            tags["trace"] = secrets.token_hex(16)
        yield lambda session, number=number: SCENARIOS[scenario](session, number)


def settings(task, scenario):
    autocommit = task == "run" and scenario == "traced"
    return {"execution_options": {"isolation_level": "AUTOCOMMIT"}} if autocommit else {}


def main_sync(task, url, driver, scenario, repeats):
    engine = create_engine(url.replace("postgresql://", f"postgresql+{driver}://"), **settings(task, scenario))
    tags = {}
    tag_requests(engine, tags, "%%")
    for work in works(task, scenario, repeats, tags):
        with Session(engine) as session:
            work(session)
            if task == "prepare":
                session.commit()
    engine.dispose()


async def main_async(task, url, scenario, repeats):
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), **settings(task, scenario))
    tags = {}
    tag_requests(engine.sync_engine, tags, "%")
    for work in works(task, scenario, repeats, tags):
        async with AsyncSession(engine) as session:
            await session.run_sync(work)
            if task == "prepare":
                await session.commit()
    await engine.dispose()


def main(task, url, driver, scenario, repeats="5"):
    repeats = int(repeats)
    if driver == "asyncpg":
        asyncio.run(main_async(task, url, scenario, repeats))
    else:
        main_sync(task, url, driver, scenario, repeats)
    print(json.dumps({"n": CUSTOMERS, "rows": ORDERS, "sightings": repeats}))


if __name__ == "__main__":
    main(*sys.argv[1:])
