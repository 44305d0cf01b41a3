# SPDX-License-Identifier: Apache-2.0
"""What `tools/bench gateway` measures: each subject is a proxy alone on one core, with its generator and
its backend on the other."""

import json
import os
import re
import shutil
import time
import urllib.request

from machine import Failed, Process, busy_seconds, last_lines, process_seconds, run, wait_until

GATEWAY = "10.77.0.2"
GENERATOR = "10.77.0.1/24"
METRICS = "127.0.0.1:9478"
MARGIN = 0.15  # seconds at either end of the measured time that samples leave out


class Bench:
    """What the subjects share."""

    def __init__(self, build, folder, generator_core, proxy_core):
        self.build = build
        self.folder = folder
        self.generator_core = generator_core
        self.proxy_core = proxy_core
        self.started = []
        self.prefixes = set()

    def program(self, path):
        return os.path.join(self.build, path)

    def start(self, name, command, core):
        process = Process(name, command, core, self.folder)
        self.started.append(process)
        return process

    def prefix(self, name):
        """For --file-prefix of DPDK's programs."""
        prefix = f"bench-{os.getpid()}-{name}"
        self.prefixes.add(prefix)
        return prefix

    def stop_all(self):
        """Also what a failure left behind, and what DPDK leaves."""
        while self.started:
            self.started.pop().stop()
        for prefix in self.prefixes:
            shutil.rmtree(os.path.join("/run/dpdk", prefix), ignore_errors=True)

    def apply(self, control, manifest):
        path = os.path.join(self.folder, "bench.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(manifest)
        run([self.program("tools/cli/penstock"), "apply", "-f", path],
            env={**os.environ, "PENSTOCK_SOCKET": control})


class Case:
    """rrBYTES-cCONNECTIONSxOUTSTANDING"""

    def __init__(self, size, connections, outstanding):
        self.size = size
        self.connections = connections
        self.outstanding = outstanding
        self.name = f"rr{size}-c{connections}x{outstanding}"


class Sampler:
    """Time of the two cores, of the proxy, and what the proxy counts, at two instants."""

    def __init__(self, bench, process, counters):
        self.bench = bench
        self.process = process
        self.counters = counters

    def take(self):
        return (time.monotonic(), busy_seconds(self.bench.proxy_core),
                busy_seconds(self.bench.generator_core), process_seconds(self.process.pid), self.counters())

    def between(self, before, after, calls_per_s):
        seconds = after[0] - before[0]
        calls = calls_per_s * seconds
        idle = idle_seconds(before[4], after[4], seconds)
        cpu = after[1] - before[1] - idle
        own = after[3] - before[3] - idle
        metrics = {
            "cpu_us_per_call": cpu / calls * 1e6,
            "own_us_per_call": own / calls * 1e6,
            "proxy_core_busy": cpu / seconds,
            "generator_core_busy": (after[2] - before[2]) / seconds,
        }
        sends = difference(before[4], after[4], "penstock_loop_sends_total")
        segments = difference(before[4], after[4], "penstock_tcp_segments_out_total")
        if sends:
            metrics["frames_per_send"] = calls / sends
        if segments:
            metrics["frames_per_segment"] = calls / segments
        return metrics


def difference(before, after, name):
    return after.get(name, 0) - before.get(name, 0)


def idle_seconds(before, after, seconds):
    """What a polling worker spent in iterations that found no work."""
    names = ["penstock_worker_cycles_%s_total" % what for what in ("busy", "idle", "asleep")]
    busy, idle, asleep = (difference(before, after, name) for name in names)
    if not idle:
        return 0.0
    return idle / (busy + idle + asleep) * seconds


class GenRun:
    """A run of penstock-gen load."""

    def __init__(self, subject, flags, case, rate, warmup, duration):
        self.subject = subject
        self.json = os.path.join(subject.bench.folder, "gen.json")
        self.warmup, self.duration = warmup, duration
        command = [subject.bench.program("tools/gen/penstock-gen"), "load", *flags,
                   "--connections", str(case.connections), "--size", str(case.size),
                   "--warmup", str(warmup), "--duration", str(duration), "--json", self.json]
        command += ["--rate", str(rate)] if rate else ["--outstanding", str(case.outstanding)]
        log = os.path.join(subject.bench.folder, "gen.log")
        if os.path.exists(log):
            os.unlink(log)
        self.process = subject.bench.start("gen", command, subject.bench.generator_core)

    def run(self, sampler):
        # The first line of progress comes a second after the load began.
        wait_until("the load's start", 20, lambda: "calls/s" in last_lines(self.process.log), self.process)
        begin = time.monotonic() - 1.0
        sleep_until(begin + self.warmup + MARGIN)
        before = sampler.take()
        sleep_until(begin + self.warmup + self.duration - MARGIN)
        after = sampler.take()
        self.process.wait(30)
        if self.process.popen.returncode:
            raise Failed(f"penstock-gen failed: {last_lines(self.process.log)}")
        with open(self.json, encoding="utf-8") as f:
            report = json.load(f)
        if report["errors_total"] > report["calls"] / 1000:
            raise Failed(f"penstock-gen met errors: {report['errors']}")
        metrics = {name: report[name] for name in ("calls_per_s", "p50_us", "p90_us", "p99_us", "p999_us")}
        metrics["errors"] = report["errors_total"]
        metrics.update(sampler.between(before, after, report["calls_per_s"]))
        if self.subject.polling_generator:
            metrics["generator_core_busy"] = report["busy"]
        return metrics


def sleep_until(when):
    time.sleep(max(0.0, when - time.monotonic()))


def fetch_counters():
    """All counters of the gateway's page, workers added up."""
    counters = {}
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=5) as page:
        for line in page.read().decode().splitlines():
            name, _, value = line.rpartition(" ")
            if not line.startswith("#") and name:
                name = name.partition("{")[0]
                counters[name] = counters.get(name, 0) + float(value)
    return counters


