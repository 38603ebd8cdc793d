"""How long the steps of a fit take."""

import time


class Clock:
    """`seconds`: name of a step -> the time it took."""

    def __init__(self):
        self.seconds, self.last = {}, time.monotonic()

    def step(self, name):
        """What was done since the step before has this name."""
        now = time.monotonic()
        self.seconds[name], self.last = now - self.last, now
