"""What psycopg 3 can do on one connection string; prints {check: outcome}.

python psycopg_checks.py postgresql://…

The outcome of each check is data that does not depend on the run, so that two runs can be compared.
"""

import json
import sys
import threading
import time

import psycopg
from psycopg import sql


def simple_and_extended(url):
    with psycopg.connect(url, autocommit=True) as conn:
        many = conn.execute("select 1; select 2, 3; select")
        sets = []
        while True:
            sets.append(many.fetchall())
            if not many.nextset():
                break
        bound = conn.execute("select %s::int + 1, %s::text", (41, "ü € 𝄞")).fetchone()
        return {"sets": sets, "bound": bound}


def binary_results(url):
    with psycopg.connect(url) as conn:
        cursor = conn.cursor(binary=True)
        row = cursor.execute(
            "select %b::int8, %b::bytea, %b::float8, null::text, '{1,2}'::int4[]",
            (2**40, b"\x00\xff" * 3, 0.5)).fetchone()
        return [value.hex() if isinstance(value, bytes) else value for value in row]


def prepared(url):
    with psycopg.connect(url) as conn:
        conn.prepare_threshold = 2
        values = [conn.execute("select %s::int * 2", (n,)).fetchone()[0] for n in range(20)]
        names = conn.execute("select count(*) from pg_prepared_statements").fetchone()[0]
        conn.execute("deallocate all")
        return {"values": values, "names": names}


def transaction_states(url):
    states = []
    with psycopg.connect(url) as conn:
        states.append(conn.info.transaction_status.name)
        conn.execute("create temp table t (id int primary key)")
        states.append(conn.info.transaction_status.name)
        with conn.transaction():
            conn.execute("insert into t values (1)")
        try:
            conn.execute("insert into t values (1)")
        except psycopg.errors.UniqueViolation as error:
            states.append(error.sqlstate)
        states.append(conn.info.transaction_status.name)
        try:
            conn.execute("select 1")
        except psycopg.errors.InFailedSqlTransaction as error:
            states.append(error.sqlstate)
        conn.rollback()
        states.append(conn.info.transaction_status.name)
    return states


def pipeline(url):
    with psycopg.connect(url, autocommit=True) as conn:
        with conn.pipeline():
            cursors = [conn.execute("select %s::int", (n,)) for n in range(30)]
            values = [cursor.fetchone()[0] for cursor in cursors]
    return values


def pipeline_with_error(url):
    """The server skips what follows a failed statement, up to the next Sync; then the connection is as good as new.
    Where in the block the error surfaces depends on how soon it arrives."""
    seen = []
    with psycopg.connect(url, autocommit=True) as conn:
        try:
            with conn.pipeline() as pipe:
                conn.execute("select 1")
                bad = conn.execute("select 1 / %s::int", (0,))
                conn.execute("select 3")
                pipe.sync()
                bad.fetchall()
        except psycopg.Error as error:
            seen.append(type(error).__name__)
        seen.append(conn.execute("select 4").fetchone()[0])
    return seen


def server_cursor(url):
    with psycopg.connect(url) as conn, conn.cursor("walk") as cursor:
        cursor.itersize = 7
        cursor.execute("select g from generate_series(1, 30) g")
        return [row[0] for row in cursor]


def streaming(url):
    with psycopg.connect(url) as conn:
        return sum(row[0] for row in conn.cursor().stream("select g from generate_series(1, 1000) g"))


def copy_text(url):
    with psycopg.connect(url) as conn:
        conn.execute("create temp table t (id int, note text)")
        with conn.cursor().copy("copy t from stdin") as copy:
            for n in range(2000):
                copy.write_row((n, f"line\t{n}\n" if n % 3 else None))
        with conn.cursor().copy("copy (select * from t order by id) to stdout") as copy:
            size = sum(len(block) for block in copy)
        count = conn.execute("select count(*), count(note) from t").fetchone()
        return {"bytes": size, "count": count}