class Penstock:
    """The gateway on a memif. The generator's thread is its clients and its backend."""

    name = "penstock"
    package = None
    polling_generator = True
    processes = ()

    def __init__(self, bench, more=()):
        self.bench = bench
        self.more = more  # flags of the gateway

    def open(self):
        b = self.bench
        peer, control, memif = (os.path.join(b.folder, name + ".sock") for name in ("peer", "control", "memif"))
        for path in (control, memif):  # one that was killed leaves its own, which looks like it is there
            if os.path.exists(path):
                os.unlink(path)
        self.memif = f"id=0,socket={memif},socket-abstract=no"
        plane = b.start("controlplane", [
            b.program("controlplane/penstock-controlplane"), "--control", control, "--peer", peer,
            "--state", os.path.join(b.folder, "state"), "--metrics", "off"], b.generator_core)
        wait_until("the control plane", 10, lambda: os.path.exists(control), plane)
        self.gateway = b.start("dataplane", [
            b.program("dataplane/penstock-dataplane"), "--config", "/dev/null", "--name", "gw1",
            "--control", "unix:" + peer, "--cores", str(b.proxy_core), "--metrics", METRICS,
            "--port", f"p0=net_memif0,role=server,{self.memif},mac=02:50:53:00:00:02",
            "--file-prefix", b.prefix("gw"), *self.more], b.proxy_core)
        self.processes = (plane, self.gateway)
        b.apply(control, MANIFEST)
        wait_until("the gateway", 20, lambda: os.path.exists(memif), *self.processes)

    def flags(self):
        """Of the generator."""
        return ["--to", GATEWAY + ":7878", "--address", GENERATOR, "--serve", "127.0.0.1:7000",
                "--port", f"net_memif0,role=client,{self.memif},mac=02:50:53:00:00:01",
                "--cores", str(self.bench.generator_core), "--file-prefix", self.bench.prefix("gen")]

    def measure(self, case, rate, duration):
        for process in self.processes:
            process.must_live()
        # The first call makes the gateway dial the backend, and those until then are rejected: warm-up.
        load = GenRun(self, self.flags(), case, rate, 1.5, duration)
        return load.run(Sampler(self.bench, self.gateway, fetch_counters))

    def close(self):
        for process in reversed(self.processes):
            process.stop()


MANIFEST = """
apiVersion: penstock/v1
kind: Endpoint
metadata: {name: bench}
spec: {addresses: ["127.0.0.1:7000"], routes: [echo]}
---
apiVersion: penstock/v1
kind: Gateway
metadata: {name: gw1}
spec:
  ports: [{name: p0, addresses: [10.77.0.2/24]}]
  listeners: [{port: 7878}]
"""


class Proxy:
    """A program of Debian's over kernel sockets."""

    program = None
    package = None
    polling_generator = False
    port = 7800
    process = None

    def __init__(self, bench):
        self.bench = bench

    def command(self):
        raise NotImplementedError

    def missing(self):
        return None if shutil.which(self.program) else self.package

    def open(self):
        self.process = self.bench.start(self.name, self.command(), self.bench.proxy_core)
        wait_until(self.name, 10, lambda: listens(self.port), self.process)

    def close(self):
        if self.process:
            self.process.stop()

    def config(self, text):
        path = os.path.join(self.bench.folder, self.name + ".cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path


def listens(port):
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
                   for line in f.readlines()[1:])


HAPROXY = """
global
	nbthread 1
	maxconn 4000
defaults
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	mode {mode}
	{options}
frontend in
	bind 127.0.0.1:{port} {bind}
	default_backend out
backend out
	server s1 127.0.0.1:{backend} {server}
"""


