# SPDX-License-Identifier: Apache-2.0
"""What the scheduler's decisions cost, and how good they are: see tools/bench. The pure scheduler in one
thread, without a store or a network: bench-sched does the work, in a process of its own a repeat.

The grid is that of Nomad's scheduler/benchmarks: the time of one evaluation, from the reconciler to the
plan, which is not submitted. Nomad's figures were recorded with Nomad 2.0.5 on a machine of two cores."""

import argparse
import json
import os
import subprocess
import sys

import machine
import results

NOISE = 0.03  # of a core, used by others
AIM_KINDS = 2.0  # spread and affinity against plain bin-packing
AIM_COUNT = 1.25  # a placement of 1,200 against one of 50: more would be growth with the count
AIM_SCORE = 0.99
AIM_INSTANCE = 1024
AIM_NODE = 4096

# ms of an evaluation, recorded: (bin-pack, spread).
NOMAD = {"grid-500-25-300": (40, 1190), "grid-1000-25-600": (95, 6700), "grid-1000-50-1200": (629, 13900),
         "grid-5000-25-300": (85, 1870), "grid-5000-25-1200": (201, 34283), "grid-5000-50-900": (171, 21347)}


def parse(args):
    parser = argparse.ArgumentParser(prog="tools/bench sched")
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    parser.add_argument("--quick", action="store_true", help="the corners of the grid, once")
    parser.add_argument("--repeats", type=int, default=0, help="5; 1 with --quick")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=(os.cpu_count() or 1) - 1, help="to run on (the last one)")
    o = parser.parse_args(args)
    o.repeats = o.repeats or (1 if o.quick else 5)
    return o


def lines_of(o, *what):
    """What bench-sched tells, one dictionary a line."""
    command = [os.path.join(o.build, "test/bench/bench-sched"), "--json", *what]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              preexec_fn=lambda: os.sched_setaffinity(0, {o.core}))
    except OSError as error:
        raise machine.Failed(f"{command[0]}: {error.strerror}; build it: ninja test/bench/bench-sched") from error
    if done.returncode:
        raise machine.Failed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def case_of(line):
    return line["case"] + ("" if line["kind"] == "bin-pack" else "-" + line["kind"])


def measure_grid(found, o):
    for line in lines_of(o, "grid", *(["quick"] if o.quick else [])):
        found.add("penstock", case_of(line), 1.0,
                  {"evaluation_us": line["ms"] * 1e3, "first_us": line["first_ms"] * 1e3,
                   "cpu_us_per_placement": line["us_per_placement"], "placed": line["placed"]})


def measure_rest(found, o):
    size = ["100", "1000", "1000"] if o.quick else ["1000", "1000", "5000"]
    for line in lines_of(o, "rate", *size):
        found.add("penstock", "memory", 1.0,
                  {name: line[name] for name in ("bytes_per_instance", "bytes_per_node", "placements_per_s",
                                                 "cpu_us_per_placement", "log_bytes_per_placement")})
    for line in lines_of(o, "score"):
        found.add("penstock", f"score-{line['nodes']}-{line['algorithm']}", 1.0,
                  {"share_of_best": line["mean_share_of_best"], "share_of_best_least": line["least_share_of_best"]})
    for line in lines_of(o, "fill"):
        found.add("penstock", "fill", 1.0,
                  {"plans_per_job": line["plans_per_job"], "rejected_per_100": line["rejected_per_100"]})


def add_nomad(found):
    for case, (pack, spread) in NOMAD.items():
        found.add("nomad", case, 1.0, {"evaluation_us": pack * 1e3})
        found.add("nomad", case + "-spread", 1.0, {"evaluation_us": spread * 1e3})
    found.note("nomad: figures recorded with Nomad 2.0.5 on a machine of two cores, not measured now")


# ---- telling ----

def grid_cases(found):
    """(nodes, racks, count) of what was measured."""
    points = set()
    for subject, case, _load in found.samples:
        parts = case.split("-")
        if subject == "penstock" and parts[0] == "grid":
            points.add(tuple(map(int, parts[1:4])))
    return sorted(points)


