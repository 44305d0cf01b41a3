# SPDX-License-Identifier: Apache-2.0
"""How often workers collide, by their number, the size of plans and the age of what they look at; for both
placement settings, on a cluster that is half full and on one that is filled up. bench-sched runs the scheduler
in simulated time, in which planning and committing take as long as they really took."""

import results

METRICS = ("plans_per_job", "rejected_per_100", "retries_per_job", "given_up", "placements_per_s", "plan_us",
           "apply_us")


def case_of(line):
    return (f"conflicts-{line['algorithm']}-{line['fill']}-{line['workers']}-{line['count']}-"
            f"{line['age_us'] / 1e3:g}")


def add(found, lines):
    for line in lines:
        found.add("penstock", case_of(line), 1.0, {name: line[name] for name in METRICS})


def cells(found):
    """(algorithm and fill, count, age in ms): {workers: case}"""
    rows = {}
    for subject, case, _load in found.samples:
        if subject == "penstock" and case.startswith("conflicts-"):
            setting, workers, count, age = case[len("conflicts-"):].rsplit("-", 3)
            rows.setdefault((setting, int(count), float(age)), {})[int(workers)] = case
    return rows


def show(found):
    """A table each for plans a job and for what is rejected."""
    rows = cells(found)
    workers = sorted({w for row in rows.values() for w in row})
    for metric, title in (("plans_per_job", "plans a job"), ("rejected_per_100", "node plans rejected of 100 placed")):
        print(f"\n{title}, by the number of workers:")
        results.print_table(["setting", "a job", "view ms old"] + [str(w) for w in workers],
                            [[setting, str(count), f"{age:g}"] +
                             [found.median("penstock", row[w], 1.0, metric) if w in row else None for w in workers]
                             for (setting, count, age), row in sorted(rows.items())])
