"""An application that looks up an unindexed column, through SQLAlchemy on psycopg.

index_app.py prepare URL            makes the table
index_app.py run URL TIMES PREFIX   looks up so many values, each with PREFIX in it; prints their number
"""

import json
import sys

from sqlalchemy import BigInteger, Integer, String, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

ROWS = 200_000
DEVICES = 20_000


class Base(DeclarativeBase):
    pass


class Reading(Base):
    __tablename__ = "readings"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    device: Mapped[str] = mapped_column(String)
    kind: Mapped[int] = mapped_column(Integer)
    note: Mapped[str] = mapped_column(String)


def prepare(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        connection.execute(
            text(
                "insert into readings select i, 'unit-' || (i % :devices) || '-x', i % 7, repeat('n', 80) "
                "from generate_series(1, :rows) i"
            ),
            {"rows": ROWS, "devices": DEVICES},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze readings"))
    print(json.dumps({"rows": ROWS}))


def run(url, times, prefix):
    engine = create_engine(url)
    found = 0
    with Session(engine) as session:
        for number in range(times):
            device = f"unit-{number % DEVICES}-x" if number % 4 else f"{prefix}-{number}"
            wanted = select(Reading.id, Reading.kind).where(Reading.device == device)
            found += len(session.execute(wanted).all())
            session.commit()
    print(json.dumps({"found": found}))


if __name__ == "__main__":
    command, url = sys.argv[1], sys.argv[2].replace("postgresql://", "postgresql+psycopg://")
    if command == "prepare":
        prepare(url)
    else:
        run(url, int(sys.argv[3]), sys.argv[4])
