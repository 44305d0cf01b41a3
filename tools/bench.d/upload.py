# SPDX-License-Identifier: Apache-2.0
"""Small calls beside a slow upload of 15 MB that shares their upstream connection: see tools/bench. Clients
are the kernel's, over a tap: their TCP can be slowed down. In its network namespace."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import machine
import results
from machine import Failed, wait_until
from subjects import Bench

SLOW = 3000000  # bytes a second: the upload lasts 5 s
CALLS, RATE = 1750, 250  # 7 s of small calls: while the upload comes in, and while it goes on upstream at its end
AIM = 3.0

MANIFEST = """
apiVersion: penstock/v1
kind: Endpoint
metadata: {name: bench}
spec: {addresses: ["10.77.0.1:7000"], routes: [echo, sink]}
---
apiVersion: penstock/v1
kind: Gateway
metadata: {name: gw1}
spec:
  ports: [{name: p0, addresses: [10.77.0.2/24]}]
  listeners: [{port: 7878}]
"""


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def has_link(name):
    return os.path.exists(f"/proc/sys/net/ipv4/conf/{name}")


def open_stack(b):
    """Control plane, gateway on a tap and backend."""
    peer, control = (os.path.join(b.folder, name) for name in ("peer.sock", "control.sock"))
    plane = b.start("controlplane", [
        b.program("controlplane/penstock-controlplane"), "--control", control, "--peer", peer,
        "--state", os.path.join(b.folder, "state"), "--metrics", "off"], b.generator_core)
    wait_until("the control plane", 10, lambda: os.path.exists(control), plane)
    gateway = b.start("dataplane", [
        b.program("dataplane/penstock-dataplane"), "--config", "/dev/null", "--name", "gw1", "--control",
        "unix:" + peer, "--cores", str(b.proxy_core), "--port", "p0=net_tap0,iface=pn0",
        "--file-prefix", b.prefix("gw")], b.proxy_core)
    wait_until("the tap", 20, lambda: has_link("pn0"), gateway)
    time.sleep(0.5)  # the port gives its twin another address
    ip("address", "add", "10.77.0.1/24", "dev", "pn0")
    ip("link", "set", "dev", "pn0", "up")
    b.start("backend", [b.program("tools/gen/penstock-gen"), "serve", "--listen", "10.77.0.1:7000"],
            b.generator_core)
    b.apply(control, MANIFEST)


def load(b, name, flags):
    out = os.path.join(b.folder, name + ".json")
    return out, b.start(name, [
        b.program("tools/gen/penstock-gen"), "load", "--to", "10.77.0.2:7878", "--quiet",
        "--connections", "1", "--expect-no-errors", "--timeout-ms", "60000", "--json", out, *flags],
        b.generator_core)


def finish(out, process):
    process.wait(90)
    if process.popen.returncode:
        raise Failed(f"{process.name} failed: {machine.last_lines(process.log)}")
    with open(out, encoding="utf-8") as f:
        return json.load(f)


def small(b):
    report = finish(*load(b, "small", ["--count", str(CALLS), "--rate", str(RATE), "--functions", "echo"]))
    return {name: report[name] for name in ("calls_per_s", "p50_us", "p99_us", "p999_us")}


def beside(b):
    upload = load(b, "upload", ["--count", "1", "--size", "15000000", "--slow", str(SLOW), "--functions", "sink"])
    time.sleep(0.3)
    metrics = small(b)
    if upload[1].lives():
        raise Failed("the upload lasted longer than the small calls, so its end was not among them")
    finish(*upload)
    return metrics


def main(args):
    parser = argparse.ArgumentParser(prog="tools/bench upload")
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    parser.add_argument("--quick", action="store_true", help="2 repeats")
    parser.add_argument("--repeats", type=int, default=0, help="7; 2 with --quick")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cores", default="0,1", help="of clients and gateway (0,1)")
    o = parser.parse_args(args)
    machine.end_in_order()
    cores = [int(core) for core in o.cores.split(",")]
    found = results.Results("upload", machine.describe(o.build))
    found.machine["foreign_share"] = round(machine.foreign_share(cores), 3)
    if found.machine["foreign_share"] > 0.03:
        found.note("provisional: others used the machine meanwhile")
    ratios = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench.") as folder:
        b = Bench(o.build, folder, cores[0], cores[1])
        try:
            open_stack(b)
            small_ready(b)
            for repeat in range(o.repeats or (2 if o.quick else 7)):
                alone, with_upload = small(b), beside(b)
                found.add("penstock", "small-alone", 1.0, alone)
                found.add("penstock", "small-beside-upload", 1.0, with_upload)
                ratios.append(with_upload["p99_us"] / alone["p99_us"])
                print(f"repeat {repeat + 1}: p99 {alone['p99_us']:.0f} us alone, "
                      f"{with_upload['p99_us']:.0f} us beside the upload: {ratios[-1]:.2f}", flush=True)
        finally:
            b.stop_all()
    ratio = found.median("penstock", "small-beside-upload", 1.0, "p99_us") / \
        found.median("penstock", "small-alone", 1.0, "p99_us")
    print(f"p99 of small calls beside a slow upload of 15 MB to alone: {ratio:.2f} (of the medians; repeats "
          f"{min(ratios):.2f} to {max(ratios):.2f}); the aim is at most {AIM:g}: {'yes' if ratio <= AIM else 'no'}")
    for note in found.notes:
        print(f"note: {note}")
    if o.json:
        found.write(o.json)
    return 0


def small_ready(b):
    """Until a call is answered."""
    end = time.monotonic() + 20
    while True:
        try:
            finish(*load(b, "first", ["--count", "1", "--functions", "echo"]))
            return
        except Failed:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
