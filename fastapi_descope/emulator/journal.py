"""What the emulator was asked: a record to make assertions on."""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Call", "Journal", "fingerprint"]

_KEPT = 10_000


@dataclass(slots=True)
class Call:
    """One request. ``status`` is None until it is answered, and stays so if the connection ends before.

    ``endpoint`` is the name that faults use, or empty for a path that is none. ``path`` does not hold the
    id of a sign-in page. ``at`` is epoch seconds by the emulator's clock. ``caller`` tells bearers apart
    and does not reveal them.
    """

    method: str
    path: str
    query: dict[str, str] = field(repr=False)
    endpoint: str
    caller: str
    at: float = 0
    status: int | None = None


def fingerprint(text: str) -> str:
    """Eight characters that stand for a secret; empty for an empty one."""
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""


class Journal:
    """The last 10,000 requests in order of arrival. Iterate it, or ask for one endpoint's."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_KEPT)

    def record(self, call: Call) -> None:
        """Record a request that has just arrived."""
        self._calls.append(call)

    def for_endpoint(self, endpoint: str) -> tuple[Call, ...]:
        """The requests to one endpoint, oldest first."""
        return tuple(call for call in self if call.endpoint == endpoint)

    def count(self, endpoint: str) -> int:
        """How many requests went to one endpoint."""
        return len(self.for_endpoint(endpoint))

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self._calls.clear()

    def __iter__(self) -> Iterator[Call]:
        return iter(tuple(self._calls))

    def __len__(self) -> int:
        return len(self._calls)
