"""Two pages of a shop: one that loads its customers one by one, and one that doesn't."""

import os

import pytest
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship


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


def test_order_list(session):
    eager = os.environ.get("SHOP_FIXED") == "1"
    query = select(Order).order_by(Order.id)
    query = query.options(joinedload(Order.customer)) if eager else query
    names = [order.customer.name for order in session.scalars(query)]
    assert len(names) == 12


def test_order_count(session):
    assert session.query(Order).count() == 12


@pytest.mark.skipif(os.environ.get("SHOP_BROKEN") != "1", reason="on demand")
def test_broken(session):
    assert session.query(Order).count() == 0
