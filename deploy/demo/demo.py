"""Shows pgsonde at work: a throwaway PostgreSQL, the proxy before it, a sample shop, twenty seconds of visitors.

    make demo                keeps the report page up until Ctrl-C
    make demo ARGS=--exit    ends by itself: 0 when the planted problems were found, 1 when not

Everything it starts listens on loopback, on free ports, and is gone when it ends.
"""

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts"))
from throwaway import Guarded, Postgres, Proxy, binary, target, wait_for  # noqa: E402

VISITORS = 2
SETTLE_LIMIT_S = 15


def main():
    options = arguments()
    # A plain SIGTERM would skip the clean-up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsonde-demo-"))
        say("starting a throwaway PostgreSQL and filling the shop (a million order lines)")
        postgres = stack.enter_context(Postgres(shared_buffers="256MB", max_wal_size="4GB"))
        postgres.tool("psql", "-Xqv", "ON_ERROR_STOP=1", "-f", str(HERE / "schema.sql"))
        proxy = stack.enter_context(Proxy(options.bin, postgres.port, folder))
        say(f"pgsonde listens on 127.0.0.1:{proxy.port}, before PostgreSQL on 127.0.0.1:{postgres.port}")
        shop, shop_url = start_shop(proxy, folder)
        stack.enter_context(shop)
        say(f"the shop is on {shop_url}")
        visit(shop_url, article_numbers(postgres), options.seconds)
        found = judge(proxy, distinct_customers(postgres))
        subprocess.run([options.bin, "report", proxy.admin, "--format", "text"], check=True)
        verdict(found)
        if options.exit:
            return 0 if all(found.values()) else 1
        say(f"the report page is {proxy.admin}/ - the shop keeps serving on {shop_url} - Ctrl-C ends all of it")
        signal.pause()
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exit", action="store_true", help="end by itself; exit code 1 if a problem was not found")
    parser.add_argument("--seconds", type=float, default=20, help="how long visitors come (default 20)")
    parser.add_argument("--bin", type=binary, default=target() / "release/pgsonde", help="the pgsonde binary")
    return parser.parse_args()


def say(text):
    print(f"demo: {text}", flush=True)


def start_shop(proxy, folder):
    url = f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/postgres"
    shop = Guarded(["env", f"DATABASE_URL={url}", sys.executable, HERE / "shop.py"], Path(folder) / "shop.log")

    def address():
        shop.require_running("the shop")
        found = re.search(r"http://\S+", shop.output())
        return found and found.group()

    try:
        return shop, wait_for("the shop answers", address)
    except BaseException:
        shop.stop()
        raise


def article_numbers(postgres):
    return postgres.query("select sku from items where id % 20011 = 1").split()


def distinct_customers(postgres):
    """How many customers the page /orders shows: so often it sends the same look-up."""
    page = "select customer_id from orders order by id desc limit 50"
    return int(postgres.query(f"select count(distinct customer_id) from ({page}) page"))


def visit(shop_url, articles, seconds):
    """Lets a few visitors click through the shop, and shows how far they are."""
    served, end = Counter(), time.monotonic() + seconds

    def visitor(number):
        clicks = 0
        while time.monotonic() < end:
            article = articles[(clicks * VISITORS + number) % len(articles)]
            for page in ("/orders", f"/search?sku={article}", "/orders-fixed"):
                urllib.request.urlopen(shop_url + page, timeout=30).read()
                served[page.partition("?")[0]] += 1
            clicks += 1

    visitors = [threading.Thread(target=visitor, args=(number,), daemon=True) for number in range(VISITORS)]
    for thread in visitors:
        thread.start()
    show_progress(served, end, seconds)
    for thread in visitors:
        thread.join(timeout=60)
    if not all(served[page] for page in ("/orders", "/search", "/orders-fixed")):
        raise RuntimeError("the shop did not answer its visitors")


def show_progress(served, end, seconds):
    live = sys.stdout.isatty()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.5 if live else 5))
        done = min(seconds, seconds - (end - time.monotonic()))
        pages = ", ".join(f"{page} {count}" for page, count in sorted(served.items()))
        line = f"demo: visitors for {done:.0f} of {seconds:.0f} s: {pages}"
        print(f"\r{line}" if live else line, end="" if live else "\n", flush=True)
    if live:
        print()


def judge(proxy, customers):
    """Which of the planted problems stand among the findings; waits a moment, the analyzer works in ticks."""
    end = time.monotonic() + SETTLE_LIMIT_S
    while True:
        findings = json.load(urllib.request.urlopen(f"{proxy.admin}/api/v1/findings", timeout=10))["items"]
        found = {
            f"N+1: orders.customer_id -> customers, n = {customers}": any(
                is_lazy_load(finding, customers) for finding in findings),
            "missing index: items.sku": any(
                finding["kind"] == "missing_index" and finding["column"] == "items.sku" for finding in findings),
        }
        if all(found.values()) or time.monotonic() > end:
            return found
        time.sleep(0.5)


def is_lazy_load(finding, customers):
    if finding["kind"] != "n_plus_one" or finding["proof"] != "dataflow":
        return False
    parent, child = finding["parent"], finding["child"]
    link = (parent["table"], parent["column"], child["table"])
    return link == ("orders", "customer_id", "customers") and finding["n"] == customers


def verdict(found):
    for claim, present in found.items():
        say(f"{'found  ' if present else 'MISSING'}  {claim}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("ended; everything it started is gone")
        sys.exit(130)
