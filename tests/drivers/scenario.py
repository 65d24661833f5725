"""What all Python programs share: a scenario is one function, with what it must be told about it as a decorator.

    list                     one JSON line for each scenario: its name, what is expected, which kinds must be absent
    run URL SCENARIO...      runs them, each in the database `<database of URL>_<scenario>`; one JSON line of truth each

The other stacks (node.mjs, rails.rb, Jdbc.java, pgx.go, the Rust one) speak the same language:

* `expect`: findings that must be there, as {kind, variant?, parent?, child?, rule?, proof?, gate?}; `parent` and `child`
  are `table.column`, or `table` alone. Nothing else may reach warning, but kinds in `may`.
* `never`: kinds that must not show at all, whatever their severity. A scenario without `expect` is a silent one:
  nothing reaches warning.
* before: if `<scenario>.sql` lies here, it runs in the database first, behind the proxy's back.
* truth: `[{n, rows, sightings}]` in the order of `expect`; what is absent isn't compared.
"""

import json
import sys
import time
import traceback

SCENARIOS = {}
# Between the repeats of a scenario: longer than the gap that ends a unit of work.
PAUSE_S = 0.07
# Longer than the pause that ends a chain, for what runs in autocommit.
CHAIN_PAUSE_S = 0.3


def finds(*expect, may=(), **how):
    """The program has a problem: `expect` must be found."""
    return lambda function: add(function, list(expect), [], list(may), **how)


def silent(*never, **how):
    """The program is healthy: nothing of warning or above, and none of the kinds that it was repaired of."""
    return lambda function: add(function, [], list(never), [], **how)


def add(function, expect, never, may, repeats=3, only=(), pause_s=PAUSE_S):
    SCENARIOS[function.__name__] = {"run": function, "expect": expect, "never": never, "may": may, "repeats": repeats,
                                    "only": only, "pause_s": pause_s}
    return function


def n_plus_one(parent, child, **more):
    return {"kind": "n_plus_one", "proof": "dataflow", "parent": parent, "child": child, **more}


def kind(name, **more):
    return {"kind": name, **more}


def truth(**numbers):
    return [numbers]


def applies(scenario, variant):
    return not scenario["only"] or variant in scenario["only"]


def print_list(variant):
    for name, scenario in SCENARIOS.items():
        if applies(scenario, variant):
            print(json.dumps({"name": name, **{key: scenario[key] for key in ("expect", "never", "may")}}))


def played(name, url, open_shop):
    """Repeats one scenario in its database; a finding is believed from its third sighting on."""
    scenario, seen = SCENARIOS[name], None
    shop = open_shop(f"{url}_{name}", name)
    for repeat in range(scenario["repeats"]):
        if repeat:
            time.sleep(scenario["pause_s"])
        seen = shop.play(scenario["run"])
    shop.close()
    return [{**numbers, "sightings": numbers.get("sightings", scenario["repeats"])} for numbers in seen or []]


def main(open_shop, arguments, variant=""):
    task, *rest = arguments
    if task == "list":
        print_list(variant)
        return
    url, *names = rest
    for name in names:
        try:
            answer = {"scenario": name, "truth": played(name, url, open_shop)}
        except Exception:
            answer = {"scenario": name, "error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit("this is the part that the programs share; start one of them")
