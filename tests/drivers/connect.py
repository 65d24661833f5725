"""Connects in many ways and says how each went.

Usage: connect.py '[{"name": …, "client": "psycopg" | "asyncpg", "dsn": …, "action": …}, …]'
Prints one JSON object: name -> "ok", or "fail: " and the error's first line.
"""
import asyncio
import json
import ssl
import sys
import threading
import time

import asyncpg
import psycopg


def cancelled(conn, how):
    timer = threading.Timer(0.5, getattr(conn, how))
    began = time.monotonic()
    timer.start()
    try:
        conn.execute("select pg_sleep(30)")
    except psycopg.errors.QueryCanceled:
        assert time.monotonic() - began < 20
        return
    finally:
        timer.join()
    raise RuntimeError("the statement was not cancelled")


def with_psycopg(job):
    with psycopg.connect(job["dsn"], autocommit=True, connect_timeout=20) as conn:
        action = job.get("action", "select")
        if action.startswith("cancel"):
            cancelled(conn, action)
        elif action == "large":
            row = conn.execute("select sum(length(x)) from (select repeat('x', 1000) x from generate_series(1, 20000)) t")
            assert row.fetchone()[0] == 20_000_000
            text = conn.execute("select repeat('y', 20000000)").fetchone()[0]
            assert len(text) == 20_000_000
            back = conn.execute("select length(%s::text)", (text,)).fetchone()[0]
            assert back == 20_000_000
        elif action == "protocol":
            return f"ok {conn.pgconn.full_protocol_version}"
        else:
            assert conn.execute("select 41 + 1").fetchone()[0] == 42
    return "ok"


async def with_asyncpg(job):
    context = False
    if "sslmode=require" in job["dsn"]:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    parts = dict(part.split("=", 1) for part in job["dsn"].split())
    conn = await asyncpg.connect(
        host=parts["host"], port=int(parts["port"]), user=parts["user"], database=parts["dbname"],
        password=parts.get("password"), ssl=context, timeout=20,
    )
    assert await conn.fetchval("select 41 + 1") == 42
    await conn.close()
    return "ok"


def outcome(job):
    try:
        if job["client"] == "asyncpg":
            return asyncio.run(with_asyncpg(job))
        return with_psycopg(job)
    except Exception as error:
        return "fail: " + " / ".join(str(error).splitlines())[:400]


print(json.dumps({job["name"]: outcome(job) for job in json.loads(sys.argv[1])}))
