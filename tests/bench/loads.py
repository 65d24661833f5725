"""What the bench runs through each relay. A load does a known number of units and says how fast."""

import re
import subprocess
from pathlib import Path

SCALE = 10
ROWS = 100_000 * SCALE
BULK_ROWS = 5_000_000
PIPELINED = 20

ONE = "select abalance from pgbench_accounts where aid = :aid;\n"
KEY = f"\\set aid random(1, {ROWS})\n"
SCRIPTS = {
    "pipeline": KEY + "\\startpipeline\n" + ONE * PIPELINED + "\\endpipeline\n",
    "hundred": f"\\set aid random(1, {ROWS - 100})\n"
               "select aid, bid, abalance from pgbench_accounts where aid between :aid and :aid + 99;\n",
    "connect": "select 1;\n",
}


class Load:
    """One row of the table: `unit` is what its costs are per, and `units` how many a transaction makes."""

    def __init__(self, name, clients, unit="statement", mode="simple", script=None, units=1, latency=False, unix=False):
        self.name, self.clients, self.unit, self.mode = name, clients, unit, mode
        self.script, self.units, self.latency, self.unix = script, units, latency, unix

    @property
    def title(self):
        return f"{self.name}, {self.clients} client{'s' if self.clients > 1 else ''}"

    def run(self, postgres, relay, seconds, folder):
        """(units done, units a second, latencies in microseconds if they were asked for)."""
        what = ["-f", f"{folder}/{self.script}.sql"] if self.script else ["-S"]
        more = ["-C"] if self.script == "connect" else []
        logs = ["-l", "--log-prefix", f"{folder}/latency"] if self.latency else []
        output = postgres.tool(
            "pgbench", "-n", "-h", relay.host, "-M", self.mode, "-c", str(self.clients), "-T", str(seconds),
            *what, *more, *logs, "postgres", port=relay.port, stderr=subprocess.PIPE).stdout
        done = int(re.search(r"actually processed: (\d+)", output).group(1)) * self.units
        rate = float(re.search(r"tps = ([\d.]+)", output).group(1)) * self.units
        return done, rate, latencies(folder) if self.latency else []


class Bulk:
    """A hundred megabytes in one statement, some times; its unit is the megabyte."""

    unit, clients, latency, unix = "MB", 1, False, False

    def __init__(self, name, command):
        self.name, self.command = name, command

    @property
    def title(self):
        return self.name

    def run(self, postgres, relay, _seconds, folder):
        # The file is read and written by the shell, so that the client does nothing but the protocol.
        script = self.command.format(psql=f"{postgres.bin}/psql -XqAt -h {relay.host} -p {relay.port}", folder=folder)
        begin = _now()
        subprocess.run(["sh", "-ec", script], env=postgres.env(relay.port), check=True)
        took = _now() - begin
        return megabytes(folder), megabytes(folder) / took, []


def _now():
    import time
    return time.monotonic()


def megabytes(folder):
    return Path(f"{folder}/bulk.txt").stat().st_size / 1e6


def latencies(folder):
    found = []
    for log in Path(folder).glob("latency.*"):
        found += [int(line.split()[2]) for line in log.read_text().splitlines()]
        log.unlink()
    return sorted(found)


LOADS = [
    Load("simple", 1, latency=True),
    Load("simple", 8, latency=True),
    Load("simple", 64),
    Load("extended", 1, mode="extended"),
    Load("extended", 64, mode="extended"),
    Load("prepared", 8, mode="prepared"),
    Load("prepared", 64, mode="prepared"),
    Load("20 per Sync", 1, mode="prepared", script="pipeline", units=PIPELINED),
    Load("100 rows", 8, mode="prepared", script="hundred"),
    Load("connect", 1, unit="connection", script="connect"),
    Load("simple, Unix sockets", 1, unix=True),
    Bulk("result of 100 MB", "{psql} -c 'select a, b, c from bulk' >/dev/null"),
    Bulk("COPY out", "{psql} -c 'copy bulk to stdout' >/dev/null"),
    Bulk("COPY in", "{psql} -c 'copy sink from stdin' <{folder}/bulk.txt; {psql} -c 'truncate sink'"),
]


def prepare(postgres, folder):
    postgres.tool("pgbench", "-i", "-q", "-s", str(SCALE), stderr=subprocess.DEVNULL)
    postgres.query("create unlogged table bulk as select i as a, i * 2 as b, i % 97 as c "
                   f"from generate_series(1, {BULK_ROWS}) i; create unlogged table sink (a int, b int, c int)")
    with open(f"{folder}/bulk.txt", "w") as file:
        subprocess.run([postgres.bin / "psql", "-XqAtc", "copy bulk to stdout"], env=postgres.env(), stdout=file, check=True)
    for name, script in SCRIPTS.items():
        Path(f"{folder}/{name}.sql").write_text(script)
