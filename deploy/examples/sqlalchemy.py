"""SQLAlchemy 2 with psycopg through pgsonde: host and port are pgsonde's, the rest is the application's own."""

import os

from sqlalchemy import URL, create_engine

url = URL.create(
    "postgresql+psycopg",
    username=os.environ.get("PGUSER", "shop"),
    password=os.environ.get("PGPASSWORD"),
    host="127.0.0.1",
    port=6435,
    database=os.environ.get("PGDATABASE", "shop"),
    query={"sslmode": "disable"},
)
# The name becomes `service` in metrics and pages.
engine = create_engine(url, connect_args={"application_name": "shop"})
