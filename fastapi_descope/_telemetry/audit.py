"""The audit stream: one JSON line for each event, to a logger of its own."""

import json
import logging
import time
from collections.abc import Callable, Mapping

from ..events import Event
from .ocsf import ocsf_record

__all__ = ["AuditLog"]

_NAME = "fastapi_descope.audit"

_LOGGER = logging.getLogger(_NAME)
# LG-10: an app that logs everything at INFO to its console would print user ids there.
_LOGGER.propagate = False


class AuditLog:
    """Writes events as OCSF records to the logger ``fastapi_descope.audit``, at INFO.

    The stream is off until the app gives this logger a level; levels of its parents do not count. The line is
    the message of the log record, and the OCSF record is its extra field ``ocsf``. Nothing is suppressed. A
    handler runs inside the request, so it must not block.

    Args:
        service: The name of the app: its origin.
        project_id: Descope's project id.
        clock: Returns epoch seconds.
        logger: Replaces the logger.
    """

    def __init__(
        self,
        *,
        service: str = "fastapi-descope",
        project_id: str | None = None,
        clock: Callable[[], float] = time.time,
        logger: logging.Logger | None = None,
    ) -> None:
        self.logger = logger or _LOGGER
        self._service: Mapping[str, str] = {"name": service, **({"uid": project_id} if project_id else {})}
        self._clock = clock

    def write(self, event: Event) -> None:
        """Write one event. It is for a logger that has a level."""
        if self.logger.isEnabledFor(logging.INFO):
            record = ocsf_record(event, service=self._service, epoch_seconds=self._clock())
            line = json.dumps(record, separators=(",", ":"))
            self.logger.info("%s", line, extra={"ocsf": record})
