# SPDX-License-Identifier: Apache-2.0
"""What the scheduler's decisions cost, and how good they are: see tools/bench. bench-sched measures the pure
scheduler in one thread, without a store or a network; bench-sched-durable the whole path with its threads,
journal, LMDB and fdatasync, on simulated nodes. Each repeat is a process of its own.

The grid is that of Nomad's scheduler/benchmarks: the time of one evaluation, from the reconciler to the
plan, which is not submitted. Nomad's figures were recorded with Nomad 2.0.5 on a machine of two cores."""

import argparse
import json
import os
import subprocess
import sys

import conflicts
import machine
import results

NOISE = 0.03  # of a core, used by others
AIM_KINDS = 2.0  # spread and affinity against plain bin-packing
AIM_COUNT = 1.25  # a placement of 1,200 against one of 50: more would be growth with the count
AIM_SCORE = 0.99
AIM_INSTANCE = 1024
AIM_NODE = 4096
AIM_PLACEMENTS = 100_000  # a second, durable
AIM_EVALUATIONS = 20_000  # of one container each, a second
AIM_FDATASYNC = 3.0  # enqueue to durable at half of that, p99 against fdatasync's own
AIM_BEHIND_MS = 50  # a small job behind an impossible and a huge one

# What bench-sched-durable is asked for: (case, quick or not) to its words.
DURABLE = {
    "c1m": ("fill c1m 5000 1000 1000", "fill c1m 5000 100 1000"),
    "c2m": ("fill c2m 6100 2000 1000", None),
    "single": (f"single 100000 {AIM_EVALUATIONS // 2} 15", f"single 20000 {AIM_EVALUATIONS // 2} 1"),
    "nodes-fail": ("nodes-fail 20000 10000 1000 200", "nodes-fail 2000 1000 100 200"),
    "headofline": ("headofline 5000 10", "headofline 5000 2"),
}
# placements/s, recorded (reports of its makers; as shipped on two cores, jobs of 1,000; jobs of one).
NOMAD_RATES = {"c1m": 3750, "c2m": 1500, "single": 174}
NOMAD_SHIPPED = 554  # c1m's kind of job on a machine like this, falling to 200

# ms of an evaluation, recorded: (bin-pack, spread).
NOMAD = {"grid-500-25-300": (40, 1190), "grid-1000-25-600": (95, 6700), "grid-1000-50-1200": (629, 13900),
         "grid-5000-25-300": (85, 1870), "grid-5000-25-1200": (201, 34283), "grid-5000-50-900": (171, 21347)}


def parse(args):
    parser = argparse.ArgumentParser(prog="tools/bench sched")
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    parser.add_argument("--quick", action="store_true", help="the corners of the grid, once")
    parser.add_argument("--repeats", type=int, default=0, help="5; 1 with --quick")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=(os.cpu_count() or 1) - 1,
                        help="for what has one thread (the last one)")
    parser.add_argument("--state", metavar="DIR", help="for the store; made and removed (in the build's directory)")
    parser.add_argument("--workers", type=int, default=2, help="threads that plan, on the whole path (2)")
    parser.add_argument("--only", choices=["pure", "durable"], help="half of it")
    o = parser.parse_args(args)
    o.repeats = o.repeats or (1 if o.quick else 5)
    o.state = o.state or os.path.join(o.build, "bench-sched-state")
    return o


def lines_of(o, *what):
    """What bench-sched tells, one dictionary a line."""
    return lines_from(o, "bench-sched", {o.core}, *what)


def before_exec(cores):
    os.sched_setaffinity(0, cores)
    machine.take_precedence()


def lines_from(o, program, cores, *what):
    command = [os.path.join(o.build, "test/bench", program), "--json", *what]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              start_new_session=True, preexec_fn=lambda: before_exec(cores))
    except OSError as error:
        raise machine.Failed(f"{command[0]}: {error.strerror}; build it: ninja test/bench/{program}") from error
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


