# SPDX-License-Identifier: Apache-2.0
"""Results of a benchmark: medians of repeats, the table, the file."""

import json
import statistics


class Results:
    """What was measured, by (subject, case, load), one dictionary of metrics a repeat."""

    def __init__(self, benchmark, machine):
        self.benchmark = benchmark
        self.machine = machine
        self.samples = {}
        self.notes = []

    def add(self, subject, case, load, metrics):
        self.samples.setdefault((subject, case, load), []).append(metrics)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def median(self, subject, case, load, metric):
        values = values_of(self.samples.get((subject, case, load), []), metric)
        return statistics.median(values) if values else None

    def runs(self):
        runs = []
        for (subject, case, load), samples in self.samples.items():
            run = {"subject": subject, "case": case, "load": load, "repeats": len(samples)}
            for metric in metrics_of(samples):
                values = values_of(samples, metric)
                run[metric] = statistics.median(values)
                run[metric + "_min"] = min(values)
                run[metric + "_max"] = max(values)
            runs.append(run)
        return runs

    def write(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"benchmark": self.benchmark, "machine": self.machine, "notes": self.notes,
                       "runs": self.runs()}, f, indent=1)
            f.write("\n")


def metrics_of(samples):
    names = []
    for sample in samples:
        names += [name for name in sample if name not in names]
    return names


def values_of(samples, metric):
    return [s[metric] for s in samples if s.get(metric) is not None]


def short(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.3g}"


def print_table(head, rows):
    cells = [head] + [[c if isinstance(c, str) else short(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        left = "  ".join(c.ljust(w) for c, w in zip(row[:3], widths[:3]))
        right = "  ".join(c.rjust(w) for c, w in zip(row[3:], widths[3:]))
        print(f"{left}  {right}".rstrip())
