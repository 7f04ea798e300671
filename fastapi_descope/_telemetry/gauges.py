"""The states that gauges report: the age of the keys, and outages of the store, of its log and of Descope.

The state is taken from events, so that the parts which emit them need no code for it.
"""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ..events import (
    JwksFetched,
    RevocationLogDegraded,
    RevocationLogRecovered,
    StoreDegraded,
    StoreRecovered,
    UpstreamDegraded,
    UpstreamRecovered,
)
from .instruments import GAUGES

__all__ = ["GaugeEvent", "Gauges"]

GaugeEvent = (
    JwksFetched
    | RevocationLogDegraded
    | RevocationLogRecovered
    | StoreDegraded
    | StoreRecovered
    | UpstreamDegraded
    | UpstreamRecovered
)
"""The events that change a gauge."""


class Gauges:
    """The gauges of one ``Descope``.

    They are read in a thread of the metric reader, so an update replaces one value.

    Args:
        meter: Creates the gauges.
        monotonic: Returns seconds, in which the age of the keys and the lag of the log are measured.
        shared_store: Whether a store is configured that processes share. Without one its gauge and
            that of the log have no value.
    """

    def __init__(self, meter: Meter, *, monotonic: Callable[[], float], shared_store: bool) -> None:
        self._monotonic = monotonic
        self._keys_at: float | None = None
        self._has_store = shared_store
        self._store = 1
        self._unread_since: float | None = None
        self._upstream = {"sessions": 1, "logins": 1, "access_keys": 1}
        callbacks = (self._observe_age, self._observe_lag, self._observe_store, self._observe_upstream)
        for (name, gauge), callback in zip(GAUGES.items(), callbacks, strict=True):
            meter.create_observable_gauge(name, [callback], gauge.unit, gauge.description)

    def update(self, event: GaugeEvent) -> None:
        """Take the state from an event."""
        match event:
            case JwksFetched():
                self._keys_at = self._monotonic()
            case RevocationLogDegraded():
                self._unread_since = self._monotonic()
            case RevocationLogRecovered():
                self._unread_since = None
            case StoreDegraded() | StoreRecovered():
                self._store = int(isinstance(event, StoreRecovered))
            case _:
                self._upstream[event.calls] = int(isinstance(event, UpstreamRecovered))

    def _observe_age(self, _: CallbackOptions) -> Iterable[Observation]:
        return () if self._keys_at is None else (Observation(self._monotonic() - self._keys_at),)

    def _observe_lag(self, _: CallbackOptions) -> Iterable[Observation]:
        since = self._unread_since  # another thread changes it
        lag = 0.0 if since is None else self._monotonic() - since
        return (Observation(lag),) if self._has_store else ()

    def _observe_store(self, _: CallbackOptions) -> Iterable[Observation]:
        return (Observation(self._store),) if self._has_store else ()

    def _observe_upstream(self, _: CallbackOptions) -> Iterable[Observation]:
        return tuple(Observation(value, {"calls": calls}) for calls, value in self._upstream.items())
