#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may use whom: holds every #include, every use of DPDK and every licence line against the table
below. layering.py ROOT checks a tree; layering.py --self-test proves that faults are found."""

import os
import re
import sys
import tempfile

# Folder: folders whose headers it may include, besides its own. The longest folder that matches counts.
MAY_USE = {
    "lib": ["lib"],
    "lib/base": [],
    "lib/rsocket": ["lib/base"],
    "lib/balance": ["lib/base"],
    "lib/call": ["lib/base"],
    "lib/loop": ["lib/base"],
    "lib/settings": ["lib/base"],
    "lib/link": ["lib/base", "lib/rsocket", "lib/loop"],
    "dataplane": ["lib"],
    "dataplane/tcp": ["lib/base"],
    "dataplane/net": ["lib/base", "dataplane/tcp"],
    "sched": ["lib"],
    "controlplane": ["lib", "sched"],
    "fnhost": ["lib"],
    "tools": ["lib"],
    "tools/gen": ["lib", "dataplane"],
    "tools/sim": ["lib", "sched", "controlplane"],
    "test": ["lib", "dataplane", "sched", "controlplane", "fnhost", "tools"],
}

# Folders that may include DPDK's headers and name its dependency.
MAY_USE_DPDK = ["dataplane", "tools/gen", "test"]
MAY_NOT_USE_DPDK = ["dataplane/tcp", "dataplane/net"]

# Protocols are pure: no sockets, threads, clocks or log.
PURE = ["lib/rsocket", "lib/balance", "lib/call", "dataplane/tcp", "dataplane/net", "sched"]
IMPURE_HEADERS = {
    "sys/socket.h", "sys/epoll.h", "unistd.h", "pthread.h", "threads.h", "time.h", "sys/time.h",
    "liburing.h", "lib/base/log.h",
}

SKIP_FOLDERS = {".git", "node_modules"}
SOURCES = (".c", ".h", ".py", ".sh", ".js", "meson.build", "meson_options.txt")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
LICENCE = "SPDX-License-Identifier: Apache-2.0"


def within(path, folder):
    return path == folder or path.startswith(folder + "/")


def longest(path, folders):
    matching = [folder for folder in folders if within(path, folder)]
    return max(matching, key=len, default=None)


def sources(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            f for f in folders if f not in SKIP_FOLDERS and not (folder == root and f.startswith("build"))
        )
        for name in sorted(names):
            full = os.path.join(folder, name)
            if name.endswith(SOURCES) or is_script(full):
                yield os.path.relpath(full, root)


def is_script(path):
    if "." in os.path.basename(path) or os.path.islink(path):
        return False
    with open(path, "rb") as f:
        return f.read(2) == b"#!"


def dpdk_allowed(path):
    return (longest(path, MAY_USE_DPDK) is not None
            and longest(path, MAY_NOT_USE_DPDK) is None)


def include_faults(path, number, bracket, header):
    where = f"{path}:{number}"
    owner = longest(path, MAY_USE)
    if bracket == "<":
        if header.startswith("rte_") and not dpdk_allowed(path):
            yield f"{where}: {header}: DPDK is not for this folder"
    elif "/" not in header:
        yield f'{where}: "{header}": name it from the root of the project'
    elif owner is not None and not within(header, owner):
        if not any(within(header, folder) for folder in MAY_USE[owner]):
            yield f"{where}: {owner} may not use {header}"
    if header in IMPURE_HEADERS and longest(path, PURE) is not None:
        yield f"{where}: {header} does not belong in a pure protocol"


def file_faults(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    if LICENCE not in "\n".join(lines[:2]):
        yield f"{path}:1: no line '{LICENCE}'"
    for number, line in enumerate(lines, 1):
        if path.endswith((".c", ".h")):
            match = INCLUDE.match(line)
            if match:
                yield from include_faults(path, number, *match.groups())
        elif path.endswith("/meson.build") and "dpdk_dep" in line and not dpdk_allowed(path):
            yield f"{path}:{number}: this folder must not link DPDK"


def check(root):
    faults = []
    files = 0
    for path in sources(root):
        files += 1
        faults.extend(file_faults(root, path))
    return files, faults


# --- the proof that it can fail ---

FAULTY = {
    "lib/base/a.c": ['#include "lib/rsocket/frame.h"'],
    "lib/loop/b.c": ['#include "dataplane/table.h"'],
    "lib/rsocket/c.c": ['#include "lib/loop/loop.h"'],
    "dataplane/tcp/d.c": ["#include <rte_mbuf.h>"],
    "dataplane/tcp/e.c": ["#include <time.h>"],
    "sched/f.c": ['#include "controlplane/store.h"'],
    "controlplane/g.c": ['#include "dataplane/table.h"'],
    "tools/cli/h.c": ["#include <rte_ethdev.h>"],
    "tools/cli/meson.build": ["x = [dpdk_dep]"],
    "fnhost/i.h": ['#include "local.h"'],
    "controlplane/no-licence.c": None,
}

CLEAN = {
    "lib/rsocket/c.c": ['#include "lib/base/buf.h"', '#include "lib/rsocket/frame.h"', "#include <string.h>"],
    "dataplane/port.c": ["#include <rte_ethdev.h>", '#include "lib/loop/loop.h"'],
    "controlplane/g.c": ['#include "sched/plan.h"', '  #  include "lib/base/log.h"'],
    "tools/gen/m.c": ["#include <rte_ethdev.h>", '#include "dataplane/tcp/tcp.h"'],
    "test/unit/n.c": ['#include "dataplane/table.h"'],
}


def write_tree(root, files):
    for path, lines in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        mark = "#" if path.endswith("meson.build") else "//"
        with open(full, "w", encoding="utf-8") as f:
            if lines is None:
                f.write("int x;\n")
            else:
                f.write("\n".join([f"{mark} {LICENCE}", *lines]) + "\n")


def self_test():
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, FAULTY)
        _, faults = check(root)
        found = {fault.split(":")[0] for fault in faults}
        missed = sorted(set(FAULTY) - found)
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, CLEAN)
        files, unjust = check(root)
    for path in missed:
        print(f"not found: the fault in {path}")
    for fault in unjust:
        print(f"unjust: {fault}")
    print(f"{len(FAULTY) - len(missed)} of {len(FAULTY)} faults found, {len(unjust)} unjust in {files} files")
    return bool(missed or unjust or files != len(CLEAN))


def main(args):
    if args == ["--self-test"]:
        return self_test()
    if len(args) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    files, faults = check(args[0])
    print("\n".join([*faults, f"{files} files, {len(faults)} faults"]))
    return bool(faults or not files)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
