"""Events and their subscribers."""

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
    """A subscriber that notes its own name and the event."""
    return lambda event: into.append((name, event))


def test_told_in_order() -> None:
    """Every subscriber is told every event, in the order of subscription."""
    seen: list[tuple[str, Event]] = []
    emitter = EventBus()
    emitter.subscribe(recorder(seen, "first"))
    emitter.subscribe(recorder(seen, "second"))
    emitter.emit(LoginStarted())
    emitter.emit(ProfileFetched())
    assert seen == [
        ("first", LoginStarted()),
        ("second", LoginStarted()),
        ("first", ProfileFetched()),
        ("second", ProfileFetched()),
    ]


def test_unsubscribed() -> None:
    """The result of subscribing ends it, for that subscriber alone; ending it twice is ending it once."""
    seen: list[tuple[str, Event]] = []
    emitter = EventBus()
    end = emitter.subscribe(recorder(seen, "leaves"))
    emitter.subscribe(recorder(seen, "stays"))
    end()
    end()
    emitter.emit(LoginStarted())
    assert seen == [("stays", LoginStarted())]


def test_unsubscribing_while_told() -> None:
    """A subscriber may leave in the middle of an event; the others still hear of it."""
    seen: list[tuple[str, Event]] = []
    emitter = EventBus()

    def once(event: Event) -> None:
        seen.append(("once", event))
        end()

    end = emitter.subscribe(once)
    emitter.subscribe(recorder(seen, "always"))
    emitter.emit(LoginStarted())
    emitter.emit(ProfileFetched())
    assert seen == [("once", LoginStarted()), ("always", LoginStarted()), ("always", ProfileFetched())]


def test_a_failing_subscriber_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What a subscriber raises is logged with its event's name; the next one is told all the same."""
    seen: list[tuple[str, Event]] = []
    emitter = EventBus()

    def fail(event: Event) -> None:
        raise RuntimeError("the audit database is away")

    emitter.subscribe(fail)
    emitter.subscribe(recorder(seen, "next"))
    with caplog.at_level(logging.ERROR, "fastapi_descope"):
        emitter.emit(LoginStarted())
    assert seen == [("next", LoginStarted())]
    assert caplog.record_tuples == [
        ("fastapi_descope", logging.ERROR, "An event subscriber failed on login_started")
    ]


def test_an_interrupt_is_no_failure() -> None:
    """Only ordinary exceptions are swallowed: the process can still be stopped."""
    emitter = EventBus()

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    emitter.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        emitter.emit(LoginStarted())


def test_nobody_listens() -> None:
    """Without subscribers an event goes nowhere, and two emitters do not share any."""
    seen: list[tuple[str, Event]] = []
    first, second = EventBus(), EventBus()
    first.subscribe(recorder(seen, "first"))
    second.emit(LoginStarted())
    assert seen == []


@EACH
def test_frozen(kind: type[Event]) -> None:
    """An event is a value: nothing about it can be changed or added."""
    event = kind(*("x" for _ in dataclasses.fields(kind)))
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        event.token = "x"  # type: ignore[attr-defined] # that it cannot be set is the point
    assert not hasattr(event, "__dict__")


@EACH
def test_lg07_no_room_for_secrets(kind: type[Event]) -> None:
    """No event has a field for a token, a code, a state, a cookie, an address or a free text (LG-07)."""
    allowed = {
        "calls",
        "confirmed",
        "everywhere",
        "first_seen",
        "keys",
        "reason",
        "scheme",
        "source",
        "tenant_id",
        "upstream_code",
        "upstream_status",
        "user_id",
    }
    assert {each.name for each in dataclasses.fields(kind)} <= allowed


def test_names() -> None:
    """Names are stable words for logs and metrics, one for each class."""
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_everything_is_public() -> None:
    """Each class is listed, in order, so that a subscriber can match on it."""
    assert {kind.__name__ for kind in KINDS} | {"EventBus", "Subscriber"} == set(events.__all__)
    assert events.__all__ == sorted(events.__all__)
