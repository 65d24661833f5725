"""What asyncpg can do on one connection string; prints {check: outcome}, as psycopg_checks.py does."""

import asyncio
import json
import sys

import asyncpg


async def fetch(conn):
    rows = await conn.fetch("select g, g::text from generate_series(1, $1::int) g", 5)
    return [list(row) for row in rows]


async def script(conn):
    return await conn.execute("create temp table s (id int); insert into s values (1), (2); select 1")


async def cursor_portal(conn):
    """Execute with a row limit: the portal is suspended again and again."""
    async with conn.transaction():
        return [row[0] async for row in conn.cursor("select g from generate_series(1, 30) g", prefetch=7)]


async def cursor_steps(conn):
    async with conn.transaction():
        cursor = await conn.cursor("select g from generate_series(1, 10) g")
        first = await cursor.fetch(3)
        skipped = await cursor.forward(2)
        return [[row[0] for row in first], skipped, (await cursor.fetchrow())[0], [r[0] for r in await cursor.fetch(99)]]


async def executemany(conn):
    await conn.execute("create temp table many (id int, note text)")
    await conn.executemany("insert into many values ($1, $2)", [(n, str(n)) for n in range(500)])
    return await conn.fetchval("select count(*) from many")


async def executemany_error(conn):
    await conn.execute("create temp table uniq (id int primary key)")
    try:
        await conn.executemany("insert into uniq values ($1)", [(n % 50,) for n in range(100)])
        outcome = "passed"
    except asyncpg.UniqueViolationError as error:
        outcome = error.sqlstate
    return [outcome, await conn.fetchval("select count(*) from uniq")]


async def prepared(conn):
    statement = await conn.prepare("select $1::int * 2")
    return [await statement.fetchval(n) for n in range(20)]


async def errors(conn):
    seen = []
    for text in ("select 1/0", "selec", "select * from no_such_table"):
        for run in (conn.fetch, conn.execute):
            try:
                await run(text)
            except asyncpg.PostgresError as error:
                seen.append(error.sqlstate)
    return seen


async def copy(conn):
    await conn.execute("create temp table c (id int, note text)")
    into = await conn.copy_records_to_table("c", records=[(n, str(n)) for n in range(1000)])
    size = 0

    async def sink(data):
        nonlocal size
        size += len(data)

    out = await conn.copy_from_query("select * from c order by id", output=sink)
    return [into, out, size]


async def timeout_cancels(conn):
    try:
        await conn.fetch("select pg_sleep(20)", timeout=0.3)
        return "slept"
    except asyncio.TimeoutError:
        return ["cancelled", await conn.fetchval("select 1")]


async def notifications(conn):
    got = asyncio.Queue()
    await conn.add_listener("asyncpg_news", lambda *args: got.put_nowait(args[3]))
    await conn.execute("select pg_notify('asyncpg_news', 'hello')")
    return await asyncio.wait_for(got.get(), 10)


async def nested_transactions(conn):
    await conn.execute("create temp table n (id int)")
    async with conn.transaction():
        await conn.execute("insert into n values (1)")
        try:
            async with conn.transaction():
                await conn.execute("insert into n values (2)")
                raise KeyError
        except KeyError:
            pass
    return await conn.fetchval("select count(*) from n")


CHECKS = [fetch, script, cursor_portal, cursor_steps, executemany, executemany_error, prepared, errors, copy,
          timeout_cancels, notifications, nested_transactions]


async def main(url):
    outcomes = {}
    for check in CHECKS:
        conn = await asyncpg.connect(url)
        outcomes[check.__name__] = await check(conn)
        await conn.close()
    pool = await asyncpg.create_pool(url, min_size=3, max_size=3)
    outcomes["pool"] = sorted(await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(30))))
    await pool.close()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
