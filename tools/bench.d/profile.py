# SPDX-License-Identifier: Apache-2.0
"""Where the gateway's worker spends its time at 8 x 64 and 8 x 1 over net_memif, by function and by part of
the program: see tools/bench. In its network namespace.

The kernel samples the worker's thread by its clock, so this works without hardware counters. A worker that
polls is sampled in iterations without work, too. What those are like is recorded first, with connections
and without calls; how many there were under load tells idle_after(), whose pause is in no others; and they
are taken out. So the shares are of iterations with work; how many cycles those took the gateway counts."""

import argparse
import os
import shutil
import sys
import tempfile
import time

import machine
import profile_table
import results
from machine import Failed, wait_until
from subjects import Bench, Case, GenRun, Penstock, Sampler, difference, fetch_counters

CASES = [Case(32, 8, 64), Case(32, 8, 1)]
SHOWN = 25
HERTZ = 9973  # not near a multiple of how often the two programs take turns
RATES = [("worker_iterations_busy", "iterations with work"), ("worker_rx_packets", "packets in"),
         ("worker_tx_packets", "packets out"), ("loop_enters", "io_uring_enter"), ("loop_sends", "sends"),
         ("loop_receives", "receives")]


def worker_thread(pid):
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as f:
            if f.read().startswith("rte-worker"):
                return task
    raise Failed("the gateway has no worker thread")


class Recorder:
    """perf on the gateway's worker."""

    def __init__(self, bench, gateway, files):
        self.bench, self.files = bench, files
        self.data = os.path.join(bench.folder, "perf.data")
        self.thread = worker_thread(gateway.pid)
        self.perf = None

    def begin(self):
        self.perf = self.bench.start("perf", ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-t",
                                              self.thread, "-o", self.data], self.bench.generator_core)

    def end(self):
        """(percent, function, part)"""
        self.perf.interrupt()
        report = machine.run(["perf", "report", "-q", "--stdio", "--no-children", "-F", "overhead,comm,dso,sym",
                              "-w", "0,0,0,0", "-i", self.data])
        return profile_table.functions(report, self.files)


class ThreadSampler(Sampler):
    """Records between the two instants that it is asked for."""

    def __init__(self, bench, process, recorder):
        super().__init__(bench, process, fetch_counters)
        self.recorder = recorder
        self.rows = None

    def take(self):
        if not self.recorder.perf:
            self.recorder.begin()
            return (*super().take(), machine.process_seconds(self.process.pid, self.recorder.thread))
        taken = (*super().take(), machine.process_seconds(self.process.pid, self.recorder.thread))
        self.rows = self.recorder.end()
        return taken

    def between(self, before, after, calls_per_s):
        calls = calls_per_s * (after[0] - before[0])
        busy, idle, asleep = (difference(before[4], after[4], f"penstock_worker_cycles_{what}_total")
                              for what in ("busy", "idle", "asleep"))
        metrics = {"calls_per_s": calls_per_s, "cycles_per_call": busy / calls,
                   "counted_idle_share": (idle + asleep) / (busy + idle + asleep)}
        for name, _text in RATES:
            metrics[name + "_per_call"] = difference(before[4], after[4], f"penstock_{name}_total") / calls
        return metrics


def record_idle(bench, subject, files, seconds):
    """What iterations without work are like."""
    gen = bench.start("gen-idle", [
        bench.program("tools/gen/penstock-gen"), "load", *subject.flags(), "--connections", "8", "--idle",
        "--duration", str(seconds + 3)], bench.generator_core)
    wait_until("idle connections", 20, lambda: "8 up" in machine.last_lines(gen.log), gen)
    recorder = Recorder(bench, subject.gateway, files)
    recorder.begin()
    time.sleep(seconds)
    rows = recorder.end()
    gen.stop()
    return rows


def record(bench, case, files, seconds):
    """Metrics of a run, its profile with all iterations, and that of those with work."""
    subject = Penstock(bench, ["--spin-us", "1000000"])
    try:
        subject.open()
        idle = record_idle(bench, subject, files, max(1.0, seconds / 4))
        sampler = ThreadSampler(bench, subject.gateway, Recorder(bench, subject.gateway, files))
        metrics = GenRun(subject, subject.flags(), case, 0, 1.5, seconds).run(sampler)
    finally:
        bench.stop_all()
    share, rows = profile_table.without_idle(sampler.rows, idle, "idle_after")
    metrics["sampled_idle_share"] = share
    return metrics, rows


def show(case, metrics, rows):
    cycles = metrics["cycles_per_call"]

    def line(percent, *cells):
        return [*cells, percent, cycles * percent / 100]

    print(f"\n{case.name}: {metrics['calls_per_s']:,.0f} calls/s, {cycles:,.0f} cycles a call in iterations with "
          f"work; others: {metrics['counted_idle_share'] * 100:.0f} % of the time by the gateway's count, "
          f"{metrics['sampled_idle_share'] * 100:.0f} % of the samples")
    print("for 1,000 calls: " + ", ".join(
        f"{results.short(metrics[name + '_per_call'] * 1000)} {text}" for name, text in RATES))
    results.print_table(["part of the program", "", "", "%", "cycles a call"],
                        [line(percent, part, "", "") for part, percent in profile_table.parts(rows) if percent >= 0.1])
    print()
    results.print_table(["function", "part", "", "%", "cycles a call"],
                        [line(percent, symbol, part, "") for percent, symbol, part in rows[:SHOWN]])


def parse(args):
    parser = argparse.ArgumentParser(prog="tools/bench profile")
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    parser.add_argument("--quick", action="store_true", help="2 s of each case")
    parser.add_argument("--seconds", type=float, default=0, help="of each case: 8; 2 with --quick")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cores", default="0,1", help="of generator and gateway (0,1)")
    o = parser.parse_args(args)
    o.seconds = o.seconds or (2.0 if o.quick else 8.0)
    return o


def main(args):
    o = parse(args)
    machine.end_in_order()
    for program, package in (("perf", "linux-perf"), ("nm", "binutils")):
        if not shutil.which(program):
            raise Failed(f"{program} is needed: apt-get install {package}")
    cores = [int(core) for core in o.cores.split(",")]
    found = results.Results("profile", machine.describe(o.build))
    found.machine["foreign_share"] = round(machine.foreign_share(cores), 3)
    if found.machine["foreign_share"] > 0.03:
        found.note("provisional: others used the machine meanwhile")
    with tempfile.TemporaryDirectory(prefix="penstock-bench.") as folder:
        bench = Bench(o.build, folder, cores[0], cores[1])
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        files = profile_table.symbol_files(
            machine.run(["nm", "-l", bench.program("dataplane/penstock-dataplane")]), root)
        if not files:
            found.note("the gateway was built without debug information: its functions have no part")
        for case in CASES:
            metrics, rows = record(bench, case, files, o.seconds)
            show(case, metrics, rows)
            for part, percent in profile_table.parts(rows):
                metrics[f"{part} cycles_per_call"] = metrics["cycles_per_call"] * percent / 100
            found.add("penstock", case.name, 1.0, metrics)
    for note in found.notes:
        print(f"note: {note}")
    if o.json:
        found.write(o.json)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failure:
        sys.exit(f"bench: {failure}")