def median(found, case, metric, subject="penstock"):
    return found.median(subject, case, 1.0, metric)


def show_grid(found):
    head = ["nodes", "racks", "count", "placed", "bin-pack us", "spread us", "affinity us", "spread/pack",
            "affinity/pack", "us a placement", "Nomad pack us", "Nomad spread us"]
    rows, worst = [], 0.0
    for nodes, racks, count in grid_cases(found):
        case = f"grid-{nodes}-{racks}-{count}"
        pack, spread, affinity = (median(found, case + kind, "evaluation_us")
                                  for kind in ("", "-spread", "-affinity"))
        worst = max(worst, spread / pack, affinity / pack)
        rows.append([str(nodes), str(racks), str(count), str(round(median(found, case, "placed"))), pack, spread,
                     affinity, spread / pack, affinity / pack, median(found, case + "-spread", "cpu_us_per_placement"),
                     median(found, case, "evaluation_us", "nomad"),
                     median(found, case + "-spread", "evaluation_us", "nomad")])
    results.print_table(head, rows)
    print()
    verdict("spread and affinities against bin-packing, at worst", worst, worst <= AIM_KINDS, f"at most {AIM_KINDS:g}")


def show_count(found):
    """Whether a placement costs more the more of them there are."""
    worst = 0.0
    for nodes, racks, count in grid_cases(found):
        few = median(found, f"grid-{nodes}-{racks}-50-spread", "cpu_us_per_placement")
        many = median(found, f"grid-{nodes}-{racks}-{count}-spread", "cpu_us_per_placement")
        if count == 1200 and few and many:
            worst = max(worst, many / few)
    verdict("a placement with spread, of 1,200 against of 50, at worst", worst, worst <= AIM_COUNT,
            f"at most {AIM_COUNT:g}")


def show_nomad(found):
    for kind in ("", "-spread"):
        shares = []
        for case in NOMAD:
            ours = median(found, case + kind, "evaluation_us")
            if ours:
                shares.append(median(found, case + kind, "evaluation_us", "nomad") / ours)
        if shares:
            print(f"Nomad took {min(shares):,.0f} to {max(shares):,.0f} times as long ({kind[1:] or 'bin-pack'})")


def show_rest(found):
    for subject, case, _load in sorted(found.samples):
        if subject == "penstock" and case.startswith("score-"):
            share = median(found, case, "share_of_best")
            verdict(f"{case}: the node chosen against the best, on average", share, share >= AIM_SCORE,
                    f"at least {AIM_SCORE:g}")
    instance, node = (median(found, "memory", name) for name in ("bytes_per_instance", "bytes_per_node"))
    verdict("bytes an instance", instance, instance <= AIM_INSTANCE, f"at most {AIM_INSTANCE}")
    verdict("bytes a node", node, node <= AIM_NODE, f"at most {AIM_NODE}")
    print(f"filled to the last slot by 40 jobs, 8 workers: {median(found, 'fill', 'plans_per_job'):.2f} plans a job "
          f"(Nomad: 2.7 to 3.3), {median(found, 'fill', 'rejected_per_100'):.2f} node plans rejected for 100 "
          "placements (Nomad: 22 to 35)")


def verdict(what, value, good, aim):
    print(f"{what}: {results.short(value)}; the aim is {aim}: {'yes' if good else 'no'}")


def main(args):
    o = parse(args)
    machine.end_in_order()
    found = results.Results("sched", machine.describe(o.build))
    foreign = machine.foreign_share([o.core])
    found.machine["foreign_share"] = round(foreign, 3)
    if foreign > NOISE:
        found.note("provisional: others used the machine meanwhile")
        print(f"Others use {foreign * 100:.0f} % of the core: these figures are provisional.")
    try:
        for repeat in range(o.repeats):
            print(f"repeat {repeat + 1} of {o.repeats}", flush=True)
            measure_grid(found, o)
            measure_rest(found, o)
    except machine.Failed as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    add_nomad(found)
    show_grid(found)
    show_count(found)
    show_nomad(found)
    show_rest(found)
    for note in found.notes:
        print(f"note: {note}")
    if o.json:
        found.write(o.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
