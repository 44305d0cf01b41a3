# SPDX-License-Identifier: Apache-2.0
"""Shows two results of a benchmark side by side: compare.py A B"""

import json
import sys

import results

SHOWN = ["calls_per_s", "cpu_us_per_call", "p50_us", "p99_us", "p999_us", "items_per_s",
         "placements_per_s", "cpu_us_per_placement", "evaluation_us", "evaluations_per_s", "p99_by_fdatasync",
         "evaluations_durable_ms", "replaced_ms", "pause_ms", "max_ms", "plans_per_job", "rejected_per_100",
         "share_of_best", "bytes_per_instance", "bytes_per_node", "bytes_per_connection"]


def load(path):
    with open(path, encoding="utf-8") as f:
        data = json.load(f)
    return data, {(r["subject"], r["case"], r.get("load", 1.0)): r for r in data["runs"]}


def apart(a, b, metric):
    """True when the ranges of the two do not overlap: the difference is more than noise."""
    lows = [r.get(metric + "_min", r[metric]) for r in (a, b)]
    highs = [r.get(metric + "_max", r[metric]) for r in (a, b)]
    return lows[0] > highs[1] or lows[1] > highs[0]


def row(key, a, b, metric):
    change = (b[metric] / a[metric] - 1) * 100 if a[metric] else 0.0
    clear = "*" if apart(a, b, metric) else ""
    return [f"{key[0]} {key[1]}", f"{key[2]:g}", metric, a[metric], b[metric], f"{change:+.1f} %{clear}"]


def main(args):
    if len(args) != 2:
        print("usage: tools/bench compare A B  (files that --json wrote)", file=sys.stderr)
        return 2
    try:
        (one, a), (two, b) = load(args[0]), load(args[1])
    except (OSError, ValueError, KeyError) as error:
        print(f"bench: not two results: {error}", file=sys.stderr)
        return 1
    if one["benchmark"] != two["benchmark"]:
        print(f"bench: {one['benchmark']} and {two['benchmark']} are different benchmarks", file=sys.stderr)
        return 1
    for field in sorted(set(one["machine"]) | set(two["machine"])):
        if field != "time" and one["machine"].get(field) != two["machine"].get(field):
            print(f"note: {field} differs: {one['machine'].get(field)} and {two['machine'].get(field)}")
    common = [key for key in a if key in b]
    rows = [row(key, a[key], b[key], metric) for key in common for metric in SHOWN
            if metric in a[key] and metric in b[key]]
    results.print_table(["subject and case", "load", "metric", "A", "B", "change"], rows)
    for name, keys in (("A", set(a) - set(b)), ("B", set(b) - set(a))):
        for key in sorted(keys):
            print(f"only in {name}: {key[0]} {key[1]} at load {key[2]:g}")
    print("* the ranges of the repeats do not overlap")
    return 0 if common else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
