"""Answers our errors further in than any middleware of the app, where ``Descope(app)`` has put it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import DescopeError
from .error_responses import ErrorResponses
from .request_auth import request_auth
from .send_wrapper import SendWrapper

__all__ = ["ErrorMiddleware"]


class ErrorMiddleware:
    """The innermost middleware of an app: what stands between it and ours sees answers, never our errors.

    Otherwise one that catches everything would make a crash of each 401. ``DescopeMiddleware`` leaves it
    out where nothing stands between.
    """

    def __init__(self, app: ASGIApp, *, errors: ErrorResponses) -> None:
        self.app = app
        self._errors = errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        response = SendWrapper(_as_it_is, scope, send)
        try:
            await self.app(scope, receive, response.send)
            await response.flush()
        except DescopeError as error:
            await self._errors.send(error, request_auth(scope), response, receive)
        except Exception:
            await response.flush()
            raise


async def _as_it_is(message: Message) -> None:
    """Nothing is added to the start of a response: ``DescopeMiddleware`` does that, further out."""
