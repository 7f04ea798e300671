"""Who is signed in: opens sessions, renews them, ends them. Knows nothing of HTTP."""

import hmac
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from .api_errors import ApiError
from .directory import AccessKey, SeedUser
from .logins import ConfirmedLogin, Login
from .project import Project
from .signing import KeyRing, SigningKey
from .token_families import EndReason, RefreshTokenRecord, TokenFamilies, TokenFamily
from .tokens import AccessKeySession, ClaimsBuilder, IssuedTokens, LoginRecord, Principal, rfc3339

__all__ = ["AuthServer"]

_VISITS_KEPT = 100


class AuthServer:
    """The state of an emulator. Every method runs to its end without awaiting, so it is atomic.

    ``project`` may be replaced while it runs; what is issued from then on follows the new one.
    ``base_url`` is the origin in the URL forms of the issuer.
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
            lambda: deque(maxlen=_VISITS_KEPT)
        )

    def sign_in(
        self, confirmed: ConfirmedLogin, extra_claims: Mapping[str, object] | None = None
    ) -> IssuedTokens:
        """Open the session that a confirmed sign-in earned.

        The tenant of an SSO becomes the current tenant (a guess: that SSO sets ``dct`` is not
        documented). Step-up puts ``su`` into this session JWT alone; MFA adds to ``amr`` for good.

        ``extra`` stands in every session JWT to come. Raises ApiError (E062107) for the sign-up of
        somebody who has signed in before, for an update to somebody else's phone number,
        and for who was disabled or removed in the meantime.
        """
        login, user = confirmed.login, self._current_user(confirmed)
        if login.options.revoke_other_sessions:
            self._families.revoke_all(user.user_id)
        proved = user.amr if login.method == "sso" else (login.method,)
        added = ("mfa",) if login.options.mfa else ()
        bearer = Principal(
            user,
            self._initial_tenant(login, user),
            tuple(dict.fromkeys((*login.amr, *proved, *added))),
            step_up=login.options.step_up,
            custom_claims=login.options.custom_claims,
        )
        first_seen = not self.has_signed_in(user)
        return replace(
            self.start_session(bearer, extra_claims=extra_claims), first_seen=first_seen, sso_id=login.sso_id
        )

    def _current_user(self, signed_in: ConfirmedLogin) -> SeedUser:
        """The user as they are now, with the phone number that the sign-in proved to be theirs."""
        login, user = signed_in.login, self.project.find_user(signed_in.user.user_id)
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
        users = tuple(updated if one.user_id == user.user_id else one for one in self.project.users)
        self.project = replace(self.project, users=users)
        return updated

    def has_signed_in(self, user: SeedUser) -> bool:
        """Whether the user has signed in before."""
        return bool(self._login_records.get(user.user_id))

    def start_session(
        self,
        principal: Principal,
        *,
        session_seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
        extra_claims: Mapping[str, object] | None = None,
    ) -> IssuedTokens:
        """Begin a family and mint its first pair; ``overrides`` replace claims of its session JWT.

        ``extra`` does so in every session JWT of the family.
        """
        now = int(self._clock())
        self._login_records[principal.user.user_id].append(
            LoginRecord(principal.user.user_id, now, principal.tenant)
        )
        family = TokenFamily(
            principal.user.user_id,
            principal.amr,
            started_at=now,
            ends_at=now + self.project.refresh_seconds,
            last_used=now,
            custom_claims=dict(principal.custom_claims),
            extra_claims=dict(extra_claims or {}),
        )
        return self._issue_tokens(
            family, principal, new_refresh=True, session_seconds=session_seconds, overrides=overrides or {}
        )

    def refresh(self, token: str) -> IssuedTokens:
        """A new session; with rotation also a new refresh token. Raises ApiError.

        The current tenant stays, unless the user has left it: then there is none (our choice).
        """
        ticket, user = self._find_for_renewal(token)
        tenant = ticket.tenant if ticket.tenant in user.tenants else None
        minted = self._renew(ticket, user, tenant, new_refresh=self.project.rotate_refresh)
        if self.project.assumptions.refresh_repeats_token and not minted.refresh_jwt:
            return replace(minted, refresh_jwt=token)
        return minted

    def select_tenant(self, token: str, tenant_id: str) -> IssuedTokens:
        """A new pair whose current tenant is this one. Raises ApiError, also for one not a member (403)."""
        ticket, user = self._find_for_renewal(token)
        if tenant_id not in user.tenants:
            raise ApiError.unacceptable("The user is not a member of the tenant", 403)
        return self._renew(ticket, user, tenant_id, new_refresh=True)

    def exchange_access_key(
        self, secret: str, tenant: str | None, custom: Mapping[str, object]
    ) -> AccessKeySession:
        """A session JWT for an access key. Raises ApiError: E062802 without one, E062803 for a wrong one."""
        if not secret:
            raise ApiError.no_access_key()
        key, now = self._access_key(secret), int(self._clock())
        if key is None or 0 < key.expires_at <= now:
            raise ApiError.bad_access_key()
        if tenant is not None and tenant not in key.tenants:
            raise ApiError.unacceptable("The access key is not a member of the tenant", 403)
        exp = now + self.project.access_key_seconds
        writer = ClaimsBuilder(self.project, self.base_url)
        claims = writer.access_key_claims(key, tenant, custom, now=now, exp=exp)
        return AccessKeySession(key.id, self.keys.sign(claims), exp)

    def principal(self, token: str) -> Principal:
        """Whom a refresh token speaks for. Raises ApiError.

        A replaced token is refused here too, but only renewing with one counts as its reuse.
        """
        ticket = self._find_current(token)
        return Principal(self._owner(ticket), ticket.tenant, ticket.family.amr)

    def extra_claims(self, token: str) -> Mapping[str, object]:
        """The claims that every session JWT of a refresh token's family gets besides. Raises ApiError."""
        return self._find_live(token).family.extra_claims

    def login_history(self, user: SeedUser) -> tuple[LoginRecord, ...]:
        """The sign-ins of a user, newest first."""
        return tuple(reversed(self._login_records[user.user_id]))

    def log_out(self, token: str) -> None:
        """End the family of a refresh token. Raises ApiError, also if it is over already."""
        self._find_current(token).family.end_reason = EndReason.LOGOUT

    def log_out_all(self, token: str) -> None:
        """End every family of the token's user. Raises ApiError."""
        self._families.revoke_all(self._find_current(token).family.user_id)

    def revoke_user(self, user: SeedUser) -> None:
        """End every family of a user, as an administrator does."""
        self._families.revoke_all(user.user_id)

    def active_sessions(self) -> tuple[TokenFamily, ...]:
        """The families whose newest refresh token is good, oldest first."""
        alive = self._families.active(self._clock())
        return tuple(one for one in alive if self.keys.has_kid(one.kid) and not self._is_idle(one))

    def revoke_session(self, family_id: str) -> bool:
        """End one family by its id; False if none that is alive has it."""
        family = next((one for one in self.active_sessions() if one.id == family_id), None)
        if family is not None:
            family.end_reason = EndReason.LOGOUT
        return family is not None

    def validate_session(self, token: str) -> dict[str, object]:
        """The claims of a session JWT, its times as text, as Descope answers. Raises ApiError (E061005).

        A logout does not end session JWTs that are out already.
        """
        claims = self.keys.verify(token)
        if claims is None or claims.get("drn") != ClaimsBuilder(self.project, self.base_url).session_drn:
            raise self._invalid_token()
        exp, iat = claims["exp"], claims["iat"]
        if not isinstance(exp, int) or not isinstance(iat, int) or self._clock() >= exp:
            raise self._invalid_token()
        return claims | {"exp": rfc3339(exp), "iat": rfc3339(iat)}

    def _access_key(self, secret: str) -> AccessKey | None:
        sent = secret.encode()
        keys = self.project.access_keys
        return next((key for key in keys if hmac.compare_digest(key.secret.encode(), sent)), None)

    def _initial_tenant(self, login: Login, user: SeedUser) -> str | None:
        """The current tenant after a sign-in: none that the user has left since the page."""
        if (
            login.tenant is not None
            and self.project.assumptions.sso_sets_tenant
            and login.tenant.id in user.tenants
        ):
            return login.tenant.id
        return self.project.default_tenant(user)

    def _invalid_token(self, message: str = "Failed to validate invalid JWT for any token") -> ApiError:
        return ApiError.bad_token(message, self.project.assumptions.revoked_status)

    def _token_reused(self) -> ApiError:
        return ApiError.family_invalidated(self.project.assumptions.reuse_status)

    def _find_live(self, token: str) -> RefreshTokenRecord:
        """The ticket of a token whose family is alive.

        Raises ApiError: E061005 for a token that was never issued, has expired or was idle for too long,
        E064001 after a logout, E064006 after a reuse.
        """
        ticket = self._families.find(token)
        if ticket is None or not self.keys.has_kid(ticket.kid):
            raise self._invalid_token()
        if ticket.family.end_reason is EndReason.REUSE:
            raise self._token_reused()
        if ticket.family.end_reason is EndReason.LOGOUT:
            raise ApiError.logged_out(self.project.assumptions.revoked_status)
        if self._clock() >= ticket.family.ends_at:
            raise self._invalid_token("The refresh token has expired")
        if self._is_idle(ticket.family):
            raise self._invalid_token("The session was inactive for too long")
        return ticket

    def _find_current(self, token: str) -> RefreshTokenRecord:
        ticket = self._find_live(token)
        if self._is_replaced(ticket):
            raise self._token_reused()
        return ticket

    def _find_for_renewal(self, token: str) -> tuple[RefreshTokenRecord, SeedUser]:
        """The ticket to renew a session with. One that was replaced ends its family: it may be stolen."""
        ticket = self._find_live(token)
        if self._is_replaced(ticket):
            ticket.family.end_reason = EndReason.REUSE
            raise self._token_reused()
        return ticket, self._owner(ticket)

    def _is_idle(self, family: TokenFamily) -> bool:
        limit = self.project.inactivity_seconds
        return limit > 0 and self._clock() - family.last_used > limit

    def _is_replaced(self, ticket: RefreshTokenRecord) -> bool:
        replaced_at = ticket.replaced_at
        # A clock that was turned back forgives nothing.
        return replaced_at is not None and abs(self._clock() - replaced_at) >= self.project.reuse_grace

    def _owner(self, ticket: RefreshTokenRecord) -> SeedUser:
        user = self.project.find_user(ticket.family.user_id)
        if user is None:
            raise ApiError.unknown_user()
        if user.is_disabled:
            raise self._invalid_token("The user is disabled")
        return user

    def _renew(
        self, ticket: RefreshTokenRecord, user: SeedUser, tenant: str | None, *, new_refresh: bool
    ) -> IssuedTokens:
        family = ticket.family
        family.last_used = self._clock()
        if self.project.rotate_refresh and ticket.replaced_at is None:
            ticket.replaced_at = family.last_used
        bearer = Principal(user, tenant, family.amr, custom_claims=family.custom_claims)
        return self._issue_tokens(family, bearer, new_refresh=new_refresh)

    def _session_seconds(self, bearer: Principal) -> int:
        """How long a session JWT lives: as its tenant says, else the project; step-up may be shorter."""
        tenant = self.project.tenant_by_id(bearer.tenant)
        seconds = (tenant and tenant.session_seconds) or self.project.session_seconds
        return min(seconds, self.project.step_up_seconds) if bearer.step_up else seconds

    def _issue_tokens(
        self,
        family: TokenFamily,
        bearer: Principal,
        *,
        new_refresh: bool,
        session_seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> IssuedTokens:
        seconds = self._session_seconds(bearer) if session_seconds is None else session_seconds
        now, rexp = int(self._clock()), family.ends_at
        exp = min(now + seconds, rexp)
        iat = min(now, exp - 1)  # a session that is over from the start was not issued after its end
        writer, jti = ClaimsBuilder(self.project, self.base_url), secrets.token_hex(16)
        session = writer.session_claims(bearer, now=iat, exp=exp, rexp=rexp, jti=jti)
        session |= {**family.extra_claims, **(overrides or {})}
        return IssuedTokens(
            self.keys.sign(session),
            self._refresh_jwt(writer, family, bearer, now) if new_refresh else "",
            bearer.user,
            exp,
            rexp,
            next_refresh_seconds=(self.project.inactivity_seconds + 1) // 2,
            session_id=family.id,
        )

    def _refresh_jwt(self, writer: ClaimsBuilder, family: TokenFamily, bearer: Principal, now: int) -> str:
        claims = writer.refresh_claims(bearer, now=now, exp=family.ends_at, jti=secrets.token_hex(16))
        token = self.keys.sign(claims)
        self._families.add(token, RefreshTokenRecord(family, bearer.tenant, self.keys.kid), now)
        return token
