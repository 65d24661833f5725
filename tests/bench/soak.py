"""Hours of mixed load with faults; prints a table at the end, and one line a minute while it runs.

python tests/bench/soak.py [--binary target/release/pgsonde] [--hours 8 | --minutes 1]

Load: pgbench simple, extended, prepared and pipelined, and the mixed program of the book test (COPY, errors, portals,
cancels), reconnecting all the time. Faults: the server is restarted hard every ten minutes (once in a short run). At
the end: lost or wrong answers, desynchronised sessions, memory slope, descriptors, and the proxy's count of
statements against the clients' own. Exit code 1 where one is not as it should be.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from throwaway import Postgres, Proxy, binary, target, wait_for  # noqa: E402

RESTART_EVERY_S = 600
SLOPE_MAX_MIB_PER_HOUR = 1.0
# A short history, so that it is full soon and what grows afterwards is a leak.
CONFIG = '[profile]\nhistory = "5m"\n'
SETTLED_AFTER_S = 600
# A slope over less than this says nothing.
SLOPE_OVER_S = 600
PIPELINE = 10
ROUND_TRANSACTIONS = 200


class Load(threading.Thread):
    """Runs rounds of one kind until told to stop, and counts what the client itself says that it did."""

    def __init__(self, name, postgres, port, folder, stop, calm):
        super().__init__(name=name)
        self.postgres, self.port, self.folder, self.stop_asked, self.calm = postgres, port, folder, stop, calm
        self.rounds = self.statements = self.broken = self.wrong = 0

    def run(self):
        while not self.stop_asked.is_set():
            # A fault that struck during the round excuses its failure, and makes its count unknown.
            faults = self.calm.faults
            try:
                self.round()
                self.rounds += 1
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
                struck = faults != self.calm.faults or not self.calm.is_up.is_set()
                self.broken += struck
                if not struck:
                    self.wrong += 1
                    print(f"soak: {self.name}: {error}: {getattr(error, 'stderr', '')}", file=sys.stderr)
            self.calm.is_up.wait(60)


class Pgbench(Load):
    def round(self):
        mode, _, kind = self.name.partition(" ")
        script = self.folder / self.name.replace(" ", "-")
        query = f"select note from {table(self.name)} where id = :id;\n"
        body = f"\\startpipeline\n{query * PIPELINE}\\endpipeline\n" if kind else query
        script.write_text("\\set id random(1, 1000)\n" + body)
        output = self.postgres.tool("pgbench", "-n", "-M", mode, "-c", "4", "-t", str(ROUND_TRANSACTIONS), "-f",
                                    str(script), port=self.port, stderr=subprocess.PIPE).stdout
        done, wanted = re.search(r"actually processed: (\d+)/(\d+)", output).groups()
        if done != wanted:
            raise ValueError(output)
        self.statements += int(done) * (PIPELINE if kind else 1)


class Mixed(Load):
    def round(self):
        # Each round wants its tables new.
        tables = self.postgres.query("select string_agg(tablename, ', ') from pg_tables where tablename like 'load\\_%'")
        if tables:
            self.postgres.tool("psql", "-XAtqc", f"drop table {tables}", stderr=subprocess.PIPE)
        url = "postgresql://postgres@127.0.0.1:{}/postgres"
        output = subprocess.run([sys.executable, ROOT / "tests/drivers/load_mix.py", url.format(self.port),
                                 url.format(self.postgres.port), "2", "20"], check=True, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        json.loads(output.stdout.splitlines()[-1])


def table(name):
    return "soak_" + name.replace(" ", "_")


class Calm:
    def __init__(self):
        self.faults, self.is_up = 0, threading.Event()
        self.is_up.set()


def strike(postgres, calm):
    """Kills every client backend at once, which makes the server go through crash recovery."""
    calm.faults += 1
    calm.is_up.clear()
    backends = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    # Some end before the signal comes: one that was killed is enough.
    while not any(killed(int(pid)) for pid in postgres.query(backends).split()):
        time.sleep(0.1)
    time.sleep(0.5)
    wait_for("the server is back", lambda: postgres.tool(
        "psql", "-XAtqc", "select 1", check=False, stderr=subprocess.DEVNULL).returncode == 0)
    calm.is_up.set()


def killed(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def fetch(proxy, path):
    with urllib.request.urlopen(f"{proxy.admin}{path}", timeout=30) as answer:
        return answer.read().decode()


def metric(proxy, family):
    lines = (line for line in fetch(proxy, "/metrics").splitlines() if re.match(rf"{family}[ {{]", line))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def resident_mib(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def counted(proxy, word):
    items = json.loads(fetch(proxy, "/api/v1/statements?limit=500"))["items"]
    return sum(item["calls"] - item.get("aborted", 0) for item in items
               if re.search(rf"\b{word}\b", item["query_text"] or ""))


def soak(given, folder):
    with Postgres(max_connections=200, synchronous_commit="off", restart_after_crash="on") as postgres:
        config = folder / "pgsonde.toml"
        config.write_text(CONFIG)
        with Proxy(given.binary, postgres.port, folder, config=config) as proxy:
            return run(given, folder, postgres, proxy)


def run(given, folder, postgres, proxy):
    stop, calm = threading.Event(), Calm()
    names = ["simple", "extended", "prepared", "extended pipe", "prepared pipe"]
    for name in names:
        postgres.query(f"create table {table(name)} (id int primary key, note text)")
        postgres.query(f"insert into {table(name)} select g, 'note' from generate_series(1, 1000) g")
    loads = [Pgbench(name, postgres, proxy.port, folder, stop, calm) for name in names]
    loads.append(Mixed("mixed", postgres, proxy.port, folder, stop, calm))
    for load in loads:
        load.start()
    end, marks, next_fault = time.monotonic() + given.seconds, [], time.monotonic() + min(
        RESTART_EVERY_S, given.seconds / 2)
    began = time.monotonic()
    while time.monotonic() < end:
        time.sleep(min(10, max(0.1, end - time.monotonic())))
        marks.append((time.monotonic() - began, resident_mib(proxy.pid)))
        if time.monotonic() >= next_fault:
            strike(postgres, calm)
            next_fault = time.monotonic() + RESTART_EVERY_S
        print(f"soak: {marks[-1][0]:.0f} s, {marks[-1][1]:.1f} MiB, {metric(proxy, 'pgsonde_statements_total'):.0f} statements",
              file=sys.stderr)
    stop.set()
    for load in loads:
        load.join()
    time.sleep(3)
    return report(loads, marks, calm, proxy)


def slope(marks):
    """MiB per hour by least squares, once tables and history are full; `None` where that is too short a time."""
    settled = [mark for mark in marks if mark[0] >= SETTLED_AFTER_S]
    if not settled or settled[-1][0] - settled[0][0] < SLOPE_OVER_S:
        return None
    times, sizes = zip(*settled)
    mean_t, mean_s = sum(times) / len(times), sum(sizes) / len(sizes)
    return 3_600 * sum((t - mean_t) * (s - mean_s) for t, s in settled) / sum((t - mean_t) ** 2 for t in times)


def report(loads, marks, calm, proxy):
    bad = False
    print(f"{'load':<16}{'rounds':>8}{'broken by a fault':>19}{'wrong':>7}{'clients say':>13}{'proxy says':>12}")
    for load in loads:
        seen = counted(proxy, table(load.name)) if isinstance(load, Pgbench) else 0
        # Rounds that a fault broke were counted by the proxy as far as they went.
        is_equal = load.statements == seen or (load.broken and seen >= load.statements)
        bad |= bool(load.wrong) or (isinstance(load, Pgbench) and not is_equal)
        print(f"{load.name:<16}{load.rounds:>8}{load.broken:>19}{load.wrong:>7}{load.statements or '-':>13}{seen or '-':>12}")
    books = json.loads(fetch(proxy, "/api/v1/summary"))["books"]
    terms = sum(books[term] for term in ("exact", "bound", "batch_members", "empty", "aborted"))
    opaque, dropped = metric(proxy, "pgsonde_opaque_sessions_total"), metric(proxy, "pgsonde_events_dropped_total")
    growth = slope(marks)
    steep = growth is not None and growth > SLOPE_MAX_MIB_PER_HOUR
    descriptors = len(os.listdir(f"/proc/{proxy.pid}/fd"))
    rows = [("hard restarts", calm.faults, False), ("opaque sessions", int(opaque), opaque > 0),
            ("statements", books["statements"], False), ("sum of the books' terms", terms, terms != books["statements"]),
            ("records dropped", int(dropped), False), ("descriptors at rest", descriptors, descriptors > 60),
            ("resident MiB", f"{marks[-1][1]:.1f}", False), ("MiB an hour", "too short" if growth is None else f"{growth:.2f}", steep)]
    for name, value, is_bad in rows:
        bad |= is_bad
        print(f"{name:<26}{value:>14}{'  <- not as it should be' if is_bad else ''}")
    return int(bad)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", type=binary, default=target() / "release/pgsonde")
    arguments.add_argument("--hours", type=float)
    arguments.add_argument("--minutes", type=float)
    given = arguments.parse_args()
    given.seconds = 3_600 * (given.hours or 0) + 60 * (given.minutes or 0) or 8 * 3_600
    with tempfile.TemporaryDirectory(prefix="pgsonde-soak-") as folder:
        return soak(given, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
