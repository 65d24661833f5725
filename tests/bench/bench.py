"""What each relay costs, as a multiple of the least that any relay can cost.

    make bench                 five rounds of four seconds, about half an hour
    make bench ARGS=--quick    two rounds of one second
    make bench ARGS="--only simple,COPY"

The floor (tests/bench/floor) copies bytes between two sockets and does nothing else. Floor, haproxy (TCP mode),
PgBouncer (session mode) and pgsonde (which records every statement meanwhile, its analyzer's CPU included) take turns
within each round before the same PostgreSQL; load generator, server and relays are pinned to one CPU. CPU time is the
scheduler's run time of all threads of the relay over the units done; figures are medians over rounds, ratios are taken
within a round.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import sys
import tempfile
from pathlib import Path
from statistics import median
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))
import relays  # noqa: E402
from loads import LOADS, prepare  # noqa: E402
from throwaway import Postgres, binary, target  # noqa: E402

RELAYS = ["floor", "haproxy", "pgbouncer", "pgsonde"]
QUANTILES = {"p50": 0.5, "p99": 0.99}

# By title: the most that pgsonde may cost as a multiple of the floor, and the goal beyond.
GOALS = {
    "simple, 1 client": (1.15, 1.08), "simple, 64 clients": (1.15, 1.08),
    "extended, 1 client": (1.15, 1.08), "extended, 64 clients": (1.15, 1.08),
    "prepared, 8 clients": (1.18, 1.10), "prepared, 64 clients": (1.18, 1.10),
    "20 per Sync, 1 client": (1.4, 1.3), "100 rows, 8 clients": (1.2, 1.15),
    "result of 100 MB": (1.2, 1.10), "COPY out": (1.2, 1.10), "COPY in": (1.2, 1.10),
}


def main():
    options = arguments()
    # Inherited by everything that is started from here on.
    os.sched_setaffinity(0, {options.cpu})
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsonde-bench-"))
        os.chmod(folder, 0o755)
        postgres = stack.enter_context(Postgres(shared_buffers="1GB", synchronous_commit="off", max_connections=300,
                                                max_wal_size="4GB", autovacuum="off"))
        print("filling the tables", flush=True)
        prepare(postgres, folder)
        paths = {unix: start(stack, postgres, folder, options, unix) for unix in (False, True)}
        samples = measure(postgres, paths, options, folder)
        dropped = sum(scrape(path["pgsonde"], "pgsonde_events_dropped_total") for path in paths.values())
    table = [summary(title, rounds) for title, rounds in samples.items()]
    show(table, dropped, options)
    write(options, table, samples, dropped)
    sys.exit(1 if dropped else 0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of one second")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=int, help="per relay, load and round; default 4")
    parser.add_argument("--only", help="loads whose title has one of these words, with commas between")
    parser.add_argument("--cpu", type=int, default=min(os.sched_getaffinity(0)), help="that everything runs on")
    parser.add_argument("--bin", type=binary, default=target() / "release/pgsonde", help="the pgsonde binary")
    parser.add_argument("--floor", type=binary, default=target() / "floor/release/floor", help="the bare relay")
    parser.add_argument("--out", type=Path, default=target() / "bench.json")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 4)
    words = options.only.split(",") if options.only else [""]
    options.loads = [load for load in LOADS if any(word in load.title for word in words)]
    return options


def start(stack, postgres, folder, options, unix):
    if unix and not any(load.unix for load in options.loads):
        return {}
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsonde-bench-")) if unix else folder
    paths = {"floor": relays.floor(options.floor, postgres, folder, unix)}
    stack.enter_context(paths["floor"])
    if not unix:
        paths["haproxy"] = stack.enter_context(relays.haproxy(postgres, folder))
        paths["pgbouncer"] = stack.enter_context(relays.pgbouncer(postgres, folder))
    paths["pgsonde"] = stack.enter_context(relays.pgsonde(options.bin, postgres, folder, unix))
    return paths


def measure(postgres, paths, options, folder):
    samples = {load.title: [] for load in options.loads}
    for number in range(options.rounds):
        for load in options.loads:
            turn = {name: one(postgres, load, path, options, folder) for name, path in paths[load.unix].items()}
            if load.unix:
                turn["floor_tcp"] = one(postgres, load, paths[False]["floor"], options, folder)
            samples[load.title].append(turn)
            costs = ", ".join(f"{name} {sample['cpu_us']:.2f}" for name, sample in turn.items())
            print(f"round {number + 1} of {options.rounds}, {load.title}: CPU us per {load.unit}: {costs}", flush=True)
    return samples


def one(postgres, load, relay, options, folder):
    cpu, (user, ticks) = relay.cpu_us(), relay.user_share()
    units, rate, latencies = load.run(postgres, relay, options.seconds, folder)
    cpu, (user_after, ticks_after) = relay.cpu_us() - cpu, relay.user_share()
    share = (user_after - user) / max(ticks_after - ticks, 1)
    sample = {"units": units, "unit": load.unit, "rate": rate, "cpu_us": cpu / units, "user_us": cpu / units * share}
    if latencies:
        sample |= {name: latencies[int(len(latencies) * at)] for name, at in QUANTILES.items()}
    return sample


def summary(title, rounds):
    row = {"load": title, "unit": rounds[0]["floor"]["unit"], "relays": {}}
    for name in rounds[0]:
        costs = [turn[name]["cpu_us"] for turn in rounds]
        floors = [turn[name]["cpu_us"] / turn["floor_tcp" if "floor_tcp" in turn else "floor"]["cpu_us"] for turn in rounds]
        row["relays"][name] = {
            "cpu_us": median(costs), "cpu_us_min": min(costs), "noise": (max(costs) - min(costs)) / median(costs),
            "user_us": median(turn[name]["user_us"] for turn in rounds),
            "rate": median(turn[name]["rate"] for turn in rounds), "to_floor": median(floors),
        }
        for quantile in QUANTILES:
            if quantile in rounds[0][name]:
                row["relays"][name][quantile + "_us"] = median(turn[name][quantile] for turn in rounds)
    return row


def scrape(relay, family):
    lines = urlopen(f"{relay.admin}/metrics", timeout=10).read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{family}[ {{]", line))


def show(table, dropped, options):
    print(f"\nRelay's CPU per unit, median of {options.rounds} rounds, as a multiple of the floor of the same round")
    print(f"{'':24}{'floor us (noise)':>18}{'haproxy':>10}{'pgbouncer':>11}{'pgsonde':>9}{'user us':>9}{'must':>7}{'goal':>7}")
    for row in table:
        floor = row["relays"].get("floor_tcp") or row["relays"]["floor"]
        ratios = {name: f"{row['relays'][name]['to_floor']:.2f}" if name in row["relays"] else "" for name in RELAYS}
        must, goal = (0.80, 0.80) if "Unix" in row["load"] else GOALS.get(row["load"], ("", ""))
        print(f"{row['load']:24}{floor['cpu_us']:>10.2f} ({floor['noise'] * 100:>3.0f} %){ratios['haproxy']:>10}"
              f"{ratios['pgbouncer']:>11}{ratios['pgsonde']:>9}{row['relays']['pgsonde']['user_us']:>9.2f}{must:>7}{goal:>7}")
    print(f"\n{'units a second':24}" + "".join(f"{name:>12}" for name in RELAYS))
    for row in table:
        print(f"{row['load']:24}" + "".join(
            f"{row['relays'][name]['rate']:>12,.0f}" if name in row["relays"] else f"{'':>12}" for name in RELAYS))
    for row in (row for row in table if "p50_us" in row["relays"]["pgsonde"]):
        words = (f"{name} {one['p50_us']:.0f} / {one['p99_us']:.0f}" for name, one in row["relays"].items())
        print(f"latency of {row['load']}, p50 / p99 in us: {', '.join(words)}")
    print(f"pgsonde recorded every statement meanwhile; records lost to a full queue: {dropped:.0f}")


def write(options, table, samples, dropped):
    options.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "kernel": platform.release()}
    document = {"machine": machine, "seconds": options.seconds, "table": table, "dropped": dropped, "samples": samples}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
