"""A clock that stands still until a test moves it."""


class FakeClock:
    """Gives ``now`` as seconds, monotonic or of the epoch, as the test takes it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now