def copy_binary(url):
    with psycopg.connect(url) as conn:
        conn.execute("create temp table t (id int4, note text)")
        with conn.cursor().copy("copy t from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(500):
                copy.write_row((n, "x" * (n % 50)))
        with conn.cursor().copy("copy t to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            return sum(row[0] + len(row[1]) for row in copy.rows())


def copy_failures(url):
    outcomes = []
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create temp table t (id int)")
        try:  # the server refuses a line
            with conn.cursor().copy("copy t from stdin") as copy:
                for n in range(100):
                    copy.write(f"{n if n != 50 else 'no number'}\n")
        except psycopg.errors.InvalidTextRepresentation as error:
            outcomes.append(error.sqlstate)
        try:  # the client gives up (CopyFail)
            with conn.cursor().copy("copy t from stdin") as copy:
                copy.write("1\n")
                raise KeyError("the client gives up")
        except KeyError:
            outcomes.append("CopyFail")
        try:  # the client stops reading
            with conn.cursor().copy("copy (select generate_series(1, 100000)) to stdout") as copy:
                next(iter(copy))
                raise KeyError("enough")
        except KeyError:
            outcomes.append("stopped")
        outcomes.append(conn.execute("select count(*) from t").fetchone()[0])
        outcomes.append(conn.info.transaction_status.name)
    return outcomes


def executemany(url):
    with psycopg.connect(url) as conn:
        conn.execute("create temp table t (id int, note text)")
        cursor = conn.cursor()
        cursor.executemany("insert into t values (%s, %s)", [(n, str(n)) for n in range(100)])
        affected = cursor.rowcount
        cursor.executemany("insert into t values (%s, 'r') returning id", [(n,) for n in range(3)], returning=True)
        returned = [cursor.fetchone()[0]]
        while cursor.nextset():
            returned.append(cursor.fetchone()[0])
        return {"affected": affected, "returned": returned}


def cancel(url):
    with psycopg.connect(url, autocommit=True) as conn:
        timer = threading.Timer(0.3, conn.cancel_safe)
        timer.start()
        started = time.monotonic()
        try:
            conn.execute("select pg_sleep(20)")
            outcome = "slept"
        except psycopg.errors.QueryCanceled as error:
            outcome = error.sqlstate
        timer.join()
        return {"outcome": outcome, "soon": time.monotonic() - started < 10, "alive": conn.execute("select 1").fetchone()}


def notifications(url):
    with psycopg.connect(url, autocommit=True) as listener, psycopg.connect(url, autocommit=True) as sender:
        listener.execute("listen psycopg_news")
        for n in range(3):
            sender.execute("select pg_notify('psycopg_news', %s)", (str(n),))
        got = listener.notifies(timeout=10, stop_after=3)
        return [note.payload for note in got]


def notices(url):
    seen = []
    with psycopg.connect(url, autocommit=True) as conn:
        conn.add_notice_handler(lambda note: seen.append([note.severity, note.message_primary]))
        conn.execute("do $$ begin raise notice 'one'; raise warning 'two'; end $$")
    return seen


def settings(url):
    with psycopg.connect(url, application_name="checks", options="-c search_path=pg_catalog -c timezone=Asia/Tokyo") as conn:
        shown = [conn.execute(sql.SQL("show {}").format(sql.Identifier(name))).fetchone()[0]
                 for name in ("application_name", "search_path", "timezone")]
        status = conn.info.parameter_status("TimeZone")
        same_pid = conn.info.backend_pid == conn.execute("select pg_backend_pid()").fetchone()[0]
        return [shown, status, same_pid]


def terminated(url):
    with psycopg.connect(url, autocommit=True) as victim, psycopg.connect(url, autocommit=True) as killer:
        killer.execute("select pg_terminate_backend(%s)", (victim.info.backend_pid,))
        try:
            victim.execute("select pg_sleep(5)")
            return "lives"
        except psycopg.OperationalError as error:
            return error.sqlstate


def large_values(url):
    with psycopg.connect(url) as conn:
        up = conn.execute("select length(%s)", ("x" * 3_000_000,)).fetchone()[0]
        down = len(conn.execute("select repeat('y', 3000000)").fetchone()[0])
        return [up, down]


CHECKS = [simple_and_extended, binary_results, prepared, transaction_states, pipeline, pipeline_with_error,
          server_cursor, streaming, copy_text, copy_binary, copy_failures, executemany, cancel, notifications,
          notices, settings, terminated, large_values]

if __name__ == "__main__":
    print(json.dumps({check.__name__: check(sys.argv[1]) for check in CHECKS}))
