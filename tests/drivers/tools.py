"""PostgreSQL's own tools: what each does, as {check: outcome}, printed as one line of JSON.

python tools.py PORT SERVER_PORT BIN FOLDER [check …]

PORT is where the tools connect (the server, or a proxy before it), SERVER_PORT the server itself, for preparing
and looking, BIN the folder with the tools, FOLDER one that the server's user may write to. Without names: all
checks. The outcomes of a run over a proxy equal those of a run on the server.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

LIMIT_S = 180
PORT, SERVER_PORT, BIN, FOLDER = 0, 0, Path(), Path()


def environment(port, **more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return clean | {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": "tools",
                    "PGCONNECT_TIMEOUT": "20"} | more


def tool(program, *args, port=None, stdin=None, check=True, **env):
    done = subprocess.run([BIN / program, *map(str, args)], env=environment(port or PORT, **env), timeout=LIMIT_S,
                          input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    if check and done.returncode:
        raise RuntimeError(f"{program} {args}: {done.returncode}: {done.stderr[-500:]}")
    return done


def psql(script, port=None, check=True, **env):
    done = tool("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", stdin=script, port=port, check=check, **env)
    return done.stdout.strip() if check else [done.returncode, done.stdout.strip(), masked(done.stderr)]


def server(script):
    return psql(script, port=SERVER_PORT)


def masked(text):
    return re.sub(r"\d+", "0", text.strip())


def digest(data):
    return hashlib.sha256(data.encode()).hexdigest()[:16]


def prepare():
    tool("psql", "-XAtqc", "drop database if exists tools with (force)", "-c", "create database tools",
         port=SERVER_PORT, PGDATABASE="postgres")
    server("create table t (id int primary key, note text, data bytea);"
           "insert into t select g, repeat('n', g % 90), decode(md5(g::text), 'hex') from generate_series(1, 20000) g;"
           "create table big as select g, md5(g::text) m from generate_series(1, 5000) g; analyze")


def pgbench():
    tool("pgbench", "-i", "-q", "-s", "1")
    outcome = []
    script = "\\set id random(1, 20000)\n\\startpipeline\n" + "select note from t where id = :id;\n" * 5 + "\\endpipeline\n"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        for mode in ("simple", "extended", "prepared"):
            runs = [[], ["-f", file.name]] if mode != "simple" else [[]]
            for more in runs:
                output = tool("pgbench", "-n", "-M", mode, "-c", "4", "-t", "50", *more).stdout
                outcome.append(re.search(r"actually processed: (\S+)", output).group(1))
    tool("psql", "-XAtqc", "drop table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers")
    return outcome


def dump(*args):
    text = tool("pg_dump", *args).stdout
    return digest(re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE))


def pg_dump_and_restore():
    with tempfile.TemporaryDirectory() as folder:
        tool("pg_dump", "-Fc", "-f", f"{folder}/one")
        tool("pg_dump", "-Fd", "-j", "2", "-f", f"{folder}/many")
        outcome = [dump(), dump("--inserts", "--rows-per-insert=50", "-t", "big")]
        for file, jobs in (("one", ()), ("many", ("-j", "2"))):
            tool("psql", "-XAtqc", "drop database if exists restored", "-c", "create database restored",
                 PGDATABASE="postgres")
            tool("pg_restore", *jobs, "-d", "restored", f"{folder}/{file}")
            outcome.append(dump("restored"))
        tool("psql", "-XAtqc", "drop database restored", PGDATABASE="postgres")
    roles = tool("pg_dumpall", "--globals-only").stdout
    return outcome + ["CREATE ROLE" in roles]


def copies():
    with tempfile.TemporaryDirectory() as folder:
        script = "".join(
            f"\\copy t to '{folder}/{name}' {how}\ncreate temp table c_{name} (like t);\n"
            f"\\copy c_{name} from '{folder}/{name}' {how}\n"
            f"select count(*), sum(id), md5(string_agg(note, '' order by id)) from c_{name};\n"
            for name, how in (("text", ""), ("csv", "csv header"), ("bin", "binary")))
        good = psql(script)
    bad = psql("create temp table c (i int);\ncopy c from stdin;\n1\n2\nx\n4\n\\.\nselect 1;\n", check=False)
    cut = psql("copy (select 1 / (3000 - g) from generate_series(1, 9000) g) to stdout;\n", check=False)
    return [good, bad, [cut[0], cut[2]]]


def fetch_count():
    return [psql("\\set FETCH_COUNT 7\nselect g from generate_series(1, 100) g;\nselect 1;"),
            psql("\\set FETCH_COUNT 7\nselect 1 / (50 - g) from generate_series(1, 100) g;", check=False)]


def large_values():
    value = tool("psql", "-XAtqc", "select repeat('v', 200000000)").stdout
    query = psql(f"select length('{'q' * 60_000_000}')")
    return [len(value), value[:3], query]


def large_objects():
    with tempfile.TemporaryDirectory() as folder:
        source, back = Path(folder) / "in", Path(folder) / "out"
        source.write_bytes(bytes(range(256)) * 4_000)
        psql(f"\\lo_import {source}\n\\lo_export :LASTOID {back}\n\\lo_unlink :LASTOID\n")
        return source.read_bytes() == back.read_bytes()


def cancels():
    outcome = []
    for how in ("psql", "pg_cancel_backend", "pg_terminate_backend"):
        name = f"cancel-{PORT}-{how}"
        command = [BIN / "psql", "-XAtqc", "select pg_sleep(60)"]
        waiting = subprocess.Popen(command, env=environment(PORT, PGAPPNAME=name), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        running = f"from pg_stat_activity where application_name = '{name}' and wait_event = 'PgSleep'"
        until(lambda: server(f"select 1 {running}") == "1")
        if how == "psql":
            waiting.send_signal(signal.SIGINT)
        else:
            server(f"select {how}(pid) {running}")
        said = waiting.communicate(timeout=LIMIT_S)[1]
        outcome.append([how, waiting.returncode, masked(said)])
    return outcome


def until(probe, limit_s=60):
    end = time.monotonic() + limit_s
    while not probe():
        if time.monotonic() > end:
            raise RuntimeError("waited in vain")
        time.sleep(0.05)
    return True


def notifications():
    """A listener that does nothing but wait gets what another session says."""
    import psycopg
    url = f"host=127.0.0.1 port={PORT} user=postgres dbname=tools"
    with psycopg.connect(url, autocommit=True) as listener, psycopg.connect(url, autocommit=True) as speaker:
        listener.execute("listen news")
        threading.Timer(0.3, lambda: speaker.execute("notify news, 'payload'")).start()
        heard = next(iter(listener.notifies(timeout=30)))
        return [heard.channel, heard.payload, heard.pid == speaker.info.backend_pid]


def maintenance():
    server("create extension if not exists amcheck")
    outcome = []
    for program, args in (("vacuumdb", ["-z", "-j", "2", "tools"]), ("reindexdb", ["-t", "t", "tools"]),
                          ("clusterdb", ["tools"]), ("pg_amcheck", ["-j", "2", "--heapallindexed", "tools"]),
                          ("pg_isready", [])):
        outcome.append([program, tool(program, *args, check=False).returncode])
    for program, args in (("createdb", ["made"]), ("createuser", ["made"]), ("dropuser", ["made"]), ("dropdb", ["made"])):
        outcome.append([program, tool(program, *args, check=False).returncode])
    return outcome


def options():
    env = {"PGOPTIONS": "-c work_mem=7MB -c search_path=pg_catalog", "PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German",
           "PGCLIENTENCODING": "LATIN1", "PGAPPNAME": "options"}
    return psql("show work_mem; show search_path; show timezone; show datestyle; show client_encoding;"
                "select application_name from pg_stat_activity where pid = pg_backend_pid()", **env)


def base_backup():
    with tempfile.TemporaryDirectory() as folder:
        tool("pg_basebackup", "-X", "stream", "-c", "fast", "-D", f"{folder}/plain")
        verified = tool("pg_verifybackup", f"{folder}/plain", check=False).returncode
        tool("pg_basebackup", "-X", "fetch", "-c", "fast", "-Ft", "-z", "-D", f"{folder}/tar")
        return [verified, sorted(path.name for path in (Path(folder) / "tar").iterdir())]


def streamed(program, args, is_done):
    """A receiver that runs until it has what it should have, and is then stopped."""
    command = [BIN / program, *map(str, args)]
    receiver = subprocess.Popen(command, env=environment(PORT), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until(is_done)
    finally:
        receiver.send_signal(signal.SIGINT)
        receiver.communicate(timeout=LIMIT_S)
    return receiver.returncode


def receive_wal():
    with tempfile.TemporaryDirectory() as folder:
        def has_segment():
            server("insert into big select g, 'wal' from generate_series(1, 100) g; select pg_switch_wal()")
            return any(re.fullmatch(r"[0-9A-F]{24}", path.name) for path in Path(folder).iterdir())
        return streamed("pg_receivewal", ["-D", folder], has_segment)


def receive_logical():
    slot = f"tools_{PORT}"
    tool("pg_recvlogical", "-d", "tools", "--slot", slot, "--create-slot", "-P", "test_decoding")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        def has_row():
            server("insert into big values (-1, 'logical')")
            return out.exists() and "logical" in out.read_text()
        code = streamed("pg_recvlogical", ["-d", "tools", "--slot", slot, "--start", "-f", out, "-F", "1"], has_row)
    tool("pg_recvlogical", "-d", "tools", "--slot", slot, "--drop-slot")
    return code


def subscription():
    """A second database subscribes to the first by a connection string that names the port under test."""
    slot = f"sub_{PORT}"
    server("drop publication if exists p; create publication p for table t")
    for statement in ("drop database if exists subscriber with (force)", "create database subscriber"):
        tool("psql", "-XAtqc", statement, port=SERVER_PORT, PGDATABASE="postgres")
    server(f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    def there(sql):
        return psql(sql, port=SERVER_PORT, PGDATABASE="subscriber")
    there("create table t (id int primary key, note text, data bytea)")
    there(f"create subscription s connection 'host=127.0.0.1 port={PORT} dbname=tools user=postgres' "
          f"publication p with (create_slot = false, slot_name = '{slot}')")
    until(lambda: there("select count(*) from t") == "20000")
    server("insert into t values (-5, 'streamed', null); update t set note = 'changed' where id = 7; delete from t where id = 8")
    until(lambda: there("select count(*), max(note) filter (where id = 7), min(id) from t") == "20000|changed|-5")
    there("drop subscription s")
    server("delete from t where id = -5; drop publication p")
    tool("psql", "-XAtqc", "drop database subscriber with (force)", port=SERVER_PORT, PGDATABASE="postgres")
    return True


QUICK = [pgbench, copies, fetch_count, large_objects, cancels, options, maintenance, notifications]
ALL = QUICK + [pg_dump_and_restore, large_values, base_backup, receive_wal, receive_logical, subscription]


def main():
    global PORT, SERVER_PORT, BIN, FOLDER
    PORT, SERVER_PORT, BIN, FOLDER = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    wanted = sys.argv[5:]
    checks = QUICK if wanted == ["quick"] else [check for check in ALL if not wanted or check.__name__ in wanted]
    outcomes = {}
    for check in checks:
        prepare()
        try:
            outcomes[check.__name__] = check()
        except Exception as error:
            outcomes[check.__name__] = f"{type(error).__name__}: {masked(str(error))}"
            print(f"tools: {check.__name__}: {error}", file=sys.stderr)
    tool("psql", "-XAtqc", "drop database if exists tools with (force)", port=SERVER_PORT, PGDATABASE="postgres")
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
