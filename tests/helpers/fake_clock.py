"""A clock that a test advances."""


class FakeClock:
    """Returns ``now``: seconds of a monotonic clock or of the epoch."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now
