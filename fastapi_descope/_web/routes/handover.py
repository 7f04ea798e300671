"""The route that turns the tokens of Descope's web SDK into the cookies of a session."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...errors import BadRequest
from ...session import TokenPair
from ..auth_scope import request_auth
from ..error_responses import NO_STORE
from .body import media_type, read_fields
from .login_steps import LoginSteps
from .schemas import HandoverOut, SessionOut

__all__ = ["HandoverRoute"]

_MAX_BYTES = 20_480
"""Two tokens of the largest size that is verified, and the path."""


@dataclass(frozen=True, slots=True)
class HandoverRoute:
    """``POST /login/session``, and the same for a refresh token that the app holds."""

    steps: LoginSteps

    # HO-01, HO-04
    async def create(self, request: Request) -> Response:
        """Start a session with the tokens that a flow of Descope has returned to a page of the app.

        Takes `sessionJwt` and `refreshJwt`, and optionally `return_to`, as JSON from a page of the same
        origin. The response sets the cookies, and names the path where the page continues.
        """
        auth = request_auth(request.scope)
        auth.refuse_other_origins()
        if media_type(request) != "application/json":
            raise BadRequest("Send JSON")
        fields = await read_fields(request, max_bytes=_MAX_BYTES)
        return_to = self.steps.targets.safe(fields.get("return_to"), auth)
        pair = await self.steps.core.handover.accept(
            fields.get("refreshJwt", ""),
            self.steps.admission(request, auth),
            session_jwt=fields.get("sessionJwt", ""),
            method="flow",
        )
        await self._sign_in(request, pair)
        view = HandoverOut(session=SessionOut.from_session(pair.session), return_to=return_to)
        return JSONResponse(view.model_dump(mode="json"), headers=NO_STORE)

    async def start_session(self, request: Request, refresh_jwt: str) -> TokenPair:
        """Start a session with a refresh token that the app holds."""
        auth = request_auth(request.scope)
        auth.refuse_cross_site()
        pair = await self.steps.core.handover.accept(
            refresh_jwt, self.steps.admission(request, auth), method="token"
        )
        await self._sign_in(request, pair)
        return pair

    # HO-05
    async def _sign_in(self, request: Request, pair: TokenPair) -> None:
        """Replace the session of the browser, unless that is the session which was handed over."""
        auth = request_auth(request.scope)
        await auth.delete_duplicates()
        await self.steps.end_completed(request, auth, superseded=True)
        await self.steps.core.login_flow.supersede_other_sessions(auth.credentials(), pair)
        auth.cookies.write(pair)
