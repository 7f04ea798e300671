"""The targets of redirects after a login, a tenant switch and a logout."""

from dataclasses import dataclass

from starlette.requests import Request

from ...events import EventBus
from ..app_location import public_path
from ..redirects import RedirectPolicy
from ..request_auth import RequestAuth
from .query import single_values

__all__ = ["ReturnTargets"]


@dataclass(frozen=True, slots=True)
class ReturnTargets:
    """Decides where a login, a tenant switch or a logout ends. An event reports a target that is not safe.

    ``post_login_path`` is the landing path: where a login ends that names no other target.
    """

    redirects: RedirectPolicy
    events: EventBus
    post_login_path: str

    def requested(self, request: Request, auth: RequestAuth) -> str:
        """Return the parameter ``return_to`` of the query if it is safe, else the landing path."""
        if "return_to" not in request.query_params:
            return self.landing(auth)
        return self.safe(single_values(request).get("return_to") or "", auth)

    def safe(self, target: str | None, auth: RequestAuth) -> str:
        """Return ``target`` if it is safe, else the landing path. None is no target."""
        return self.accepted(target, auth) or self.landing(auth)

    def accepted(self, target: str | None, auth: RequestAuth) -> str | None:
        """Return ``target`` if it is safe, else None."""
        if target is None:
            return None
        safe = self.recheck(target, auth)
        if safe is None:
            self.events.emit(self.redirects.rejection(target))
        return safe

    def recheck(self, target: str, auth: RequestAuth) -> str | None:
        """Return a target that a cookie has stored if it is still safe, else None, without an event."""
        public_paths = auth.location.login_app.public_paths
        return self.redirects.safe_redirect(target, auth.scope, forbidden=public_paths)

    def landing(self, auth: RequestAuth) -> str:
        """Return the landing path below the root path of the app."""
        return public_path(self.post_login_path, auth.location.login_app.root_path)
