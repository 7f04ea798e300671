"""Warnings for the operator of the app, each logged once."""

import logging

__all__ = ["LogOnce"]

_MAX_MESSAGES = 100

logger = logging.getLogger("fastapi_descope")


class LogOnce:
    """Logs each message once, and at most a hundred messages."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def warning(self, message: str, *, level: int = logging.WARNING) -> None:
        """Log ``message`` unless it was logged before. It must not contain secrets or client input."""
        if message not in self._logged and len(self._logged) < _MAX_MESSAGES:
            self._logged.add(message)
            logger.log(level, "fastapi_descope: %s", message)