def measure_durable(found, o):
    """The whole path, on all cores."""
    for case, (usual, quick) in DURABLE.items():
        words = quick if o.quick else usual
        if not words:
            continue
        print(f"  {case}", flush=True)
        for line in lines_from(o, "bench-sched-durable", set(range(os.cpu_count() or 1)), "--state", o.state,
                               "--workers", str(o.workers), *words.split()):
            load = line.pop("load", 1.0)
            found.add("penstock", line.pop("case"), load, line)


def add_nomad_rates(found):
    for case, rate in NOMAD_RATES.items():
        found.add("nomad", case, 1.0, {"placements_per_s": rate})


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
            "affinity/pack", "near/pack", "image/pack", "us a placement", "Nomad pack us", "Nomad spread us"]
    rows, worst = [], 0.0
    for nodes, racks, count in grid_cases(found):
        case = f"grid-{nodes}-{racks}-{count}"
        pack, spread, affinity, near, image = (median(found, case + kind, "evaluation_us")
                                               for kind in ("", "-spread", "-affinity", "-near", "-image"))
        worst = max(worst, *(kind / pack for kind in (spread, affinity, near, image)))
        rows.append([str(nodes), str(racks), str(count), str(round(median(found, case, "placed"))), pack, spread,
                     affinity, spread / pack, affinity / pack, near / pack, image / pack,
                     median(found, case + "-spread", "cpu_us_per_placement"),
                     median(found, case, "evaluation_us", "nomad"),
                     median(found, case + "-spread", "evaluation_us", "nomad")])
    results.print_table(head, rows)
    print()
    verdict("spread, affinities, near and image against bin-packing, at worst", worst, worst <= AIM_KINDS,
            f"at most {AIM_KINDS:g}")


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


def show_durable(found):
    """The whole path, beside what is known of Nomad."""
    head = ["case", "placements/s", "min", "max", "CPU us each", "plans a job", "rejected of 100", "bytes each",
            "bytes a node", "Nomad/s"]
    rows = []
    for case in ("c1m", "c2m"):
        if ("penstock", case, 1.0) in found.samples:
            rates = results.values_of(found.samples["penstock", case, 1.0], "placements_per_s")
            rows.append([case, median(found, case, "placements_per_s"), min(rates), max(rates)] +
                        [median(found, case, name) for name in ("cpu_us_per_placement", "plans_per_job",
                                                                "rejected_per_100", "bytes_per_instance",
                                                                "bytes_per_node")] +
                        [median(found, case, "placements_per_s", "nomad")])
    results.print_table(head, rows)
    print(f"Nomad as shipped, on two cores, measured with jobs of 1,000: {NOMAD_SHIPPED} placements/s")
    for case in [row[0] for row in rows]:
        rate = median(found, case, "placements_per_s")
        verdict(f"{case}: durable placements/s", rate, rate >= AIM_PLACEMENTS, f"at least {AIM_PLACEMENTS:,}")
    show_single(found)
    show_trouble(found)


