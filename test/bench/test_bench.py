# SPDX-License-Identifier: Apache-2.0
"""The parts of tools/bench that only compute: medians and ranges, the plan, time, what figures say."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "bench.d"))

# pylint: disable=wrong-import-position
import compare  # noqa: E402
import conflicts  # noqa: E402
import gateway  # noqa: E402
import profile_table  # noqa: E402
import reading  # noqa: E402
import results  # noqa: E402
import sched  # noqa: E402
import subjects  # noqa: E402
from progress import Progress, minutes  # noqa: E402


def run_of(subject, case, cpu, load=1.0, proxy=1.0, generator=0.5):
    return {"subject": subject, "case": case, "load": load, "cpu_us_per_call": cpu, "own_us_per_call": cpu,
            "proxy_core_busy": proxy, "generator_core_busy": generator}


class ResultsTest(unittest.TestCase):
    def test_medians_with_range(self):
        found = results.Results("gateway", {"cpu": "x"})
        for calls in (300.0, 100.0, 200.0, 5000.0, 250.0):
            found.add("penstock", "rr32-c8x64", 1.0, {"calls_per_s": calls, "errors": 0})
        [run] = found.runs()
        self.assertEqual((run["calls_per_s"], run["calls_per_s_min"], run["calls_per_s_max"]), (250.0, 100.0, 5000.0))
        self.assertEqual((run["subject"], run["case"], run["load"], run["repeats"]),
                         ("penstock", "rr32-c8x64", 1.0, 5))
        self.assertEqual(found.median("penstock", "rr32-c8x64", 1.0, "calls_per_s"), 250.0)
        self.assertIsNone(found.median("penstock", "rr32-c8x64", 0.5, "calls_per_s"))

    def test_a_metric_that_a_repeat_lacks(self):
        found = results.Results("gateway", {})
        found.add("a", "c", 1.0, {"calls_per_s": 1.0})
        found.add("a", "c", 1.0, {"calls_per_s": 3.0, "frames_per_send": 7.0})
        [run] = found.runs()
        self.assertEqual((run["calls_per_s"], run["frames_per_send"]), (2.0, 7.0))

    def test_the_file(self):
        found = results.Results("gateway", {"cpu": "x"})
        found.add("a", "c", 0.25, {"p50_us": 1.0})
        found.note("once")
        found.note("once")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "r.json")
            found.write(path)
            with open(path, encoding="utf-8") as f:
                data = json.load(f)
        self.assertEqual(data, {"benchmark": "gateway", "machine": {"cpu": "x"}, "notes": ["once"], "runs": [
            {"subject": "a", "case": "c", "load": 0.25, "repeats": 1, "p50_us": 1.0, "p50_us_min": 1.0,
             "p50_us_max": 1.0}]})


class CompareTest(unittest.TestCase):
    def compare(self, a, b):
        """Exit status and what is printed."""
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, runs in (("a", a), ("b", b)):
                found = results.Results("gateway", {"cpu": name})
                for case, values in runs.items():
                    for value in values:
                        found.add("penstock", case, 1.0, {"cpu_us_per_call": value})
                paths.append(os.path.join(folder, name))
                found.write(paths[-1])
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                status = compare.main(paths)
        return status, out.getvalue()

    def test_a_clear_difference_is_marked(self):
        status, text = self.compare({"x": [1.0, 1.1, 1.2]}, {"x": [0.5, 0.55, 0.6]})
        self.assertEqual(status, 0)
        self.assertIn("-50.0 %*", text)
        self.assertIn("note: cpu differs: a and b", text)

    def test_noise_is_not(self):
        _, text = self.compare({"x": [1.0, 1.1, 1.2]}, {"x": [0.5, 0.55, 1.05]})
        self.assertIn("-50.0 %", text)
        self.assertNotIn("-50.0 %*", text)

    def test_what_only_one_has(self):
        _, text = self.compare({"x": [1.0], "y": [1.0]}, {"x": [1.0], "z": [1.0]})
        self.assertIn("only in A: penstock y at load 1", text)
        self.assertIn("only in B: penstock z at load 1", text)

    def test_nothing_in_common(self):
        self.assertEqual(self.compare({"x": [1.0]}, {"y": [1.0]})[0], 1)

    def test_no_result(self):
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(compare.main(["/dev/null", "/dev/null"]), 1)
            self.assertEqual(compare.main(["/dev/null"]), 2)


class ConflictsTest(unittest.TestCase):
    def test_a_row_a_setting_and_a_column_a_number_of_workers(self):
        found = results.Results("sched", {})
        line = {"algorithm": "bin-pack", "fill": "half-full", "count": 100, "age_us": 10000.0}
        for workers, plans in ((16, 3.5), (2, 1.25)):
            conflicts.add(found, [{**line, **dict.fromkeys(conflicts.METRICS, 7.0), "workers": workers,
                                   "plans_per_job": plans}])
        conflicts.add(found, [{**line, **dict.fromkeys(conflicts.METRICS, 9.0), "workers": 2, "age_us": 0.0}])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            conflicts.show(found)
        rows = [row.split() for row in out.getvalue().splitlines()]
        self.assertIn("setting a job view ms old 2 16".split(), rows)
        self.assertIn("bin-pack-half-full 100 10 1.25 3.5".split(), rows)
        self.assertIn("bin-pack-half-full 100 0 9 -".split(), rows)


class SchedTest(unittest.TestCase):
    def found(self, p99, behind):
        found = results.Results("sched", {})
        fill = {"placements_per_s": 2e5, "cpu_us_per_placement": 1.5, "plans_per_job": 1.0, "rejected_per_100": 0.25,
                "bytes_per_instance": 300.0, "bytes_per_node": 900.0}
        found.add("penstock", "c1m", 1.0, fill)
        found.add("penstock", "single", 1.0, {"evaluations_per_s": 19999.0})
        found.add("penstock", "single", 0.5,
                  {"evaluations_per_s": 9998.0, "p50_us": 400.0, "p99_us": p99 * 200, "p999_us": 900.0,
                   "fdatasync_p99_us": 200.0, "fdatasync_append_p99_us": 300.0, "p99_by_fdatasync": p99,
                   "arrivals_p50_us": 200.0, "arrivals_p99_us": 500.0, "arrivals_p99_by_fdatasync": 2.25,
                   "p99_by_arrivals": p99 / 2,
                   "second_p99_us": 700.0, "arrivals_second_p99_us": 400.0,
                   "one_by_one_p50_us": 250.0, "one_by_one_p99_us": 500.0, "one_by_one_p99_by_fdatasync": 2.5,
                   "cpu_us_per_placement": 20.0})
        found.add("penstock", "nodes-fail", 1.0,
                  {"nodes": 20000, "failing": 10000, "lost": 100000, "evaluations_durable_ms": 80.0,
                   "replaced_ms": 250.0, "pause_ms": 240.0})
        found.add("penstock", "headofline", 1.0, {"max_ms": behind})
        sched.add_nomad_rates(found)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            sched.show_durable(found)
        return out.getvalue()

    def test_aims_of_the_whole_path(self):
        text = self.found(2.9, 49.0)
        self.assertRegex(text, "c1m +200,000 +200,000 +200,000 +1.5 +1 +0.25 +300.0 +900.0 +3,750")
        self.assertRegex(text, "c1m: durable placements/s: 200,000.*: yes")
        self.assertRegex(text, "durable evaluations/s, back to back: 19,999.*: no")
        self.assertRegex(text, "fdatasync in place, one after the other: 2.9.*: yes")
        self.assertRegex(text, "100,000 is durable, at most: 49.0.*: yes")

    def test_aims_that_are_missed(self):
        text = self.found(3.1, 51.0)
        self.assertRegex(text, "fdatasync in place, one after the other: 3.1.*: no")
        self.assertRegex(text, "that is 2.25 times fdatasync's p99, and ours 1.55 times that")
        self.assertRegex(text, "one after the other, as fdatasync: .* at p99 2.50 times")
        self.assertRegex(text, "100,000 is durable, at most: 51.0.*: no")


class PlanTest(unittest.TestCase):
    def options(self, *args):
        return gateway.parse(["--build", "x", *args])

    def test_full(self):
        names = ["penstock", "haproxy-tcp", "haproxy", "nghttpx"]
        jobs = gateway.plan(names, self.options())
        for name in names:
            self.assertEqual(sum(job[0] == name and job[1].name == "rr32-c8x64" and job[2] == 1.0
                                 for job in jobs), 5)
            for load in (0.25, 0.5):
                self.assertEqual(sum(job[0] == name and job[1].name == "rr32-c8x1" and job[2] == load
                                     for job in jobs), 3)
        swept = [job for job in jobs if job[1].name == "rr65536-c8x8"]
        self.assertEqual({job[0] for job in swept}, {"penstock", "haproxy-tcp"})
        # Open loop is a share of the median at full load, which therefore comes first.
        first = [job[2] for job in jobs if job[0] == "penstock" and job[1].name == "rr32-c8x64"][:3]
        self.assertEqual(first, [1.0, 0.25, 0.5])

    def test_quick(self):
        jobs = gateway.plan(["penstock"], self.options("--quick"))
        self.assertEqual([(job[1].name, job[2]) for job in jobs], [("rr32-c8x64", 1.0), ("rr32-c8x1", 1.0)] * 3)


class ProgressTest(unittest.TestCase):
    def test_time_runs_out(self):
        now = [0.0]
        progress = Progress(10, 60, lambda: now[0])
        for _ in range(5):
            self.assertTrue(progress.time_for_one())
            now[0] += 10
            progress.finished()
        self.assertEqual(progress.line(), "[  5/10  0:50, 0:10 left]")
        self.assertTrue(progress.time_for_one())
        now[0] += 11
        progress.finished()
        self.assertFalse(progress.time_for_one())

    def test_minutes(self):
        self.assertEqual((minutes(0), minutes(59.9), minutes(61), minutes(725)), ("0:00", "0:59", "1:01", "12:05"))


class ReadingTest(unittest.TestCase):
    def test_limits(self):
        for proxy, generator, limit in ((1.0, 0.6, "proxy"), (0.7, 0.99, "generator"), (0.99, 0.99, "both"),
                                        (0.6, 0.5, "neither")):
            self.assertEqual(reading.limit(run_of("a", "c", 1.0, proxy=proxy, generator=generator)), limit)

    def test_a_saturated_generator_is_told(self):
        lines = reading.limits([run_of("nghttpx", "rr32-c8x64", 7.1, proxy=0.8, generator=1.0),
                                run_of("nghttpx", "rr32-c8x64", 9.0, load=0.5, proxy=0.4, generator=0.5)])
        self.assertEqual(len(lines), 1)
        self.assertIn("the generator's core was full first", lines[0])
        self.assertIn("(proxy 80 %, generator 100 %)", lines[0])

    def test_ratio_and_aim(self):
        runs = [run_of("penstock", "c", 0.5), run_of("haproxy", "c", 5.0)]
        self.assertEqual(reading.ratio(runs, "haproxy", "c", 0.2),
                         "penstock to haproxy, c: 0.10 of its CPU a call (process alone: 0.10); "
                         "the aim is at most 0.20: yes")
        self.assertIn("0.05: no", reading.ratio(runs, "haproxy", "c", 0.05))
        self.assertNotIn("aim", reading.ratio(runs, "haproxy", "c", None))
        self.assertIsNone(reading.ratio(runs, "nghttpx", "c", None))

    def test_a_ratio_to_a_proxy_that_was_held_up_is_told_as_such(self):
        runs = [run_of("penstock", "c", 0.5), run_of("haproxy", "c", 5.0, proxy=0.8, generator=1.0)]
        self.assertIn("upper bound", reading.ratio(runs, "haproxy", "c", 0.2))


class SamplesTest(unittest.TestCase):
    def test_idle_iterations_are_no_cpu(self):
        names = ["penstock_worker_cycles_%s_total" % what for what in ("busy", "idle", "asleep")]
        before, after = (dict(zip(names, values)) for values in ((0, 0, 0), (600, 300, 100)))
        self.assertAlmostEqual(subjects.idle_seconds(before, after, 2.0), 0.6)
        self.assertEqual(subjects.idle_seconds({}, {}, 2.0), 0.0)

    def test_cpu_of_a_call(self):
        bench = subjects.Bench("b", "f", 0, 1)
        sampler = subjects.Sampler(bench, None, dict)
        metrics = sampler.between((0.0, 10.0, 5.0, 1.0, {}), (2.0, 12.0, 6.0, 2.0, {
            "penstock_loop_sends_total": 1000}), 500000.0)
        self.assertAlmostEqual(metrics["cpu_us_per_call"], 2.0)
        self.assertAlmostEqual(metrics["own_us_per_call"], 1.0)
        self.assertAlmostEqual(metrics["proxy_core_busy"], 1.0)
        self.assertAlmostEqual(metrics["generator_core_busy"], 0.5)
        self.assertAlmostEqual(metrics["frames_per_send"], 1000.0)


class ProfileTest(unittest.TestCase):
    REPORT = """# Overhead  Command  Shared Object  Symbol
