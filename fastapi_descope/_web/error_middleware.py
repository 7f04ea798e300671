"""Answers our errors further in than any middleware of the app, where ``Descope(app)`` has put it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import DescopeError
from .error_responses import ErrorResponses
from .request_auth import pending_session
from .send_wrapper import OutgoingResponse

__all__ = ["InnerErrors"]


class InnerErrors:
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
        response = OutgoingResponse(_as_it_is, scope, send)
        try:
            await self.app(scope, receive, response.send)
            await response.release()
        except DescopeError as error:
            await self._errors.send(error, pending_session(scope), response, receive)
        except Exception:
            await response.release()
            raise


async def _as_it_is(message: Message) -> None:
    """Nothing is added to the start of a response: ``DescopeMiddleware`` does that, further out."""
