"""Impersonation: a user of the project acts as another one (wire contract, section 2.19)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .api_errors import ApiError
from .auth_server import AuthServer
from .directory import SeedUser
from .tokens import Principal

__all__ = ["Impersonations", "SessionRequest"]

_PERMISSION = "Impersonate"


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """The session to start: tenant, custom claims, and its lifetime in seconds or 0 for the project's."""

    tenant: str | None = None
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    refresh_seconds: int = 0


class Impersonations:
    """Starts and stops impersonations. ``clock`` returns epoch seconds."""

    def __init__(self, auth_server: AuthServer, clock: Callable[[], float]) -> None:
        self._auth_server = auth_server
        self._clock = clock

    def start(
        self, impersonator: str, login_id: str, wanted: SessionRequest, *, validate_consent: bool
    ) -> str:
        """Return a refresh JWT of the user with ``login_id``, in whose session the impersonator acts.

        The unit of the consent's expiry is unknown: here it is epoch seconds.

        Args:
            impersonator: A login id or a user id.
            login_id: The login id of the user.
            wanted: The session.
            validate_consent: Refuse unless the consent of the user has not expired.

        Raises:
            ApiError: A user is unknown or disabled, or not a member of the tenant; the impersonator lacks the
                permission ``Impersonate``, or the consent is missing.
        """
        actor, user = self._active_user(impersonator), self._active_user(login_id)
        if not _may_impersonate(actor, user):
            raise self._refused("The impersonator does not have the permission Impersonate for this user")
        if validate_consent and user.account.consent_expiration <= self._clock():
            raise self._refused("The user has not consented to impersonation")
        return self._start_session(user, wanted, actor=actor.user_id)

    def stop(self, token: str, wanted: SessionRequest) -> str:
        """Return a refresh JWT of the actor in the session of ``token``, for a session of their own.

        The impersonated session does not end: whether Descope ends it is unknown.

        Raises:
            ApiError: The token is not usable or has no actor, or the actor is gone, disabled or not a member
                of the tenant.
        """
        actor = self._auth_server.principal(token).actor
        if actor is None:
            raise ApiError.invalid("jwt is not of an impersonated session")
        return self._start_session(self._active_user(actor), wanted)

    def _active_user(self, reference: str) -> SeedUser:
        user = self._auth_server.project.find_user(reference)
        if user is None:
            raise ApiError.unknown_user()
        if user.is_disabled:
            raise ApiError.disabled_user()
        return user

    def _start_session(self, user: SeedUser, wanted: SessionRequest, *, actor: str | None = None) -> str:
        tenant = wanted.tenant or self._auth_server.project.default_tenant(user)
        if tenant is not None and tenant not in user.tenants:
            raise ApiError.unacceptable("The user is not a member of the tenant", 403)
        # No authentication method: the user of the session has proved nothing. Descope's choice is unknown.
        principal = Principal(user, tenant, (), custom_claims=wanted.custom_claims, actor=actor)
        return self._auth_server.start_session(principal, refresh_seconds=wanted.refresh_seconds).refresh_jwt

    def _refused(self, message: str) -> ApiError:
        status = self._auth_server.project.assumptions.impersonation_refusal
        return ApiError.impersonation_refused(message, status)


def _may_impersonate(actor: SeedUser, user: SeedUser) -> bool:
    """Return whether the actor has the permission in the project, or in a tenant of the user."""
    granted = [actor.permissions, *(actor.grants_in(tenant).permissions for tenant in user.tenants)]
    return any(_PERMISSION in permissions for permissions in granted)
