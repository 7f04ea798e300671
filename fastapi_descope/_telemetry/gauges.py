"""The states that gauges report: the age of the keys, and outages of the shared store and of Descope.

The state is taken from events, so that the parts which emit them need no code for it.
"""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ..events import (
    JwksFetched,
    StoreDegraded,
    StoreRecovered,
    UpstreamDegraded,
    UpstreamRecovered,
)
from .instruments import GAUGES

__all__ = ["GaugeEvent", "Gauges"]

GaugeEvent = JwksFetched | StoreDegraded | StoreRecovered | UpstreamDegraded | UpstreamRecovered
"""The events that change a gauge."""


class Gauges:
    """The gauges of one ``Descope``.

    They are read in a thread of the metric reader, so an update replaces one value.

    Args:
        meter: Creates the gauges.
        monotonic: Returns seconds, which the age of the keys is measured in.
        shared_store: Whether a store is configured that processes share. Without one its gauge has no value.
    """

    def __init__(self, meter: Meter, *, monotonic: Callable[[], float], shared_store: bool) -> None:
        self._monotonic = monotonic
        self._keys_at: float | None = None
        self._store: int | None = 1 if shared_store else None
        self._upstream = {"sessions": 1, "logins": 1, "access_keys": 1}
        callbacks = (self._observe_age, self._observe_store, self._observe_upstream)
        for (name, gauge), callback in zip(GAUGES.items(), callbacks, strict=True):
            meter.create_observable_gauge(name, [callback], gauge.unit, gauge.description)

    def update(self, event: GaugeEvent) -> None:
        """Take the state from an event."""
        match event:
            case JwksFetched():
                self._keys_at = self._monotonic()
            case StoreDegraded() | StoreRecovered():
                self._store = int(isinstance(event, StoreRecovered))
            case _:
                self._upstream[event.calls] = int(isinstance(event, UpstreamRecovered))

    def _observe_age(self, _: CallbackOptions) -> Iterable[Observation]:
        return () if self._keys_at is None else (Observation(self._monotonic() - self._keys_at),)

    def _observe_store(self, _: CallbackOptions) -> Iterable[Observation]:
        return () if self._store is None else (Observation(self._store),)

    def _observe_upstream(self, _: CallbackOptions) -> Iterable[Observation]:
        return tuple(Observation(value, {"calls": calls}) for calls, value in self._upstream.items())
