# SPDX-License-Identifier: Apache-2.0
"""How far a benchmark is, and whether there is time for more of it."""

import time


class Progress:
    """Counts jobs of about the same length. Time is given to tests by `clock`."""

    def __init__(self, jobs, seconds_max, clock=time.monotonic):
        self.jobs = jobs
        self.seconds_max = seconds_max
        self.clock = clock
        self.begin = self.last = clock()
        self.done = 0
        self.longest = 0.0

    def finished(self):
        """One more job is done."""
        now = self.clock()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        self.done += 1

    def gone(self):
        return self.clock() - self.begin

    def time_for_one(self):
        """Whether the next job, should it be the longest, ends in time."""
        return self.gone() + self.longest <= self.seconds_max

    def line(self):
        gone = self.gone()
        left = gone / self.done * (self.jobs - self.done) if self.done else self.seconds_max
        left = min(left, max(0.0, self.seconds_max - gone))
        return f"[{self.done:3}/{self.jobs}  {minutes(gone)}, {minutes(left)} left]"


def minutes(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
