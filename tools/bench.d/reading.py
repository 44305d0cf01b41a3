# SPDX-License-Identifier: Apache-2.0
"""What the figures of `tools/bench gateway` say: which core was full first, and what that does to them."""

FULL = 0.95  # of a core


def limit(run):
    """What bounded a run at full load: "proxy", "generator", "both" or "neither" of the cores."""
    proxy, generator = run["proxy_core_busy"] >= FULL, run["generator_core_busy"] >= FULL
    if proxy and generator:
        return "both"
    return "proxy" if proxy else "generator" if generator else "neither"


SAYS = {
    "proxy": "its own core was full: calls/s is its limit",
    "generator": "the generator's core was full first: calls/s is the generator's limit, and the CPU a call "
                 "is an upper bound, since a faster one would give it larger batches",
    "both": "both cores were full: calls/s is near the proxy's limit",
    "neither": "no core was full: in a closed loop the two sides take turns with the calls in flight; the CPU a "
               "call is that of the batches this makes",
}


def limits(runs):
    """A line for each subject and case at full load."""
    lines = []
    for run in sorted(runs, key=lambda r: (r["case"], r["subject"])):
        if run["load"] != 1.0:
            continue
        lines.append(f"{run['subject']} {run['case']}: {SAYS[limit(run)]}"
                     f" (proxy {run['proxy_core_busy'] * 100:.0f} %, generator "
                     f"{run['generator_core_busy'] * 100:.0f} %)")
    return lines


def find(runs, subject, case, load=1.0):
    for run in runs:
        if (run["subject"], run["case"], run["load"]) == (subject, case, load):
            return run
    return None


def ratio(runs, peer, case, aim):
    """Ours to theirs at full load, and whether the aim is met. None without both."""
    ours, theirs = find(runs, "penstock", case), find(runs, peer, case)
    if not ours or not theirs or not theirs["cpu_us_per_call"] or not theirs["own_us_per_call"]:
        return None
    share = ours["cpu_us_per_call"] / theirs["cpu_us_per_call"]
    own = ours["own_us_per_call"] / theirs["own_us_per_call"]
    text = f"penstock to {peer}, {case}: {share:.2f} of its CPU a call (process alone: {own:.2f})"
    if aim is not None:
        text += f"; the aim is at most {aim:.2f}: {'yes' if share <= aim else 'no'}"
    if limit(theirs) in ("generator", "neither"):
        text += f"; {peer}'s core was not full, so its figure is an upper bound and this a lower one"
    return text
