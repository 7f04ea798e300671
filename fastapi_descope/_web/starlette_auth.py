"""An authentication backend for Starlette's ``AuthenticationMiddleware``: ``request.user``, ``@requires``."""

from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.requests import HTTPConnection

from ..session import AuthSession
from .auth_scope import request_auth

__all__ = ["DescopeAuthBackend", "SignedInUser"]


class SignedInUser(BaseUser):
    """A user as Starlette defines it. ``session`` is the session."""

    def __init__(self, session: AuthSession) -> None:
        self.session = session

    @property
    def is_authenticated(self) -> bool:
        """True."""
        return True

    @property
    def display_name(self) -> str:
        """The user's name if the token has one, else the user id."""
        return self.session.user.name or self.session.user.id

    @property
    def identity(self) -> str:
        """Descope's user id."""
        return self.session.user.id


class DescopeAuthBackend(AuthenticationBackend):
    """Authenticates requests for Starlette. Scopes are ``authenticated`` and the permissions in the tenant.

    ``DescopeMiddleware`` has to wrap ``AuthenticationMiddleware``. Every request is authenticated then, to
    public pages too. Requests to the plugin's login, callback and logout count as unauthenticated, because
    these must work if Descope is unreachable or the session is refused.
    """

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return scopes and user, or None if the request is unauthenticated.

        Raises:
            Forbidden: An ``on_session`` hook refuses the session. It does not count as unauthenticated.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The session has expired and Descope is unreachable.
            SessionCheckFailed: An ``on_session`` hook failed.
        """
        auth = request_auth(conn.scope)
        session = None if auth.location.is_public_route(auth.scope) else await auth.session()
        if session is None:
            return None
        granted = session.tenant.permissions if session.tenant else ()
        return AuthCredentials(["authenticated", *granted]), SignedInUser(session)
