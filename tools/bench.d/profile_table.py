# SPDX-License-Identifier: Apache-2.0
"""From what perf and nm print to functions and the parts of the program that they belong to."""

import os
import re

# A folder of the source -> what the tables call it; the longest that fits counts.
FOLDERS = {
    "dataplane": "worker loop, tx", "dataplane/net": "net (IP, ARP)", "dataplane/tcp": "tcp",
    "dataplane/client": "relay", "dataplane/upstream": "relay", "lib/rsocket": "rsocket", "lib/loop": "loop (io_uring)",
    "lib/link": "loop (io_uring)", "lib/base": "buffers, timers", "lib/balance": "relay", "lib/call": "relay",
}
RELAY_FILES = re.compile(r"^dataplane/(call|relay|ledger|route_memo|table|refusal|host_call|load|app_relay)\.[ch]$")
LINE = re.compile(r"^\s*([0-9.]+)%\s+.*?\s+(\S+)\s+\[([.k])\]\s+(.+?)\s*$")


def symbol_files(nm_lines, root):
    """Symbol -> its file below root, from `nm -l`."""
    files = {}
    for line in nm_lines.splitlines():
        left, _, place = line.partition("\t")
        path = os.path.normpath(place.rpartition(":")[0]) if place else ""
        if path.startswith(root + os.sep):
            files[left.split()[-1]] = os.path.relpath(path, root)
    return files


def part_of_file(path):
    if RELAY_FILES.match(path):
        return "relay"
    folder = os.path.dirname(path)
    while folder:
        if folder in FOLDERS:
            return FOLDERS[folder]
        folder = os.path.dirname(folder)
    return "inlined headers"


def part_of(library, space, symbol, files):
    if space == "k":
        return "kernel"
    driver = re.match(r"librte_(net_\w+)\.so", library)
    if driver:
        return f"port ({driver.group(1)})"
    if library.startswith("librte_"):
        return "port (DPDK)"
    if symbol in files:
        return part_of_file(files[symbol])
    if library.startswith("penstock"):
        return "penstock, unknown place"
    return library.partition(".so")[0].partition(".")[0]


def functions(report, files):
    """(percent, symbol, part), the largest first, from `perf report --stdio`. A library without symbols is one."""
    sums = {}
    for line in report.splitlines():
        found = LINE.match(line)
        if found and not line.startswith("#"):
            percent, library, space, symbol = found.groups()
            part = part_of(library, space, symbol, files)
            if symbol.startswith("0x"):
                symbol = "(no symbols)"
            sums[symbol, part] = sums.get((symbol, part), 0.0) + float(percent)
    return sorted(((percent, *key) for key, percent in sums.items()), key=lambda row: -row[0])


def without_idle(rows, idle, mark):
    """The share of iterations without work in `rows`, and the rows without it. `idle` is the profile of such
    iterations alone; the function `mark` is called in no others."""
    there, alone = (sum(row[0] for row in some if row[1] == mark) for some in (rows, idle))
    share = min(there / alone, 0.99) if alone else 0.0
    taken = {row[1:]: row[0] * share for row in idle}
    left = [(max(0.0, percent - taken.get(tuple(key), 0.0)), *key) for percent, *key in rows]
    total = sum(row[0] for row in left) or 1.0
    return share, sorted(((row[0] / total * 100, *row[1:]) for row in left), key=lambda row: -row[0])


def parts(rows):
    sums = {}
    for percent, _symbol, part in rows:
        sums[part] = sums.get(part, 0.0) + percent
    return sorted(sums.items(), key=lambda item: -item[1])
