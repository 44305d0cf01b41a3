# SPDX-License-Identifier: Apache-2.0
"""CPU of the gateway for each call, beside that of proxies: see tools/bench. In its network namespace.

CPU a call is the proxy's core's non-idle time, interrupts included, over the calls of that time; for the
polling gateway less its iterations that found no work. "own" is the process' time alone: where others use
the core, too, it is the better figure, but for what interrupts took."""

import argparse
import sys
import tempfile

import machine
import results
from subjects import SUBJECTS, Bench, Case

MAIN = [Case(32, 8, 64), Case(32, 8, 1)]
SWEEP = [Case(32, 1, 1), Case(32, 64, 1), Case(32, 1000, 1), Case(32, 64, 16), Case(1024, 8, 8),
         Case(16384, 8, 8), Case(65536, 8, 8)]
SWEPT = ("penstock", "haproxy-tcp")
NOISE = 0.03  # of a core, used by others


def parse(args):
    parser = argparse.ArgumentParser(prog="tools/bench gateway")
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    parser.add_argument("--quick", action="store_true", help="3 repeats of 1 s, no sweep, full load only")
    parser.add_argument("--repeats", type=int, default=0, help="5; 3 with --quick")
    parser.add_argument("--seconds", type=float, default=0, help="of each measurement: 3; 1 with --quick")
    parser.add_argument("--only", metavar="SUBJECT", action="append",
                        help="penstock, haproxy-tcp, haproxy or nghttpx; repeat it")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cores", default="0,1", help="of generator and proxy (0,1)")
    o = parser.parse_args(args)
    o.repeats = o.repeats or (3 if o.quick else 5)
    o.seconds = o.seconds or (1.0 if o.quick else 3.0)
    return o


def choose(bench, only):
    chosen = []
    for kind in SUBJECTS:
        subject = kind(bench)
        missing = subject.missing() if subject.package else None
        if only and subject.name not in only:
            continue
        if missing:
            print(f"{subject.name} is left out: apt-get install {missing}")
            continue
        chosen.append(subject)
    return chosen


def measure(found, subject, case, load, o):
    """One repeat; opens and closes the subject, so that only one has the core."""
    rate = 0
    if load < 1.0:
        full = found.median(subject.name, case.name, 1.0, "calls_per_s")
        if not full:
            return
        rate = full * load
    try:
        subject.open()
        metrics = subject.measure(case, rate, o.seconds)
        found.add(subject.name, case.name, load, metrics)
        print(f"  {subject.name:12} {case.name:14} {load:4.2f}  {metrics['calls_per_s']:11,.0f} calls/s  "
              f"{metrics['cpu_us_per_call']:7.3f} us a call", flush=True)
    except machine.Failed as why:
        found.note(f"{subject.name} {case.name} at load {load:g}: {why}")
        print(f"  {subject.name}: {case.name}: {why}", flush=True)
    finally:
        subject.close()


def plan(subjects, o):
    """(subject, case, load) of one repeat, subjects interleaved."""
    for case in MAIN:
        for load in (1.0,) if o.quick else (1.0, 0.25, 0.5):
            for subject in subjects:
                yield subject, case, load
    for case in () if o.quick else SWEEP:
        for subject in subjects:
            if subject.name in SWEPT:
                yield subject, case, 1.0


def show(found):
    head = ["subject", "case", "load", "calls/s", "CPU us/call", "min", "max", "own us", "p50 us", "p99 us",
            "p99.9 us", "frames/send", "proxy core", "gen core"]
    rows = []
    for run in sorted(found.runs(), key=lambda r: (r["case"], r["load"], r["subject"])):
        rows.append([run["subject"], run["case"], f"{run['load']:g}", run["calls_per_s"],
                     run["cpu_us_per_call"], run["cpu_us_per_call_min"], run["cpu_us_per_call_max"],
                     run["own_us_per_call"],
                     run["p50_us"], run["p99_us"], run["p999_us"], run.get("frames_per_send"),
                     f"{run['proxy_core_busy'] * 100:.0f} %", f"{run['generator_core_busy'] * 100:.0f} %"])
    print()
    results.print_table(head, rows)


def ratio(found, peer, case, aim):
    shares = []
    for metric in ("cpu_us_per_call", "own_us_per_call"):
        ours, theirs = (found.median(name, case, 1.0, metric) for name in ("penstock", peer))
        if not ours or not theirs:
            return
        shares.append(ours / theirs)
    verdict = "" if aim is None else f"; the aim is at most {aim:.2f}: {'yes' if shares[0] <= aim else 'no'}"
    print(f"penstock to {peer}, {case}: {shares[0]:.2f} of its CPU a call{verdict} (own {shares[1]:.2f})")


def main(args):
    o = parse(args)
    machine.end_in_order()
    cores = [int(core) for core in o.cores.split(",")]
    found = results.Results("gateway", machine.describe())
    foreign = machine.foreign_share(cores)
    found.machine["foreign_share"] = round(foreign, 3)
    if foreign > NOISE:
        found.note("provisional: others used the machine meanwhile")
        print(f"Others use {foreign * 100:.0f} % of a core: these figures are provisional.")
    with tempfile.TemporaryDirectory(prefix="penstock-bench.") as folder:
        bench = Bench(o.build, folder, cores[0], cores[1])
        subjects = choose(bench, o.only)
        for repeat in range(o.repeats):
            print(f"repeat {repeat + 1} of {o.repeats}", flush=True)
            for subject, case, load in plan(subjects, o):
                measure(found, subject, case, load, o)
    if not found.samples:
        return 1
    show(found)
    print()
    for case in ("rr32-c8x64", "rr32-c8x1"):
        ratio(found, "haproxy", case, 0.2 if case == "rr32-c8x64" else None)
        ratio(found, "haproxy-tcp", case, 1 / 3 if case == "rr32-c8x1" else None)
        ratio(found, "nghttpx", case, None)
    for note in found.notes:
        print(f"note: {note}")
    if o.json:
        found.write(o.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
