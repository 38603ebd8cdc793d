"""`Clock`: the time that each step of a fit takes."""

import time


class Clock:
    """Stopwatch of a fit; `seconds`: name of a step -> the time it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.monotonic()

    def step(self, name: str) -> None:
        """End a step: the time since the end of the one before is booked under this name."""
        now = time.monotonic()
        self.seconds[name], self.last = now - self.last, now
