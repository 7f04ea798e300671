"""The limits on access keys that Descope refuses, and on links by e-mail."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from ..errors import TooManyAttempts, UpstreamUnavailable

__all__ = ["Attempt", "AttemptLimits"]

_PER_CLIENT, _TOTAL = 10, 100
_WINDOW_SECONDS = 60.0

_NETWORK_BITS = 64
"""A client with IPv6 can choose among the addresses of such a network."""


@dataclass(frozen=True, eq=False, slots=True)
class Attempt:
    """One attempt of a client, or of an unknown one."""

    client: str | None


class AttemptLimits:
    """Counts attempts in a sliding window of one minute: 10 for each client, 100 for all clients.

    An attempt counts from its start, so that concurrent attempts are limited too, and until it is withdrawn
    or leaves the window. So there are never more than 100 in memory.

    ``monotonic`` returns seconds.
    """

    # AK-05

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started_at: dict[Attempt, float] = {}  # oldest first

    def attempt(self, address: str | None) -> Attempt:
        """Return an attempt that has not begun.

        Args:
            address: The address of the client. IPv6 addresses count by their /64 network. None if the server
                does not know it: then only the limit on all clients applies.
        """
        return Attempt(None if address is None else _client(address))

    def check(self, attempt: Attempt) -> None:
        """Raise if the attempt may not begin now. Costs one pass over at most 100 attempts.

        Raises:
            TooManyAttempts: The client has reached its limit.
            UpstreamUnavailable: All clients together have reached theirs.
        """
        self._forget_old()
        if attempt.client is not None:
            same = [at for each, at in self._started_at.items() if each.client == attempt.client]
            if len(same) >= _PER_CLIENT:
                raise TooManyAttempts(self._seconds_left(same[0]))
        if len(self._started_at) >= _TOTAL:
            raise UpstreamUnavailable(self._seconds_left(next(iter(self._started_at.values()))))

    def start(self, attempt: Attempt) -> None:
        """Begin the attempt, which counts from now on.

        Raises:
            TooManyAttempts: The client has reached its limit.
            UpstreamUnavailable: All clients together have reached theirs.
        """
        self.check(attempt)
        self._started_at[attempt] = self._monotonic()

    def withdraw(self, attempt: Attempt) -> None:
        """Stop counting the attempt: it succeeded, or Descope gave no verdict on it."""
        self._started_at.pop(attempt, None)

    def _forget_old(self) -> None:
        now = self._monotonic()
        old = [each for each, at in self._started_at.items() if now - at >= _WINDOW_SECONDS]
        for each in old:
            del self._started_at[each]

    def _seconds_left(self, started_at: float) -> int:
        return math.ceil(started_at + _WINDOW_SECONDS - self._monotonic())


def _client(address: str) -> str:
    """Return what an address counts as: an IPv6 address as its network, any other text as itself."""
    try:
        ip = ip_address(address)
    except ValueError:  # the name of a test client, or the path of a Unix socket
        return address
    if not isinstance(ip, IPv6Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip.packed, _NETWORK_BITS), strict=False))
