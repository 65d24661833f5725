"""Traffic for the report page: a small shop whose names try to be markup; goes on until it is ended.

python web_load.py postgresql://…
"""

import sys
import time

import psycopg

HOSTILE = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>\u202egnp.exe</style>`${window.pwned=1}`"
LONG = "x" * 100_000
PAUSE_S = 0.05


def ignored(connection, sql, parameters=None):
    """An error that the page shall show."""
    try:
        connection.execute(sql, parameters)
    except psycopg.Error:
        connection.rollback()


def requests(connection, number):
    route = HOSTILE.replace("'", "%27") if number % 2 else "/carts/:id"
    tag = f"/*route='{route}',application='web'*/"
    escaped = tag.replace("%", "%%")
    with connection.transaction():
        connection.execute(f"select id, note from web_carts where id < 20 order by id {tag}")
        for cart in range(12):
            connection.execute(f"select id, note from web_carts where id = %s {escaped}", (cart,))
        connection.execute(f"update web_carts set note = %s where id = %s {escaped}", (LONG[:2_000], number % 40))
    ignored(connection, "insert into web_carts (id, note) values (%s, %s)", (1, "again"))
    connection.rollback()


def hostile(connection):
    quoted = '"' + HOSTILE.replace('"', '""')[:50] + '"'
    ignored(connection, f"select 1 as {quoted}")
    ignored(connection, f"select '{HOSTILE.replace(chr(39), chr(39) * 2)}' as a, '{LONG}' as b")
    ignored(connection, f"select {', '.join(f'id as column_{index}' for index in range(1_200))} from web_carts where id = 3")
    ignored(connection, f"select {HOSTILE}")
    connection.commit()


def main(url):
    with psycopg.connect(url, application_name=HOSTILE) as connection, psycopg.connect(url, application_name="web") as other:
        connection.execute("create table if not exists web_carts (id int primary key, note text)")
        connection.execute("insert into web_carts select i, 'note' from generate_series(0, 99) i on conflict do nothing")
        connection.commit()
        hostile(connection)
        number = 0
        while True:
            requests(other if number % 2 else connection, number)
            number += 1
            time.sleep(PAUSE_S)


main(sys.argv[1])
