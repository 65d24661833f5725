"""pgbench -S direct, through haproxy in TCP mode and through pgsonde: throughput, and what each relay costs.

    make bench                 five rounds of five seconds
    make bench ARGS=--quick    two rounds of two seconds

Within a round the three paths follow each other, so that a ratio compares neighbours in time; medians are over
rounds. Throughput swings on a shared machine, where load generator, server and relay share the cores; the relay's
own CPU time per statement (scheduler run time of all its threads) is the sturdier number.
"""

import argparse
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))
from throwaway import Guarded, Postgres, Proxy, binary, free_port, target, wait_for  # noqa: E402

MODES = [("simple", 1), ("simple", 8), ("prepared", 8)]
SCALE = 10

HAPROXY = """
global
    maxconn 500
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen postgres
    bind 127.0.0.1:{port}
    server upstream 127.0.0.1:{upstream}
"""


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="pgsonde-bench-") as folder, \
            Postgres(shared_buffers="1GB", synchronous_commit="off", max_connections=200) as postgres, \
            haproxy(postgres, folder) as other, Proxy(options.bin, postgres.port, folder) as proxy:
        print(f"filling pgbench at scale {SCALE}", flush=True)
        postgres.tool("pgbench", "-i", "-q", "-s", str(SCALE), stderr=open(os.devnull, "w"))
        paths = {"direct": (postgres.port, None), "haproxy": (other.port, other.pid), "pgsonde": (proxy.port, proxy.pid)}
        samples = measure(postgres, paths, options)
        dropped = scrape(proxy, "pgsonde_events_dropped_total")
    table = [summary(mode, clients, samples[mode, clients]) for mode, clients in MODES]
    show(table, dropped)
    write(options, table, samples, dropped)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of two seconds")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=int, help="per path and round, default 5")
    parser.add_argument("--bin", type=binary, default=target() / "release/pgsonde", help="the pgsonde binary")
    parser.add_argument("--out", type=Path, default=target() / "bench.json")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (2 if options.quick else 5)
    return options


def haproxy(postgres, folder):
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    port, config = free_port(), Path(folder) / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, upstream=postgres.port))
    relay = Guarded([program, "-db", "-f", config], Path(folder) / "haproxy.log")
    relay.port = port

    def answers():
        relay.require_running("haproxy")
        return postgres.tool("psql", "-XAtqc", "select 1", port=port, check=False, stderr=open(os.devnull, "w")).stdout

    try:
        wait_for("haproxy answers", answers)
    except BaseException:
        relay.stop()
        raise
    return relay


def cpu_us(pid):
    """Scheduler run time of all threads of a process, in microseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass  # a thread that has just ended
    return total / 1000


def measure(postgres, paths, options):
    samples = {mode: [] for mode in MODES}
    for number in range(options.rounds):
        for mode, clients in MODES:
            sample = {name: run(postgres, mode, clients, *path, options.seconds) for name, path in paths.items()}
            samples[mode, clients].append(sample)
            rates = ", ".join(f"{name} {one['tps']:,.0f}/s" for name, one in sample.items())
            print(f"round {number + 1} of {options.rounds}, {mode}, {clients} clients: {rates}", flush=True)
    return samples


def run(postgres, mode, clients, port, pid, seconds):
    before = cpu_us(pid) if pid else 0
    output = postgres.tool("pgbench", "-n", "-S", "-M", mode, "-c", str(clients), "-T", str(seconds), port=port).stdout
    spent = cpu_us(pid) - before if pid else None
    statements = int(re.search(r"actually processed: (\d+)", output).group(1))
    tps = float(re.search(r"tps = ([\d.]+)", output).group(1))
    return {"tps": tps, "statements": statements, "cpu_us": spent and spent / statements}


def summary(mode, clients, rounds):
    def ratio(name, base, what):
        return median(one[name][what] / one[base][what] for one in rounds)

    return {
        "mode": mode, "clients": clients, "rounds": len(rounds),
        "direct_tps": median(one["direct"]["tps"] for one in rounds),
        "haproxy_tps_ratio": ratio("haproxy", "direct", "tps"),
        "pgsonde_tps_ratio": ratio("pgsonde", "direct", "tps"),
        "haproxy_cpu_us": median(one["haproxy"]["cpu_us"] for one in rounds),
        "pgsonde_cpu_us": median(one["pgsonde"]["cpu_us"] for one in rounds),
        "haproxy_cpu_us_min": min(one["haproxy"]["cpu_us"] for one in rounds),
        "pgsonde_cpu_us_min": min(one["pgsonde"]["cpu_us"] for one in rounds),
        "pgsonde_cpu_to_haproxy": ratio("pgsonde", "haproxy", "cpu_us"),
    }


def scrape(proxy, family):
    from urllib.request import urlopen
    lines = urlopen(f"{proxy.admin}/metrics", timeout=10).read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{family}[ {{]", line))


def show(table, dropped):
    print(f"\n{'':20}{'statements/s':>14}{'share of direct':>24}{'own CPU us per statement (min)':>34}{'CPU ratio':>12}")
    print(f"{'mode, clients':20}{'direct':>14}{'haproxy':>12}{'pgsonde':>12}{'haproxy':>17}{'pgsonde':>17}{'':>12}")
    for row in table:
        costs = [f"{row[f'{name}_cpu_us']:.1f} ({row[f'{name}_cpu_us_min']:.1f})" for name in ("haproxy", "pgsonde")]
        print(f"{row['mode'] + ', ' + str(row['clients']):20}{row['direct_tps']:>14,.0f}"
              f"{row['haproxy_tps_ratio']:>12.2f}{row['pgsonde_tps_ratio']:>12.2f}"
              f"{costs[0]:>17}{costs[1]:>17}{row['pgsonde_cpu_to_haproxy']:>12.2f}")
    print(f"pgsonde profiled every statement meanwhile; records lost to a full queue: {dropped:.0f}")


def write(options, table, samples, dropped):
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rounds = [{"mode": mode, "clients": clients, "rounds": some} for (mode, clients), some in samples.items()]
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "kernel": platform.release()}
    document = {"machine": machine, "seconds": options.seconds, "table": table, "dropped": dropped, "samples": rounds}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
