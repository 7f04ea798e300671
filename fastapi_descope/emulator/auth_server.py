"""The authorization server without HTTP: it opens, refreshes and ends sessions."""

import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from .access_keys import bound_user, session_end, usable_key
from .api_errors import ApiError
from .directory import SeedUser
from .logins import ConfirmedLogin
from .project import Project
from .refresh_policy import RefreshPolicy
from .signing import KeyRing, SigningKey
from .token_families import EndReason, RefreshTokenRecord, TokenFamilies, TokenFamily
from .tokens import AccessKeySession, ClaimsBuilder, IssuedTokens, LoginRecord, Principal, SignIn, rfc3339

__all__ = ["AuthServer"]

_MAX_LOGIN_RECORDS = 100


class AuthServer:
    """The state of an emulator. No method awaits, so each is atomic within its event loop.

    Attributes:
        project: The project. It may be replaced at any time; later tokens follow the new one.
        base_url: The origin in the URL forms of the issuer.
        keys: The signing keys.
    """

    def __init__(
        self,
        project: Project,
        clock: Callable[[], float],
        base_url: str,
        signing_key: SigningKey | None = None,
    ) -> None:
        self.project = project
        self.base_url = base_url
        self.keys = KeyRing(signing_key)
        self._clock = clock
        self._families = TokenFamilies()
        self._login_records: defaultdict[str, deque[LoginRecord]] = defaultdict(
            lambda: deque(maxlen=_MAX_LOGIN_RECORDS)
        )

    def sign_in(
        self, confirmed: ConfirmedLogin, extra_claims: Mapping[str, object] | None = None
    ) -> IssuedTokens:
        """Open the session of a confirmed sign-in.

        Step-up adds ``su`` to this session JWT only. MFA adds to the ``amr`` of the whole family.

        Args:
            confirmed: The sign-in.
            extra_claims: Claims that are copied into every session JWT of the family.

        Raises:
            ApiError: The user was disabled or removed; a second sign-up, or the phone number of another user
                (E062107).
        """
        login, user = confirmed.login, self._current_user(confirmed)
        if login.options.revoke_other_sessions:
            self._families.revoke_all(user.user_id)
        principal = Principal(
            user,
            login.initial_tenant(user, self.project),
            login.proved_amr(user),
            step_up=login.options.step_up,
            custom_claims=login.options.custom_claims,
        )
        sign_in = login.sign_in(user, is_first=not self.has_signed_in(user))
        return self.start_session(principal, extra_claims=extra_claims, sign_in=sign_in)

    def _current_user(self, confirmed: ConfirmedLogin) -> SeedUser:
        """Return the user as the project has it now, with the phone number that the sign-in confirmed."""
        login, user = confirmed.login, self.project.find_user(confirmed.user.user_id)
        if user is None:
            raise ApiError.unknown_user()
        if user.is_disabled:
            raise ApiError.disabled_user()
        if login.purpose == "signup" and self.has_signed_in(user):
            raise ApiError.known_user()
        if not login.phone:
            return user
        owner = self.project.find_user(login.phone)
        if owner is not None and owner.user_id != user.user_id:
            raise ApiError.known_user()
        updated = replace(user, phone=login.phone)
        self.project = self.project.with_user(updated)
        return updated

    def has_signed_in(self, user: SeedUser) -> bool:
        """Return whether the user has signed in before."""
        return bool(self._login_records.get(user.user_id))

    def start_session(
        self,
        principal: Principal,
        *,
        session_seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
        extra_claims: Mapping[str, object] | None = None,
        sign_in: SignIn | None = None,
        refresh_seconds: int = 0,
    ) -> IssuedTokens:
        """Start a token family and issue its first pair of tokens.

        Args:
            principal: The user, tenant and authentication methods.
            session_seconds: The lifetime of the session JWT, if not the project's.
            overrides: Claims that replace those of this session JWT.
            extra_claims: Claims that are copied into every session JWT of the family.
            sign_in: The facts of the sign-in that the response contains.
            refresh_seconds: The lifetime of the session; 0 for the project's.
        """
        now = int(self._clock())
        self._login_records[principal.user.user_id].append(
            LoginRecord(principal.user.user_id, now, principal.tenant)
        )
        family = TokenFamily(
            principal.user.user_id,
            principal.amr,
            started_at=now,
            ends_at=now + (refresh_seconds or self.project.refresh_seconds),
            last_used=now,
            custom_claims=dict(principal.custom_claims),
            extra_claims=dict(extra_claims or {}),
            sign_in=sign_in or SignIn(),
            actor=principal.actor,
        )
        issued = self._issue_tokens(
            family, principal, new_refresh=True, session_seconds=session_seconds, overrides=overrides or {}
        )
        return replace(issued, sign_in=family.sign_in)

    def refresh(self, token: str) -> IssuedTokens:
        """Return a new session JWT and, with rotation, a new refresh JWT.

        Keeps the current tenant, or drops it if the user is no longer a member.

        Raises:
            ApiError: The token is invalid, revoked, reused, expired or idle, or its user is gone or disabled.
        """
        record, user = self._find_for_renewal(token)
        tenant = record.tenant if record.tenant in user.tenants else None
        issued = self._renew(record, user, tenant, new_refresh=self.project.rotate_refresh)
        if self.project.assumptions.refresh_repeats_token and not issued.refresh_jwt:
            return replace(issued, refresh_jwt=token)
        return issued

    def select_tenant(self, token: str, tenant_id: str) -> IssuedTokens:
        """Return a new pair of tokens whose current tenant is ``tenant_id``.

        Raises:
            ApiError: As for ``refresh``, or the user is not a member of the tenant (403).
        """
        record, user = self._find_for_renewal(token)
        if tenant_id not in user.tenants:
            raise ApiError.unacceptable("The user is not a member of the tenant", 403)
        issued = self._renew(record, user, tenant_id, new_refresh=True)
        if self.project.assumptions.select_repeats_sign_in:
            return replace(issued, sign_in=record.family.sign_in)
        return issued

    def exchange_access_key(
        self, secret: str, tenant: str | None, custom: Mapping[str, object], address: str
    ) -> AccessKeySession:
        """Return a session JWT for an access key, sent from ``address``.

        Raises:
            ApiError: The secret is empty (E062802), the key is unknown, expired, inactive, or not permitted
                from the address (E062803, or by the assumptions), or not a member of the tenant (403).
        """
        now = int(self._clock())
        key = usable_key(self.project, secret, address, now)
        user = bound_user(self.project, key)
        if tenant is not None and tenant not in (user or key).tenants:
            raise ApiError.unacceptable("The access key is not a member of the tenant", 403)
        exp = session_end(self.project, key, now)
        builder = ClaimsBuilder(self.project, self.base_url)
        claims = builder.access_key_claims(key, user, tenant, custom, now=now, exp=exp)
        return AccessKeySession(key.id, self.keys.sign(claims), exp)

    def principal(self, token: str) -> Principal:
        """Return the user, tenant, authentication methods and actor of a refresh token.

        Rejects a replaced token too, but only a refresh with one counts as reuse and ends the family.

        Raises:
            ApiError: The token is not usable, or its user is gone or disabled.
        """
        record = self._find_current(token)
        return Principal(
            self._policy.owner(record.family),
            record.tenant,
            record.family.amr,
            actor=record.family.actor,
        )

    def extra_claims(self, token: str) -> Mapping[str, object]:
        """Return the claims that are copied into every session JWT of the token's family.

        Raises:
            ApiError: The token is invalid, revoked, expired or idle.
        """
        return self._find_live(token).family.extra_claims

    def login_history(self, user: SeedUser) -> tuple[LoginRecord, ...]:
        """Return the sign-ins of a user, newest first."""
        return tuple(reversed(self._login_records[user.user_id]))

    def log_out(self, token: str) -> None:
        """End the family of a refresh token.

        Raises:
            ApiError: The token is not usable, for example because its family has ended already.
        """
        self._find_current(token).family.end_reason = EndReason.LOGOUT

    def log_out_all(self, token: str) -> None:
        """End every family of the token's user.

        Raises:
            ApiError: The token is not usable.
        """
        self._families.revoke_all(self._find_current(token).family.user_id)

    def revoke_user(self, user: SeedUser) -> None:
        """End every family of a user, as an administrator does."""
        self._families.revoke_all(user.user_id)

    def active_sessions(self) -> tuple[TokenFamily, ...]:
        """Return the families whose newest refresh token is valid, oldest first."""
        active, policy = self._families.active(self._clock()), self._policy
        return tuple(each for each in active if self.keys.has_kid(each.kid) and not policy.is_idle(each))

    def revoke_session(self, family_id: str) -> bool:
        """End an active family by its id. Returns False if there is none."""
        family = next((each for each in self.active_sessions() if each.id == family_id), None)
        if family is not None:
            family.end_reason = EndReason.LOGOUT
        return family is not None

    def validate_session(self, token: str) -> dict[str, object]:
        """Return the claims of a session JWT, with its times as text, as Descope does.

        A logout does not end session JWTs that have been issued already.

        Raises:
            ApiError: The token is invalid or expired (E061005).
        """
        claims = self.keys.verify(token)
        if claims is None or claims.get("drn") != ClaimsBuilder(self.project, self.base_url).session_drn:
            raise self._policy.invalid_token()
        exp, iat = claims["exp"], claims["iat"]
        if not isinstance(exp, int) or not isinstance(iat, int) or self._clock() >= exp:
            raise self._policy.invalid_token()
        return claims | {"exp": rfc3339(exp), "iat": rfc3339(iat)}

    @property
    def _policy(self) -> RefreshPolicy:
        return RefreshPolicy(self.project, self._clock())

    def _find_live(self, token: str) -> RefreshTokenRecord:
        """Return the record of a token whose family is active.

        Raises:
            ApiError: As for ``RefreshPolicy.check_active``.
        """
        record = self._families.find(token)
        if record is None or not self.keys.has_kid(record.kid):
            raise self._policy.invalid_token()
        self._policy.check_active(record.family)
        return record

    def _find_current(self, token: str) -> RefreshTokenRecord:
        record = self._find_live(token)
        if self._policy.is_replaced(record):
            raise self._policy.token_reused()
        return record

    def _find_for_renewal(self, token: str) -> tuple[RefreshTokenRecord, SeedUser]:
        """Return the record and user of a token. A replaced token may be stolen, so it ends its family."""
        record = self._find_live(token)
        if self._policy.is_replaced(record):
            record.family.end_reason = EndReason.REUSE
            raise self._policy.token_reused()
        return record, self._policy.owner(record.family)

    def _renew(
        self, record: RefreshTokenRecord, user: SeedUser, tenant: str | None, *, new_refresh: bool
    ) -> IssuedTokens:
        family = record.family
        family.last_used = self._clock()
        if self.project.rotate_refresh and record.replaced_at is None:
            record.replaced_at = family.last_used
        principal = Principal(
            user, tenant, family.amr, custom_claims=family.custom_claims, actor=family.actor
        )
        return self._issue_tokens(family, principal, new_refresh=new_refresh)

    def _issue_tokens(
        self,
        family: TokenFamily,
        principal: Principal,
        *,
        new_refresh: bool,
        session_seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> IssuedTokens:
        if session_seconds is None:
            session_seconds = self.project.session_lifetime(principal.tenant, step_up=principal.step_up)
        now, rexp = int(self._clock()), family.ends_at
        exp = min(now + session_seconds, rexp)
        iat = min(now, exp - 1)  # an expired session JWT is not issued after its expiry
        builder, jti = ClaimsBuilder(self.project, self.base_url), secrets.token_hex(16)
        session = builder.session_claims(principal, now=iat, exp=exp, rexp=rexp, jti=jti)
        session |= {**family.extra_claims, **(overrides or {})}
        return IssuedTokens(
            self.keys.sign(session),
            self._refresh_jwt(builder, family, principal, now) if new_refresh else "",
            principal.user,
            exp,
            rexp,
            next_refresh_seconds=(self.project.inactivity_seconds + 1) // 2,
            session_id=family.id,
            trusted_device_jwt=self._trusted_device_jwt(builder, principal.user, now),
        )

    def _trusted_device_jwt(self, builder: ClaimsBuilder, user: SeedUser, now: int) -> str:
        is_trusted = user.login.trusted_device
        return self.keys.sign(builder.trusted_device_claims(user, now=now)) if is_trusted else ""

    def _refresh_jwt(
        self, builder: ClaimsBuilder, family: TokenFamily, principal: Principal, now: int
    ) -> str:
        claims = builder.refresh_claims(principal, now=now, exp=family.ends_at, jti=secrets.token_hex(16))
        token = self.keys.sign(claims)
        self._families.add(token, RefreshTokenRecord(family, principal.tenant, self.keys.kid), now)
        return token
