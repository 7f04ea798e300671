"""The login whose hooks are running, and the user object for its hooks and for other code."""

from collections.abc import Generator
from contextlib import contextmanager

from .._auth.auth_result import AuthResult
from ..events import ProfileFetched
from ..login import Login
from ..profile import UserProfile
from ..session import TokenPair, tenant_id_var
from .request_auth import RequestAuth

__all__ = ["fetch_user_profile", "running_hooks"]


@contextmanager
def running_hooks(auth: RequestAuth, pair: TokenPair, login: Login) -> Generator[None]:
    """Make ``login`` the pending one while its hooks run. Its cookies are written only if they admit it.

    A tenant switch is a login, too.
    """
    tenant_id_var.set(pair.session.tenant_id)
    auth.pending_login = pair, login
    try:
        yield
    finally:
        auth.pending_login = None


async def fetch_user_profile(auth: RequestAuth) -> UserProfile:
    """Return Descope's user object: in a hook that of the pending login, else that of the session.

    One call to Descope; none if there is a pending login whose tokens came with a user object.

    Raises:
        NotAuthenticated: The request is unauthenticated.
        Forbidden: An ``on_session`` hook refuses the session.
        SessionCheckFailed: An ``on_session`` hook failed.
        CrossSiteRequest: The cookies came with a request of another site.
        BadRequest: The request has an Authorization header.
        SessionEnded: Descope has ended the session.
        UpstreamError: The call failed.
    """
    if auth.pending_login is None:
        await auth.require()
        return await _fetch(auth, await auth.authenticate())
    # Cookies of the request, if there are any, still belong to an earlier session.
    pair, login = auth.pending_login
    if login.user != UserProfile(login.user.user_id):
        return login.user
    return await _fetch(auth, AuthResult(pair.session, pair=pair))


async def _fetch(auth: RequestAuth, result: AuthResult) -> UserProfile:
    with auth.cookies.clear_if_ended():
        profile = await auth.parts.core.session_service.profile(auth.credentials(), result)
    auth.parts.events.emit(ProfileFetched())
    return profile
