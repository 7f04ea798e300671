"""Advice in the log for whoever runs the app: once for each cause, however many requests meet it."""

import logging

__all__ = ["LogOnce"]

_MOST = 100

logger = logging.getLogger("fastapi_descope")


class LogOnce:
    """Sentences that were said already are not said again; after a hundred there are no more."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warning(self, sentence: str, *, level: int = logging.WARNING) -> None:
        """Log ``sentence``, which holds no secret and nothing that a stranger can choose at will."""
        if sentence not in self._said and len(self._said) < _MOST:
            self._said.add(sentence)
            logger.log(level, "fastapi_descope: %s", sentence)
