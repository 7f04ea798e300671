"""A record of the requests that the emulator received, for assertions in tests."""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Call", "Journal", "fingerprint"]

_MAX_CALLS = 10_000


@dataclass(slots=True)
class Call:
    """One request and the status of its response.

    Attributes:
        method: The HTTP method.
        path: The path; the id of a sign-in or consent page is replaced by an ellipsis.
        query: The query parameters.
        endpoint: The name of the endpoint, as used by ``Faults``; empty for an unknown path.
        caller: A fingerprint of the ``Authorization`` header: equal for equal credentials, not reversible.
        at: Epoch seconds by the emulator's clock.
        status: The status of the response; None until it starts, and if the connection ends before that.
    """

    method: str
    path: str
    query: dict[str, str] = field(repr=False)
    endpoint: str
    caller: str
    at: float = 0
    status: int | None = None


def fingerprint(text: str) -> str:
    """Return eight characters that identify a secret without revealing it, or "" for an empty one."""
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""


class Journal:
    """The last 10,000 requests, in order of arrival. Iterating it yields ``Call`` objects."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_MAX_CALLS)

    def record(self, call: Call) -> None:
        """Add a request that has just arrived."""
        self._calls.append(call)

    def for_endpoint(self, endpoint: str) -> tuple[Call, ...]:
        """Return the requests to one endpoint, oldest first."""
        return tuple(call for call in self if call.endpoint == endpoint)

    def count(self, endpoint: str) -> int:
        """Return the number of requests to one endpoint."""
        return len(self.for_endpoint(endpoint))

    def clear(self) -> None:
        """Remove all recorded requests."""
        self._calls.clear()

    def __iter__(self) -> Iterator[Call]:
        return iter(tuple(self._calls))

    def __len__(self) -> int:
        return len(self._calls)