def show_single(found):
    rate = median(found, "single", "evaluations_per_s")
    verdict("single: durable evaluations/s, back to back", rate, rate >= AIM_EVALUATIONS,
            f"at least {AIM_EVALUATIONS:,}; Nomad: {NOMAD_RATES['single']}")
    half = {name: found.median("penstock", "single", 0.5, name)
            for name in ("evaluations_per_s", "p50_us", "p99_us", "p999_us", "fdatasync_p99_us",
                         "fdatasync_append_p99_us", "p99_by_fdatasync", "arrivals_p50_us", "arrivals_p99_us",
                         "arrivals_p99_by_fdatasync", "p99_by_arrivals", "second_p99_us", "arrivals_second_p99_us",
                         "one_by_one_p50_us", "one_by_one_p99_us", "one_by_one_p99_by_fdatasync",
                         "cpu_us_per_placement")}
    print(f"single at {half['evaluations_per_s']:,.0f}/s, enqueue to durable: p50 {half['p50_us']:,.0f}, p99 "
          f"{half['p99_us']:,.0f}, p99.9 {half['p999_us']:,.0f} us; {half['cpu_us_per_placement']:.1f} us of CPU each; "
          f"fdatasync of 4 KiB in place p99 {half['fdatasync_p99_us']:,.0f}, appended "
          f"{half['fdatasync_append_p99_us']:,.0f} us; p99 of the middle second {half['second_p99_us']:,.0f} us")
    print(f"single: the same arrivals put through a bare loop of write and fdatasync: p50 "
          f"{half['arrivals_p50_us']:,.0f}, p99 {half['arrivals_p99_us']:,.0f}, of the middle second "
          f"{half['arrivals_second_p99_us']:,.0f} us; that is "
          f"{half['arrivals_p99_by_fdatasync']:.2f} times fdatasync's p99, and ours "
          f"{half['p99_by_arrivals']:.2f} times that")
    print(f"single: evaluations one after the other, as fdatasync: p50 {half['one_by_one_p50_us']:,.0f}, p99 "
          f"{half['one_by_one_p99_us']:,.0f} us; at p99 {half['one_by_one_p99_by_fdatasync']:.2f} times fdatasync's")
    verdict("single: p99 against that of fdatasync in place, one after the other", half["p99_by_fdatasync"],
            half["p99_by_fdatasync"] <= AIM_FDATASYNC, f"at most {AIM_FDATASYNC:g}")


def show_trouble(found):
    fail = {name: median(found, "nodes-fail", name)
            for name in ("nodes", "failing", "lost", "evaluations_durable_ms", "replaced_ms", "pause_ms")}
    print(f"{fail['failing']:,.0f} of {fail['nodes']:,.0f} nodes fail at once: evaluations durable after "
          f"{fail['evaluations_durable_ms']:,.1f} ms, {fail['lost']:,.0f} instances replaced after "
          f"{fail['replaced_ms']:,.1f} ms; a small job meanwhile waits {fail['pause_ms']:,.1f} ms at most")
    behind = median(found, "headofline", "max_ms")
    verdict("ms until a small job behind an impossible one and one of 100,000 is durable, at most", behind,
            behind <= AIM_BEHIND_MS, f"at most {AIM_BEHIND_MS}")


def verdict(what, value, good, aim):
    print(f"{what}: {results.short(value)}; the aim is {aim}: {'yes' if good else 'no'}")


def main(args):
    o = parse(args)
    machine.end_in_order()
    found = results.Results("sched", machine.describe(o.build))
    foreign = machine.foreign_share([o.core] if o.only == "pure" else range(os.cpu_count() or 1))
    found.machine["foreign_share"] = round(foreign, 3)
    if foreign > NOISE:
        found.note("provisional: others used the machine meanwhile")
        print(f"Others use {foreign * 100:.0f} % of a core: these figures are provisional.")
    try:
        for repeat in range(o.repeats):
            print(f"repeat {repeat + 1} of {o.repeats}", flush=True)
            measure(found, o)
    except machine.Failed as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    show(found, o)
    for note in found.notes:
        print(f"note: {note}")
    if o.json:
        found.write(o.json)
    return 0


def measure(found, o):
    if o.only != "pure":
        measure_durable(found, o)
    if o.only != "durable":
        print("  one thread: grid, memory, scores, conflicts", flush=True)
        measure_grid(found, o)
        measure_rest(found, o)
        # Once: what it counts hardly varies.
        if not conflicts.cells(found):
            conflicts.add(found, lines_of(o, "conflicts", *(["quick"] if o.quick else [])))


def show(found, o):
    if o.only != "durable":
        add_nomad(found)
        show_grid(found)
        show_count(found)
        show_nomad(found)
        show_rest(found)
        conflicts.show(found)
        print()
    if o.only != "pure":
        add_nomad_rates(found)
        show_durable(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
