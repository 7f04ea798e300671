"""The authorization server of inbound apps without HTTP: it issues, refreshes and revokes their tokens."""

from collections.abc import Callable, Mapping

from .auth_server import AuthServer
from .directory import SeedUser
from .inbound_apps import InboundApp
from .inbound_tokens import InboundClaims, InboundGrant
from .project import Project

__all__ = ["InboundServer"]


class InboundServer:
    """The tokens and consents of inbound apps. It shares the project and the keys of ``auth_server``.

    No method awaits, so each is atomic within its event loop.
    """

    def __init__(self, auth_server: AuthServer, clock: Callable[[], float]) -> None:
        self._auth_server = auth_server
        self._clock = clock

    def issue_access_token(
        self,
        grant: InboundGrant,
        user: SeedUser | None,
        *,
        seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> str:
        """Return an access token without a sign-in and without a consent.

        Args:
            grant: The access.
            user: The user; None if the app acts for itself.
            seconds: The lifetime, if not the app's; negative for a token that has expired.
            overrides: Claims that replace the regular ones.
        """
        app = self._project.find_inbound_app(grant.client_id) or InboundApp(grant.client_id)
        now = int(self._clock())
        exp = now + (app.access_seconds if seconds is None else seconds)
        rexp = None if user is None else now + app.refresh_seconds
        claims = InboundClaims(self._project, self._auth_server.base_url, grant, user)
        access = claims.access_claims(now=min(now, exp - 1), exp=exp, rexp=rexp)
        return self._auth_server.keys.sign(access | dict(overrides or {}))

    @property
    def _project(self) -> Project:
        return self._auth_server.project
