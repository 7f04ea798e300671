"""One log line for each event, without secrets, rate limited, with a hint at the remedy.

User and tenant ids are only in the extra fields of log records, where an audit trail needs them.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import fields

from ..events import (
    AccessKeyExchanged,
    Event,
    JwksFetched,
    JwksFetchFailed,
    SessionRefreshed,
    SignedIn,
    SignedOut,
    TenantSwitched,
    UserChanged,
    UserRevoked,
    WebhookIgnored,
)
from .event_hints import hint
from .log_rate_limit import INTERVAL_SECONDS, LogPermit, LogRateLimiter
from .redaction import redact_value

__all__ = ["EventLog"]

# LG-05: never in the text of a line.
_ID_FIELDS = frozenset({"user_id", "tenant_id", "actor_id", "key_id"})
"""Fields that identify a person, a tenant or a key, which appear only in the extra fields of a log record."""


class EventLog:
    """Logs events: refusals and failures as warnings, others at INFO.

    The record has the fields of the event as extra fields, with the prefix ``descope_``.

    Events that unauthenticated clients can cause are limited to ten lines a minute for each type and reason.
    The next line then has the number of suppressed lines in ``descope_suppressed``. Lines about
    logins, refreshes, tenant switches and confirmed logouts are never suppressed.

    Args:
        monotonic: Returns seconds, which the rate limit is measured in.
        logger: Replaces the logger ``fastapi_descope.events``.
        base_url: The URL of Descope to name in lines about outages.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        logger: logging.Logger | None = None,
        base_url: str | None = None,
    ) -> None:
        self.logger = logger or logging.getLogger("fastapi_descope.events")
        self._rate_limiter = LogRateLimiter(monotonic)
        self._base_url = base_url
        self._outage_reasons: frozenset[str] = frozenset()

    def write(self, event: Event, level: int, labels: Mapping[str, str]) -> None:
        """Log one event, unless it repeats an outage or its rate limit is reached.

        Lines with the same ``labels`` share a limit.
        """
        if self._is_repeat(event) or not self.logger.isEnabledFor(level):
            return
        key = (event.name, *labels.values())
        permit = LogPermit(0) if _requires_session(event) else self._rate_limiter.acquire(key)
        if permit is not None:
            self._log(event, level, permit)

    def _log(self, event: Event, level: int, permit: LogPermit) -> None:
        values = {each.name: redact_value(getattr(event, each.name)) for each in fields(event)}
        if permit.suppressed:
            values["suppressed"] = permit.suppressed
        shown = {
            name: value for name, value in values.items() if name not in _ID_FIELDS and value is not None
        }
        parts = [event.name, *(f"{name}={value}" for name, value in shown.items())]
        if text := hint(event, self._base_url):
            parts.append(f"({text})")
        if permit.is_last:
            parts.append(f"(more of these within {INTERVAL_SECONDS:.0f} s are counted, not logged)")
        extra = {f"descope_{name}": value for name, value in values.items()}
        # In uvicorn's default configuration a line has neither the name of the logger nor a level.
        line = f"fastapi_descope: {' '.join(parts)}"
        self.logger.log(level, "%s", line, extra={"descope_event": event.name, **extra})

    def _is_repeat(self, event: Event) -> bool:
        """Return whether the event repeats a failed key fetch of the same outage: one outage, one line."""
        match event:
            case JwksFetchFailed(reason=reason):
                is_repeat = reason in self._outage_reasons
                self._outage_reasons |= {reason}
                return is_repeat
            case JwksFetched():
                self._outage_reasons = frozenset()
                return False
            case _:
                return False


def _requires_session(event: Event) -> bool:
    """Return whether only the app or a client with genuine tokens can cause the event: no flood."""
    match event:
        case (
            AccessKeyExchanged()
            | SignedIn()
            | SessionRefreshed()
            | TenantSwitched()
            | UserRevoked()
            | UserChanged()
            | WebhookIgnored()
        ):
            return True
        case SignedOut(confirmed=True):
            return True
        case _:
            return False