# ........
    12.50%  rte-worker-1  penstock-dataplane  [.] rs_stream_find
     6.25%  rte-worker-1  [kernel.kallsyms]  [k] tcp_sendmsg_locked
     2.00%  rte-worker-1  librte_net_memif.so.23.0  [.] 0x000000000000876f
     1.00%  rte-worker-1  librte_net_memif.so.23.0  [.] 0x0000000000008aaf
     2.00%  rte-worker-1  libc.so.6  [.] __memmove_evex_unaligned_erms
     1.00%  rte-worker-1  penstock-dataplane  [.] forward.constprop.0
"""
    SYMBOLS = """0000000000001000 T rs_stream_find\t/src/lib/rsocket/streams.c:12
0000000000001100 t forward.constprop.0\t/src/dataplane/call.c:99
0000000000001200 T no_line
"""

    def test_functions_and_their_parts(self):
        files = profile_table.symbol_files(self.SYMBOLS, "/src")
        rows = profile_table.functions(self.REPORT, files)
        self.assertEqual(rows[0], (12.5, "rs_stream_find", "rsocket"))
        self.assertEqual(rows[2], (3.0, "(no symbols)", "port (net_memif)"))
        self.assertEqual([row[2] for row in rows],
                         ["rsocket", "kernel", "port (net_memif)", "libc", "relay"])

    def test_shares_of_parts(self):
        files = profile_table.symbol_files(self.SYMBOLS, "/src")
        parts = dict(profile_table.parts(profile_table.functions(self.REPORT, files)))
        self.assertAlmostEqual(parts["rsocket"], 12.5)
        self.assertAlmostEqual(parts["relay"], 1.0)

    def test_iterations_without_work_are_taken_out(self):
        rows = [(50.0, "call", "relay"), (20.0, "poll", "port"), (30.0, "idle_after", "worker")]
        idle = [(60.0, "idle_after", "worker"), (40.0, "poll", "port")]
        share, left = profile_table.without_idle(rows, idle, "idle_after")
        self.assertAlmostEqual(share, 0.5)
        self.assertEqual([(round(row[0], 6), row[1]) for row in left],
                         [(100.0, "call"), (0.0, "poll"), (0.0, "idle_after")])
        self.assertEqual(profile_table.without_idle(rows, [], "idle_after")[0], 0.0)


if __name__ == "__main__":
    unittest.main()
