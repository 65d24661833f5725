"""The shop as SQLAlchemy sees it: its tables, and one database of it through one driver."""

import asyncio
import secrets
import sys
from contextlib import contextmanager

from sqlalchemy import BigInteger, ForeignKey, Identity, create_engine, event, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.util.concurrency import greenlet_spawn

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
