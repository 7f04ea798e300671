"""The session for Starlette's own ``AuthenticationMiddleware``: ``request.user`` and ``@requires``."""

from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.requests import HTTPConnection

from ..session import AuthSession
from .request_auth import request_auth

__all__ = ["DescopeAuthBackend", "SignedInUser"]


class SignedInUser(BaseUser):
    """A session in the shape that Starlette wants a user to have."""

    def __init__(self, session: AuthSession) -> None:
        self.session = session

    @property
    def is_authenticated(self) -> bool:
        """True."""
        return True

    @property
    def display_name(self) -> str:
        """The name, if the token holds one, else the user id."""
        return self.session.user.name or self.session.user.id

    @property
    def identity(self) -> str:
        """Descope's user id."""
        return self.session.user.id


class DescopeAuthBackend(AuthenticationBackend):
    """Gives Starlette the session of a request; scopes: ``authenticated`` and the tenant's permissions.

    Goes inside ``DescopeMiddleware``. Every request is then resolved, also those to public pages, but not
    those to the plugin's own login, callback and logout: they have to work while Descope is away (LO-01), so
    nobody is there. Raises what ``get_auth_session`` raises; ``DescopeMiddleware`` answers it.
    """

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """The credentials and the user, or None if nobody is signed in."""
        auth = request_auth(conn.scope)
        session = None if auth.location.is_public_route(auth.scope) else await auth.session()
        if session is None:
            return None
        granted = session.tenant.permissions if session.tenant else ()
        return AuthCredentials(["authenticated", *granted]), SignedInUser(session)
