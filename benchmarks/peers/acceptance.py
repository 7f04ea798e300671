"""Whether a variant does its work: its responses to a valid token, to a changed one, and without one."""

import logging
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp

from .page_request import page_scope, status_of
from .tokens import Tokens
from .variants import Variant

__all__ = ["Acceptance", "Statuses", "accept"]

_OK, _CRASHED = HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR
_REJECTED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True)
class Statuses:
    """The status of each response.

    Attributes:
        valid: To the valid token.
        tampered: To the token with a changed signature.
        absent: To a request without a token.
    """

    valid: int
    tampered: int
    absent: int

    def fault(self, *, is_public: bool) -> str | None:
        """Return why the app must not be measured, or None.

        A 500 for a changed signature is reported only, because it lets no request pass.
        """
        if self.valid != _OK:
            return f"answers {self.valid} to a valid token"
        if is_public:
            return None
        if self.tampered not in (*_REJECTED, _CRASHED):
            return f"answers {self.tampered} to a changed signature"
        return "serves the page without a token" if self.absent == _OK else None

    @property
    def crashes(self) -> bool:
        """Whether the response to a changed signature is a 500."""
        return self.tampered == _CRASHED


@dataclass(frozen=True)
class Acceptance:
    """The outcome of the checks: an app that can be measured, or a fault."""

    app: ASGIApp | None = None
    statuses: Statuses | None = None
    fault: str | None = None


async def accept(variant: Variant, tokens: Tokens) -> Acceptance:
    """Make the app and send it the three requests: first the valid token, which it may then remember."""
    logging.disable()  # some libraries log each rejected token
    try:
        app = variant.app(tokens)
        valid = await status_of(app, page_scope(variant.credentials(tokens)))
        tampered = await status_of(app, page_scope(variant.credentials(tokens.tampered())))
        statuses = Statuses(valid, tampered, await status_of(app, page_scope()))
    except Exception as error:  # noqa: BLE001 - of a library; the others are measured without it
        return Acceptance(fault=f"{type(error).__name__}: {error}")
    finally:
        logging.disable(logging.NOTSET)
    fault = statuses.fault(is_public=variant.is_public)
    return Acceptance(None if fault else app, statuses, fault)
