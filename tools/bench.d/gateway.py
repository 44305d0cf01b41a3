# SPDX-License-Identifier: Apache-2.0
"""CPU of the gateway for each call, beside that of proxies: see tools/bench. In its network namespace.

CPU a call is the proxy's core's non-idle time, interrupts included, over the calls of that time; for the
polling gateway less its iterations that found no work. "own" is the process' time alone: where others use
the core, too, it is the better figure, but for what interrupts took."""

import argparse
import subprocess
import sys
import tempfile

import machine
import reading
import results
from progress import Progress
from subjects import SUBJECTS, Bench, Case

MAIN = [Case(32, 8, 64), Case(32, 8, 1)]
SWEEP = [Case(32, 1, 1), Case(32, 64, 1), Case(32, 1000, 1), Case(32, 64, 16), Case(1024, 8, 8),
         Case(16384, 8, 8), Case(65536, 8, 8)]
SWEPT = ("penstock", "haproxy-tcp")
SIDE_REPEATS = 3  # of what is not the main figure: open loop and sweep
NOISE = 0.03  # of a core, used by others
AIMS = [("haproxy", "rr32-c8x64", 0.2), ("haproxy-tcp", "rr32-c8x64", None), ("nghttpx", "rr32-c8x64", None),
        ("haproxy", "rr32-c8x1", None), ("haproxy-tcp", "rr32-c8x1", 1 / 3), ("nghttpx", "rr32-c8x1", None)]


def parse(args):
    parser = argparse.ArgumentParser(prog="tools/bench gateway")
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    parser.add_argument("--quick", action="store_true", help="3 repeats of 1 s, no sweep, full load only")
    parser.add_argument("--repeats", type=int, default=0,
                        help=f"5, of open loop and sweep at most {SIDE_REPEATS}; 3 with --quick")
    parser.add_argument("--seconds", type=float, default=0, help="of each measurement: 2; 1 with --quick")
    parser.add_argument("--minutes", type=float, default=0,
                        help="no measurement begins that would end later: 14; 2.7 with --quick")
    parser.add_argument("--only", metavar="SUBJECT", action="append",
                        help="penstock, haproxy-tcp, haproxy or nghttpx; repeat it")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cores", default="0,1", help="of generator and proxy (0,1)")
    o = parser.parse_args(args)
    o.repeats = o.repeats or (3 if o.quick else 5)
    o.seconds = o.seconds or (1.0 if o.quick else 2.0)
    o.minutes = o.minutes or (2.7 if o.quick else 14.0)
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


def plan(names, o):
    """(subject, case, load) of all repeats, the subjects interleaved, so that what changes on the machine
    meanwhile meets all of them, and a run that is cut short has lost repeats and no case."""
    jobs = []
    for repeat in range(o.repeats):
        side = not o.quick and repeat < SIDE_REPEATS
        for case in MAIN:
            for load in (1.0, 0.25, 0.5) if side else (1.0,):
                jobs += [(name, case, load) for name in names]
        for case in SWEEP if side else ():
            jobs += [(name, case, 1.0) for name in names if name in SWEPT]
    return jobs


def measure(found, subject, case, load, o):
    """One measurement; opens and closes the subject, so that only one has the core. What to tell of it."""
    rate = 0
    if load < 1.0:
        full = found.median(subject.name, case.name, 1.0, "calls_per_s")
        if not full:
            return "not measured: there is no figure at full load"
        rate = full * load
    try:
        subject.open()
        metrics = subject.measure(case, rate, o.seconds)
        found.add(subject.name, case.name, load, metrics)
        return f"{metrics['calls_per_s']:11,.0f} calls/s  {metrics['cpu_us_per_call']:7.3f} us a call"
    except (machine.Failed, OSError, ValueError, subprocess.SubprocessError) as why:
        found.note(f"{subject.name} {case.name} at load {load:g}: {why}")
        return f"failed: {why}"
    finally:
        subject.close()
        subject.bench.stop_all()


def measure_all(found, subjects, o):
    by_name = {subject.name: subject for subject in subjects}
    jobs = plan(list(by_name), o)
    progress = Progress(len(jobs), o.minutes * 60)
    for name, case, load in jobs:
        if not progress.time_for_one():
            found.note(f"cut short after {progress.done} of {len(jobs)} measurements: {o.minutes:g} minutes")
            break
        told = measure(found, by_name[name], case, load, o)
        progress.finished()
        print(f"{progress.line()}  {name:12} {case.name:14} {load:4.2f}  {told}", flush=True)


def check_quiet(found, cores):
    share = machine.foreign_share(cores)
    found.machine["foreign_share"] = max(found.machine.get("foreign_share", 0.0), round(share, 3))
    if share > NOISE:
        found.note("provisional: others used the machine meanwhile")
        print(f"Others use {share * 100:.0f} % of a core: these figures are provisional.", flush=True)


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


def conclude(found):
    runs = found.runs()
    print("\nWhat was the limit at full load:")
    for line in reading.limits(runs):
        print(f"  {line}")
    print()
    for peer, case, aim in AIMS:
        line = reading.ratio(runs, peer, case, aim)
        if line:
            print(line)
    for note in found.notes:
        print(f"note: {note}")


def main(args):
    o = parse(args)
    machine.end_in_order()
    cores = [int(core) for core in o.cores.split(",")]
    found = results.Results("gateway", machine.describe(o.build))
    check_quiet(found, cores)
    with tempfile.TemporaryDirectory(prefix="penstock-bench.") as folder:
        bench = Bench(o.build, folder, cores[0], cores[1])
        try:
            measure_all(found, choose(bench, o.only), o)
        finally:
            bench.stop_all()
    if not found.samples:
        for note in found.notes:
            print(f"note: {note}")
        return 1
    check_quiet(found, cores)
    show(found)
    conclude(found)
    if o.json:
        found.write(o.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
