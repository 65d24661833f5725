"""Sends a known number of statements of every sort; prints {table: {"calls": n, "errors": n}}.

python load_mix.py URL DIRECT_URL WORKERS ROUNDS

The tables are made over DIRECT_URL, so that only the load is counted. Each sort of statement names a table of its
own (load_…), by which it is found again. The key "empty" counts empty queries, and "skipped" requests that the
server skipped after an error in a pipeline; the latter are no statements.
"""

import asyncio
import json
import multiprocessing
import sys
import threading
from collections import Counter

import asyncpg
import psycopg

TABLES = ["load_bound", "load_pipe", "load_fails", "load_pipe_fails", "load_pipe_good", "load_pipe_skipped",
          "load_copy_in", "load_copy_out", "load_copy_bad", "load_multi", "load_fetch", "load_cancel",
          "load_portal", "load_many", "load_prepared"]
PIPELINE = 20
CANCEL_EVERY = 25


def expect(book, table, calls, errors=0):
    book[table, "calls"] += calls
    book[table, "errors"] += errors


def bound(conn, book, n):
    for i in range(10):
        conn.execute("select note from load_bound where id = %s", (i,)).fetchall()
    expect(book, "load_bound", 10)


def pipelined(conn, book, n):
    with conn.pipeline():
        cursors = [conn.execute("select note from load_pipe where id = %s", (i,)) for i in range(PIPELINE)]
        rows = sum(len(cursor.fetchall()) for cursor in cursors)
    assert rows == 9, rows  # ids 1 to 9 exist
    expect(book, "load_pipe", PIPELINE)


def failing(conn, book, n):
    try:
        conn.execute("select 1 / (id - id) from load_fails where id = %s", (1,))
        raise AssertionError("a division by zero passed")
    except psycopg.errors.DivisionByZero:
        expect(book, "load_fails", 1, 1)


def pipeline_with_error(conn, book, n):
    """Straight on libpq: psycopg itself would stop sending as soon as it has read the error."""
    libpq, seen = conn.pgconn, Counter()
    libpq.enter_pipeline_mode()
    for text in (b"select id from load_pipe_good where id = $1",
                 b"select 1 / (id - id) from load_pipe_fails where id = $1",
                 b"select id from load_pipe_skipped where id = $1",
                 b"select id from load_pipe_skipped where id + 0 = $1"):
        libpq.send_query_params(text, [b"1"])
    libpq.pipeline_sync()
    while not seen["PIPELINE_SYNC"]:
        result = libpq.get_result()
        if result:
            seen[psycopg.pq.ExecStatus(result.status).name] += 1
    libpq.exit_pipeline_mode()
    assert seen == {"TUPLES_OK": 1, "FATAL_ERROR": 1, "PIPELINE_ABORTED": 2, "PIPELINE_SYNC": 1}, seen
    expect(book, "load_pipe_good", 1)
    expect(book, "load_pipe_fails", 1, 1)
    book["skipped"] += 2


def copies(conn, book, n):
    with conn.cursor().copy("copy load_copy_in from stdin") as copy:
        for i in range(20):
            copy.write_row((i, "copied"))
    with conn.cursor().copy("copy (select * from load_copy_out) to stdout") as copy:
        assert sum(1 for _ in copy.rows()) == 9
    try:
        with conn.cursor().copy("copy load_copy_bad from stdin") as copy:
            copy.write("not a number\tx\n")
        raise AssertionError("a bad line passed")
    except psycopg.errors.InvalidTextRepresentation:
        pass
    expect(book, "load_copy_in", 1)
    expect(book, "load_copy_out", 1)
    expect(book, "load_copy_bad", 1, 1)


def several_in_one_query(conn, book, n):
    conn.execute("select 1 from load_multi where id = 1; select 2 from load_multi where id = 2; select 3 from load_multi")
    expect(book, "load_multi", 3)


def empty(conn, book, n):
    conn.execute("")
    book["empty"] += 1


def cursor_in_sql(conn, book, n):
    with conn.transaction():
        conn.execute("declare walk cursor for select * from load_fetch")
        conn.execute("fetch 4 from walk")
        conn.execute("close walk")
    expect(book, "load_fetch", 1)  # FETCH and CLOSE do not name the table


def cancelled(conn, book, n):
    if n % CANCEL_EVERY:
        return
    timer = threading.Timer(0.05, conn.cancel_safe)
    timer.start()
    try:
        conn.execute("select pg_sleep(30) from load_cancel limit 1")
        raise AssertionError("the cancel did not arrive")
    except psycopg.errors.QueryCanceled:
        expect(book, "load_cancel", 1, 1)
    timer.join()


def with_psycopg(url, rounds):
    book = Counter()
    with psycopg.connect(url, autocommit=True, application_name="mix-psycopg") as conn:
        for n in range(rounds):
            for step in (bound, pipelined, failing, pipeline_with_error, copies, several_in_one_query, empty,
                         cursor_in_sql, cancelled):
                step(conn, book, n)
    return book


async def with_asyncpg(url, rounds):
    book = Counter()
    conn = await asyncpg.connect(url, server_settings={"application_name": "mix-asyncpg"})
    statement = await conn.prepare("select note from load_prepared where id = $1")
    for _ in range(rounds):
        async with conn.transaction():
            walked = [row async for row in conn.cursor("select id from load_portal where id < $1", 10, prefetch=2)]
        assert len(walked) == 9
        expect(book, "load_portal", 1)  # five Executes of one portal are one statement
        await conn.executemany("insert into load_many values ($1, $2)", [(i, "m") for i in range(25)])
        expect(book, "load_many", 25)
        for i in range(10):
            await statement.fetch(i)
        expect(book, "load_prepared", 10)
    await conn.close()
    return book


def worker(job):
    url, rounds, number = job
    return with_psycopg(url, rounds) if number % 2 else asyncio.run(with_asyncpg(url, rounds))


def main(url, direct, workers, rounds):
    with psycopg.connect(direct, autocommit=True, application_name="mix-setup") as conn:
        for table in TABLES:
            conn.execute(f"create table if not exists {table} (id int, note text)")
            conn.execute(f"insert into {table} select g, 'note' from generate_series(1, 9) g")
    total = Counter()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for book in pool.imap_unordered(worker, [(url, rounds, number) for number in range(workers)]):
            total += book
    answer = {table: {"calls": total[table, "calls"], "errors": total[table, "errors"]} for table in TABLES}
    print(json.dumps(answer | {"empty": total["empty"], "skipped": total["skipped"]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
