"""A small shop on SQLAlchemy and psycopg 3, served by the standard library's WSGI server.

/orders        the newest fifty orders with the names of their customers, lazily loaded: N+1
/orders-fixed  the same page with joinedload
/search?sku=S  order lines by article number, a column without an index

Each statement carries a comment that names the route and the request, as sqlcommenter writes it.

    DATABASE_URL=postgresql+psycopg://postgres@127.0.0.1:5432/postgres python shop.py
"""

import os
import secrets
import socketserver
from contextvars import ContextVar
from urllib.parse import parse_qs, quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import sqlalchemy
from sqlalchemy import ForeignKey, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

ORDERS_PER_PAGE = 50
request_tags: ContextVar[dict] = ContextVar("request_tags")


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    customer: Mapped[Customer] = relationship()


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]
    sku: Mapped[str]
    quantity: Mapped[int]


def comment(tags):
    pairs = ",".join(f"{name}='{quote(value, safe='')}'" for name, value in sorted(tags.items()))
    return f" /*{pairs}*/".replace("%", "%%")  # psycopg reads % as the start of a placeholder


def tagged_engine(url):
    engine = create_engine(url, pool_size=4, connect_args={"application_name": "shop"})

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def add_comment(_connection, _cursor, statement, parameters, _context, _many):
        tags = request_tags.get(None)
        return (statement + comment(tags) if tags else statement), parameters

    return engine


def order_lines(orders):
    return [f"{order.id} {order.customer.name}" for order in orders]


def orders(session, _query):
    newest = select(Order).order_by(Order.id.desc()).limit(ORDERS_PER_PAGE)
    return order_lines(session.scalars(newest))


def orders_fixed(session, _query):
    newest = select(Order).order_by(Order.id.desc()).limit(ORDERS_PER_PAGE).options(joinedload(Order.customer))
    return order_lines(session.scalars(newest))


def search(session, query):
    wanted = select(Item).where(Item.sku == query.get("sku", [""])[0]).limit(20)
    return [f"{item.order_id} {item.sku} x {item.quantity}" for item in session.scalars(wanted)]


PAGES = {"/orders": orders, "/orders-fixed": orders_fixed, "/search": search}


def application(engine):
    def respond(environ, start_response):
        route = environ["PATH_INFO"]
        page = PAGES.get(route)
        if page is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"pages: " + " ".join(PAGES).encode()]
        request_tags.set({
            "application": "shop", "framework": f"sqlalchemy:{sqlalchemy.__version__}", "route": route,
            "traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"})
        with Session(engine) as session:
            lines = page(session, parse_qs(environ["QUERY_STRING"]))
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return ["\n".join(lines).encode()]

    return respond


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


if __name__ == "__main__":
    app = application(tagged_engine(os.environ["DATABASE_URL"]))
    host = os.environ.get("HOST", "127.0.0.1")
    with make_server(host, int(os.environ.get("PORT", "0")), app, Server, QuietHandler) as server:
        print(f"shop on http://{host}:{server.server_port}", flush=True)
        server.serve_forever()
