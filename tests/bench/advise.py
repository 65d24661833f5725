"""What the index advisor makes of a database like TPC-H's: cost that remains at a budget of true index bytes.

    make advise-bench                    scale 1: 8.7 million rows, budgets of 350 MB and 1 GB
    make advise-bench ARGS="--scale 0.1"  a tenth of the rows, and of the budgets

For each budget, what is advised is really built; bytes are those of the built indexes, costs those of the server with
them. EXPLAINs and seconds are those of the whole command.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))
import tpch  # noqa: E402
from throwaway import Postgres, binary, target  # noqa: E402

# Budget at scale 1 in MB, and the most of the cost that may remain, in per cent.
GOALS = [(350, 58.0), (1000, 49.0)]
EXPLAINS_MAX = 3000
SECONDS_MAX = 60


def main():
    options = arguments()
    with Postgres(shared_buffers="1GB", autovacuum="off", jit="off", maintenance_work_mem="512MB",
                  max_wal_size="4GB", full_page_writes="off") as postgres:
        fill(postgres, options.scale)
        base = costs(postgres)
        rows = [measure(postgres, options, budget, goal, base) for budget, goal in GOALS]
    report = {"scale": options.scale, "budgets": rows}
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    show(options, rows)
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1 = 6 million order lines; budgets go along")
    parser.add_argument("--tier", choices=["estimated", "verified"], default="verified")
    parser.add_argument("--bin", type=binary, default=target() / "release/pgsonde", help="the pgsonde binary")
    parser.add_argument("--out", type=Path, default=target() / "advise-bench.json")
    return parser.parse_args()


def fill(postgres, scale):
    print(f"filling the tables, scale {scale:g}", flush=True)
    started = time.monotonic()
    sql(postgres, tpch.TABLES)
    for statement in tpch.data(scale):
        sql(postgres, statement)
    sql(postgres, "vacuum analyze")
    size = sql(postgres, "select pg_size_pretty(pg_database_size('postgres'))")
    print(f"  {size} in {time.monotonic() - started:.0f} s", flush=True)


def sql(postgres, text):
    return postgres.tool("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text).stdout.strip()


def costs(postgres):
    """The planner's total cost of each question."""
    cost = {}
    for number, text in tpch.QUERIES.items():
        cost[number] = json.loads(sql(postgres, f"explain (format json) {text}"))[0]["Plan"]["Total Cost"]
    return cost


def measure(postgres, options, budget_mb, goal, base):
    budget = int(budget_mb * options.scale * 1e6)
    document, seconds = advise(postgres, options, budget)
    found = document["findings"]
    for finding in found:
        ddl = (finding.get("ddl") or finding["proposed_ddl"]).replace(" CONCURRENTLY", "")
        print("  " + ddl, flush=True)
        sql(postgres, ddl)
    names = ",".join("'" + finding["index"] + "'" for finding in found) or "''"
    true_bytes = int(sql(postgres, f"select coalesce(sum(pg_relation_size(oid)), 0) from pg_class where relname in ({names})"))
    sql(postgres, "vacuum")
    after = costs(postgres)
    for finding in found:
        sql(postgres, f'drop index "{finding["index"]}"')
    remaining = 100 * sum(after.values()) / sum(base.values())
    shadow = document.get("shadow", {})
    explains = shadow.get("explains", 0) + shadow.get("explains_on_target", 0)
    met = remaining <= goal and explains <= EXPLAINS_MAX and seconds <= SECONDS_MAX and true_bytes <= budget
    return {"budget_mb": budget / 1e6, "goal": goal, "remaining": remaining, "true_mb": true_bytes / 1e6,
            "said_mb": sum(finding["size_bytes"] for finding in found) / 1e6, "indexes": len(found),
            "verified": sum(finding["tier"] == "verified" for finding in found), "explains": explains,
            "explains_in_shadow": shadow.get("explains"), "seconds": seconds, "shadow": shadow,
            "notes": document["notes"], "met": met,
            "queries": {number: [base[number], after[number]] for number in base}}


def advise(postgres, options, budget):
    with tempfile.TemporaryDirectory(prefix="pgsonde-bench-") as folder:
        workload = Path(folder) / "workload.sql"
        workload.write_text("".join(f"{text};\n" for text in tpch.QUERIES.values()))
        url = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"
        started = time.monotonic()
        done = subprocess.run(
            [options.bin, "advise", "--json", "--url", url, "--workload", workload, "--budget", str(budget),
             "--tier", options.tier], check=True, text=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout), time.monotonic() - started


def show(options, rows):
    print(f"\nscale {options.scale:g}, {len(tpch.QUERIES)} questions, equal weights; 100 % = no index")
    print("budget MB  true MB  said MB  indexes (verified)  remaining %  goal %  EXPLAINs  seconds")
    for row in rows:
        print(f"{row['budget_mb']:9.0f}  {row['true_mb']:7.0f}  {row['said_mb']:7.0f}  {row['indexes']:7} ({row['verified']:8})"
              f"  {row['remaining']:11.1f}  {row['goal']:6.0f}  {row['explains']:8}  {row['seconds']:7.1f}"
              f"  {'met' if row['met'] else 'NOT MET'}")


if __name__ == "__main__":
    main()