class HaproxyTcp(Proxy):
    """The same RSocket traffic from the same generator; it looks into nothing."""

    name = "haproxy-tcp"
    program = package = "haproxy"
    port = 7801

    def command(self):
        text = HAPROXY.format(mode="tcp", options="", port=self.port, bind="", backend=7001, server="")
        return ["haproxy", "-db", "-f", self.config(text)]

    def measure(self, case, rate, duration):
        flags = ["--to", f"127.0.0.1:{self.port}", "--serve", "127.0.0.1:7001"]
        load = GenRun(self, flags, case, rate, 1.0, duration)
        return load.run(Sampler(self.bench, self.process, dict))


class Http2(Proxy):
    """Behind h2load, in front of nghttpd."""

    backend = 7002
    server = None

    def missing(self):
        absent = super().missing()
        for program, package in (("h2load", "nghttp2-client"), ("nghttpd", "nghttp2-server")):
            absent = absent or (None if shutil.which(program) else package)
        return absent

    def open(self):
        self.server = self.bench.start(self.name + "-backend", [
            "nghttpd", "--no-tls", "--echo-upload", "--address=127.0.0.1", str(self.backend)],
            self.bench.generator_core)
        wait_until("nghttpd", 10, lambda: listens(self.backend), self.server)
        super().open()

    def close(self):
        super().close()
        if self.server:
            self.server.stop()

    def measure(self, case, rate, duration):
        warmup = 1
        whole = max(1, round(duration))
        body = os.path.join(self.bench.folder, "body")
        with open(body, "wb") as f:
            f.write(b"x" * case.size)
        command = ["h2load", "-t", "1", "-c", str(case.connections), "-m", str(case.outstanding), "-d", body]
        if rate:
            command += ["--rps", f"{rate / case.connections:.2f}"]
        sampler = Sampler(self.bench, self.process, dict)
        h2load = self.h2load([*command, "-D", str(whole), "--warm-up-time", str(warmup)])
        begin = time.monotonic()
        sleep_until(begin + warmup + MARGIN)
        before = sampler.take()
        sleep_until(begin + warmup + whole - MARGIN)
        after = sampler.take()
        calls_per_s = self.rate_of(h2load)
        metrics = {"calls_per_s": calls_per_s}
        metrics.update(self.latency(command))
        metrics.update(sampler.between(before, after, calls_per_s))
        return metrics

    def h2load(self, command):
        log = os.path.join(self.bench.folder, "h2load.log")
        if os.path.exists(log):
            os.unlink(log)
        return self.bench.start("h2load", [*command, f"http://127.0.0.1:{self.port}/echo"],
                                self.bench.generator_core)

    def rate_of(self, h2load):
        h2load.wait(60)
        text = last_lines(h2load.log, 100)
        rate = re.search(r"^finished in .*?, ([0-9.]+) req/s", text, re.M)
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
        if not rate or not failed or float(rate.group(1)) <= 0:
            raise Failed(f"h2load failed: {last_lines(h2load.log)}")
        if any(map(int, failed.groups())):
            raise Failed(f"h2load met errors: {failed.group(0)}")
        return float(rate.group(1))

    def latency(self, command):
        """h2load tells no quantiles; it logs each request, which costs: a short run of its own."""
        log = os.path.join(self.bench.folder, "h2load.tsv")
        h2load = self.h2load([*command, "-D", "1", "--log-file", log])
        h2load.wait(60)
        with open(log, encoding="ascii") as f:
            times = sorted(int(line.split("\t")[2]) for line in f)
        os.unlink(log)
        if not times:
            raise Failed("h2load logged no request")
        return {f"{name}_us": float(times[min(len(times) - 1, int(len(times) * q))])
                for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))}


class Haproxy(Http2):
    """As an HTTP/2 proxy."""

    name = program = package = "haproxy"
    port = 7803

    def command(self):
        text = HAPROXY.format(mode="http", options="http-reuse always", port=self.port, bind="proto h2",
                              backend=self.backend, server="proto h2")
        return ["haproxy", "-db", "-f", self.config(text)]


class Nghttpx(Http2):
    """As an HTTP/2 proxy."""

    name = program = "nghttpx"
    package = "nghttp2-proxy"
    port = 7804
    backend = 7005

    def command(self):
        return ["nghttpx", "--workers=1", f"--frontend=127.0.0.1,{self.port};no-tls",
                f"--backend=127.0.0.1,{self.backend};;proto=h2", "--errorlog-file=/dev/stderr",
                "--accesslog-file=/dev/null", "--conf=/dev/null", "--single-process"]


SUBJECTS = [Penstock, HaproxyTcp, Haproxy, Nghttpx]
