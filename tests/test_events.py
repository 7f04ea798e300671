"""The event records and the event bus."""

import dataclasses
import logging
import re
from collections.abc import Callable

import pytest

from fastapi_descope import events
from fastapi_descope.events import Event, EventBus, LoginStarted, ProfileFetched

KINDS = sorted(
    (kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)),
    key=lambda kind: kind.__name__,
)
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def recorder(into: list[tuple[str, Event]], name: str) -> Callable[[Event], None]:
    """Return a subscriber that records its own name and the event."""
    return lambda event: into.append((name, event))


def test_subscribers_get_events_in_order_of_subscription() -> None:
    """Every subscriber gets every event, in the order of subscription."""
    seen: list[tuple[str, Event]] = []
    bus = EventBus()
    bus.subscribe(recorder(seen, "first"))
    bus.subscribe(recorder(seen, "second"))
    bus.emit(LoginStarted())
    bus.emit(ProfileFetched())
    assert seen == [
        ("first", LoginStarted()),
        ("second", LoginStarted()),
        ("first", ProfileFetched()),
        ("second", ProfileFetched()),
    ]


def test_unsubscribe_ends_one_subscription() -> None:
    """The returned function ends this subscription only. A second call has no effect."""
    seen: list[tuple[str, Event]] = []
    bus = EventBus()
    end = bus.subscribe(recorder(seen, "leaves"))
    bus.subscribe(recorder(seen, "stays"))
    end()
    end()
    bus.emit(LoginStarted())
    assert seen == [("stays", LoginStarted())]


def test_a_subscriber_can_unsubscribe_during_an_event() -> None:
    """A subscriber can unsubscribe while it handles an event; the others still get the event."""
    seen: list[tuple[str, Event]] = []
    bus = EventBus()

    def once(event: Event) -> None:
        seen.append(("once", event))
        end()

    end = bus.subscribe(once)
    bus.subscribe(recorder(seen, "always"))
    bus.emit(LoginStarted())
    bus.emit(ProfileFetched())
    assert seen == [("once", LoginStarted()), ("always", LoginStarted()), ("always", ProfileFetched())]


def test_a_failing_subscriber_is_logged_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An exception is logged with the name of the event, and the next subscriber still gets the event."""
    seen: list[tuple[str, Event]] = []
    bus = EventBus()

    def fail(event: Event) -> None:
        raise RuntimeError("the audit database is down")

    bus.subscribe(fail)
    bus.subscribe(recorder(seen, "next"))
    with caplog.at_level(logging.ERROR, "fastapi_descope"):
        bus.emit(LoginStarted())
    assert seen == [("next", LoginStarted())]
    assert caplog.record_tuples == [
        ("fastapi_descope", logging.ERROR, "An event subscriber failed on login_started")
    ]


def test_an_interrupt_of_a_subscriber_is_not_swallowed() -> None:
    """Only subclasses of Exception are swallowed, so the process can still be stopped."""
    bus = EventBus()

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    bus.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.emit(LoginStarted())


def test_two_buses_share_no_subscribers() -> None:
    """An event without subscribers is dropped, and two buses share no subscribers."""
    seen: list[tuple[str, Event]] = []
    first, second = EventBus(), EventBus()
    first.subscribe(recorder(seen, "first"))
    second.emit(LoginStarted())
    assert seen == []


@EACH
def test_events_are_frozen(kind: type[Event]) -> None:
    """An event is a frozen value without a ``__dict__``."""
    event = kind(*("x" for _ in dataclasses.fields(kind)))
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        event.token = "x"  # type: ignore[attr-defined] # that it cannot be set is the point
    assert not hasattr(event, "__dict__")


@EACH
def test_lg07_no_event_has_a_field_for_a_secret(kind: type[Event]) -> None:
    """No event has a field for a token, a code, a state, a cookie, an address or a free text (LG-07)."""
    allowed = {
        "action",
        "calls",
        "confirmed",
        "delivered",
        "everywhere",
        "fields",
        "first_seen",
        "key_id",
        "keys",
        "method",
        "missing",
        "model",
        "reason",
        "scheme",
        "source",
        "tenant_id",
        "actor_id",
        "upstream_code",
        "upstream_status",
        "user_id",
    }
    assert {each.name for each in dataclasses.fields(kind)} <= allowed


def test_event_names_are_unique_snake_case() -> None:
    """Names are stable words for logs and metrics, one for each class."""
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_everything_is_public() -> None:
    """``__all__`` lists each class, sorted, so that a subscriber can match on it."""
    others = {"EventBus", "LoginMethod", "Subscriber"}
    assert {kind.__name__ for kind in KINDS} | others == set(events.__all__)
    assert events.__all__ == sorted(events.__all__)
