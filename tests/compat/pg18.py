"""Protocol 3.2 and what else a PostgreSQL 18 brings to the wire; {check: outcome} as one line of JSON.

python pg18.py PORT        (needs psycopg with libpq 18)
"""

import json
import sys
import threading

import psycopg

URL = "host=127.0.0.1 user=postgres dbname=postgres connect_timeout=20"
ROUNDS = 20


def connect(port, **more):
    return psycopg.connect(f"{URL} port={port}", autocommit=True, **more)


def versions(port):
    outcome = []
    for low, high in (("3.0", "3.0"), ("3.0", "3.2"), ("3.2", "3.2"), ("3.0", "latest")):
        with connect(port, min_protocol_version=low, max_protocol_version=high) as conn:
            outcome.append([low, high, conn.pgconn.full_protocol_version, conn.execute("select 1").fetchone()[0]])
    return outcome


def cancels(port):
    """Keys of 4 bytes (3.0) and of 32 (3.2); a cancel never hits the statement after."""
    outcome = []
    for version in ("3.0", "3.2"):
        with connect(port, min_protocol_version=version, max_protocol_version=version) as conn:
            for _ in range(ROUNDS):
                timer = threading.Timer(0.1, conn.cancel_safe)
                timer.start()
                try:
                    conn.execute("select pg_sleep(30)")
                    outcome.append("not cancelled")
                except psycopg.errors.QueryCanceled:
                    pass
                timer.join()
                if conn.execute("select 7").fetchone() != (7,):
                    outcome.append("wrong answer")
    return outcome


def passwords(port):
    """SCRAM, and the error of a wrong password."""
    with connect(port) as conn:
        conn.execute("drop role if exists scram_user")
        conn.execute("set password_encryption = 'scram-sha-256'")
        conn.execute("create role scram_user login password 'password'")
    outcome = []
    for password in ("password", "wrong"):
        try:
            more = {"user": "scram_user", "password": password, "min_protocol_version": "3.2", "max_protocol_version": "3.2"}
            with connect(port, **more) as conn:
                outcome.append(conn.execute("select current_user").fetchone()[0])
        except psycopg.OperationalError as error:
            outcome.append("refused" if "password authentication failed" in str(error) else str(error))
    return outcome


def conversation(port):
    with connect(port, min_protocol_version="3.2", max_protocol_version="3.2") as conn:
        conn.execute("create temp table t (id int, note text)")
        with conn.cursor().copy("copy t from stdin") as copy:
            for number in range(1_000):
                copy.write_row((number, "n" * (number % 50)))
        with conn.cursor().copy("copy t to stdout (format binary)") as copy:
            size = sum(len(bytes(block)) for block in copy)
        with conn.pipeline():
            cursors = [conn.execute("select note from t where id = %s", (n,)) for n in range(50)]
            notes = [cursor.fetchone()[0] for cursor in cursors]
        with conn.transaction(), conn.cursor(name="walk") as walk:
            walked = len(walk.execute("select * from t").fetchall())
        # ClosePortal and ClosePrepared by libpq itself.
        conn.execute("select count(*) from t where id > %s", (1,), prepare=True)
        return [size, len("".join(notes)), walked, conn.pgconn.full_protocol_version]


def main(port):
    print(json.dumps({check.__name__: check(port) for check in (versions, cancels, passwords, conversation)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
