# SPDX-License-Identifier: Apache-2.0
"""The machine under a benchmark: its processes, its cores' time, and what it is."""

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
NICE = -15
libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A sentence for the user."""


class Process:
    """A child on one core, which dies with us; what it says goes to a file."""

    def __init__(self, name, command, core, folder):
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: before_exec(core))
        self.pid = self.popen.pid

    def lives(self):
        return self.popen.poll() is None

    def must_live(self):
        if not self.lives():
            raise Failed(f"{self.name} has ended: {last_lines(self.log)}")

    def wait(self, seconds):
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds} seconds: {last_lines(self.log)}") from None

    def interrupt(self):
        """As Ctrl-C; waits for its end."""
        self.popen.send_signal(signal.SIGINT)
        self.wait(30)

    def stop(self, seconds=5):
        if self.lives():
            self.popen.terminate()
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def before_exec(core):
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, {core})
    take_precedence()


def take_precedence():
    # What else runs on the machine gets the little that is left. Where sessions are scheduled as groups,
    # it is the group's niceness that counts.
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write(str(NICE))
    except OSError:
        pass


def run(command, **options):
    """A command that has to succeed; what it prints."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          **options)
    if done.returncode:
        raise Failed(f"{os.path.basename(command[0])} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def last_lines(path, count=2):
    with open(path, encoding="utf-8", errors="replace") as f:
        return "\n".join(f.read().splitlines()[-count:])


def end_in_order():
    """SIGTERM unwinds, so that what was made is taken back."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(143))


def wait_until(what, seconds, condition, *processes):
    end = time.monotonic() + seconds
    while not condition():
        for process in processes:
            process.must_live()
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} seconds")
        time.sleep(0.02)


def busy_seconds(core):
    """Non-idle time of a core since boot, interrupts included; what the hypervisor took is not."""
    with open("/proc/stat", encoding="ascii") as f:
        for line in f:
            fields = line.split()
            if fields[0] == f"cpu{core}":
                user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[1:8])
                return (user + nice + system + irq + softirq) / TICKS
    raise Failed(f"there is no core {core}")


def process_seconds(pid, thread=None):
    """CPU time of a process, its threads and children that have ended included; or of one thread."""
    path = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    with open(path, encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def foreign_share(cores, seconds=1.0):
    """How busy the cores are before we start anything: 0 to 1."""
    before = [busy_seconds(core) for core in cores]
    time.sleep(seconds)
    return max((busy_seconds(core) - at) / seconds for core, at in zip(cores, before))


def build_type(build):
    """How a build folder was set up: optimization and sanitizers."""
    with open(os.path.join(build, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as f:
        options = {option["name"]: option["value"] for option in json.load(f)}
    return f"{options['buildtype']}, -O{options['optimization']}, sanitizers: {options['b_sanitize']}"


def describe(build=None):
    """What results depend on; build: the folder of the programs that are measured."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        **({"build": build_type(build)} if build else {}),
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
