"""Who is signed in: opens sessions, renews them, ends them. Knows nothing of HTTP."""

import hmac
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from .api_errors import ApiError
from .directory import AccessKey, SeedUser
from .logins import Login, SignedIn
from .project import Project
from .signing import JwksCache, SigningKey
from .token_families import End, Families, Family, RefreshTokenRecord
from .tokens import IssuedTokens, KeySession, LoginRecord, Principal, TokenWriter, utc_text

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
        self.keys = JwksCache(signing_key)
        self._clock = clock
        self._families = Families()
        self._visits: defaultdict[str, deque[LoginRecord]] = defaultdict(lambda: deque(maxlen=_VISITS_KEPT))

    def sign_in(self, signed_in: SignedIn, extra: Mapping[str, object] | None = None) -> IssuedTokens:
        """Open the session that a confirmed sign-in earned.

        The tenant of an SSO becomes the current tenant (a guess: that SSO sets ``dct`` is not
        documented). Step-up puts ``su`` into this session JWT alone; MFA adds to ``amr`` for good.

        ``extra`` stands in every session JWT to come. Raises ApiError (E062107) for the sign-up of
        somebody who has signed in before, for an update to somebody else's phone number,
        and for who was disabled or removed in the meantime.
        """
        login, user = signed_in.login, self._updated(signed_in)
        if login.options.revoke_others:
            self._families.end_all(user.user_id)
        proved = user.amr if login.method == "sso" else (login.method,)
        added = ("mfa",) if login.options.mfa else ()
        bearer = Principal(
            user,
            self._tenant_after(login, user),
            tuple(dict.fromkeys((*login.amr, *proved, *added))),
            su=login.options.stepup,
            custom=login.options.custom_claims,
        )
        first_seen = not self.knows(user)
        return replace(self.open(bearer, extra=extra), first_seen=first_seen, sso_id=login.sso_id)

    def _updated(self, signed_in: SignedIn) -> SeedUser:
        """The user as they are now, with the phone number that the sign-in proved to be theirs."""
        login, user = signed_in.login, self.project.user(signed_in.user.user_id)
        if user is None:
            raise ApiError.unknown_user()
        if user.is_disabled:
            raise ApiError.disabled_user()
        if login.purpose == "signup" and self.knows(user):
            raise ApiError.known_user()
        if not login.phone:
            return user
        owner = self.project.user(login.phone)
        if owner is not None and owner.user_id != user.user_id:
            raise ApiError.known_user()
        updated = replace(user, phone=login.phone)
        users = tuple(updated if one.user_id == user.user_id else one for one in self.project.users)
        self.project = replace(self.project, users=users)
        return updated

    def knows(self, user: SeedUser) -> bool:
        """Whether the user has signed in before."""
        return bool(self._visits.get(user.user_id))

    def open(
        self,
        bearer: Principal,
        *,
        session_seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> IssuedTokens:
        """Begin a family and mint its first pair; ``overrides`` replace claims of its session JWT.

        ``extra`` does so in every session JWT of the family.
        """
        now = int(self._clock())
        self._visits[bearer.user.user_id].append(LoginRecord(bearer.user.user_id, now, bearer.tenant))
        family = Family(
            bearer.user.user_id,
            bearer.amr,
            started_at=now,
            ends_at=now + self.project.refresh_seconds,
            last_used=now,
            custom=dict(bearer.custom),
            extra=dict(extra or {}),
        )
        return self._mint(
            family, bearer, new_refresh=True, session_seconds=session_seconds, overrides=overrides or {}
        )

    def refresh(self, token: str) -> IssuedTokens:
        """A new session; with rotation also a new refresh token. Raises ApiError.

        The current tenant stays, unless the user has left it: then there is none (our choice).
        """
        ticket, user = self._usable(token)
        tenant = ticket.tenant if ticket.tenant in user.tenants else None
        minted = self._renew(ticket, user, tenant, new_refresh=self.project.rotate_refresh)
        if self.project.assumptions.refresh_repeats_token and not minted.refresh_jwt:
            return replace(minted, refresh_jwt=token)
        return minted

    def select(self, token: str, tenant_id: str) -> IssuedTokens:
        """A new pair whose current tenant is this one. Raises ApiError, also for one not a member (403)."""
        ticket, user = self._usable(token)
        if tenant_id not in user.tenants:
            raise ApiError.unacceptable("The user is not a member of the tenant", 403)
        return self._renew(ticket, user, tenant_id, new_refresh=True)

    def exchange_key(self, secret: str, tenant: str | None, custom: Mapping[str, object]) -> KeySession:
        """A session JWT for an access key. Raises ApiError: E062802 without one, E062803 for a wrong one."""
        if not secret:
            raise ApiError.no_access_key()
        key, now = self._access_key(secret), int(self._clock())
        if key is None or 0 < key.expires_at <= now:
            raise ApiError.bad_access_key()
        if tenant is not None and tenant not in key.tenants:
            raise ApiError.unacceptable("The access key is not a member of the tenant", 403)
        exp = now + self.project.access_key_seconds
        writer = TokenWriter(self.project, self.base_url)
        claims = writer.access_key(key, tenant, custom, now=now, exp=exp)
        return KeySession(key.id, self.keys.sign(claims), exp)

    def visitor(self, token: str) -> Principal:
        """Whom a refresh token speaks for. Raises ApiError.

        A replaced token is refused here too, but only renewing with one counts as its reuse.
        """
        ticket = self._current(token)
        return Principal(self._owner(ticket), ticket.tenant, ticket.family.amr)

    def extra_claims(self, token: str) -> Mapping[str, object]:
        """The claims that every session JWT of a refresh token's family gets besides. Raises ApiError."""
        return self._present(token).family.extra

    def visits(self, user: SeedUser) -> tuple[LoginRecord, ...]:
        """The sign-ins of a user, newest first."""
        return tuple(reversed(self._visits[user.user_id]))

    def log_out(self, token: str) -> None:
        """End the family of a refresh token. Raises ApiError, also if it is over already."""
        self._current(token).family.end = End.LOGOUT

    def log_out_all(self, token: str) -> None:
        """End every family of the token's user. Raises ApiError."""
        self._families.end_all(self._current(token).family.user_id)

    def revoke(self, user: SeedUser) -> None:
        """End every family of a user, as an administrator does."""
        self._families.end_all(user.user_id)

    def sessions(self) -> tuple[Family, ...]:
        """The families whose newest refresh token is good, oldest first."""
        alive = self._families.live(self._clock())
        return tuple(one for one in alive if self.keys.holds(one.kid) and not self._is_idle(one))

    def end(self, family_id: str) -> bool:
        """End one family by its id; False if none that is alive has it."""
        family = next((one for one in self.sessions() if one.id == family_id), None)
        if family is not None:
            family.end = End.LOGOUT
        return family is not None

    def validate(self, token: str) -> dict[str, object]:
        """The claims of a session JWT, its times as text, as Descope answers. Raises ApiError (E061005).

        A logout does not end session JWTs that are out already.
        """
        claims = self.keys.verified(token)
        if claims is None or claims.get("drn") != TokenWriter(self.project, self.base_url).session_drn:
            raise self._no_good()
        exp, iat = claims["exp"], claims["iat"]
        if not isinstance(exp, int) or not isinstance(iat, int) or self._clock() >= exp:
            raise self._no_good()
        return claims | {"exp": utc_text(exp), "iat": utc_text(iat)}

    def _access_key(self, secret: str) -> AccessKey | None:
        sent = secret.encode()
        keys = self.project.access_keys
        return next((key for key in keys if hmac.compare_digest(key.secret.encode(), sent)), None)

    def _tenant_after(self, login: Login, user: SeedUser) -> str | None:
        """The current tenant after a sign-in: none that the user has left since the page."""
        if (
            login.tenant is not None
            and self.project.assumptions.sso_sets_tenant
            and login.tenant.id in user.tenants
        ):
            return login.tenant.id
        return self.project.automatic_tenant(user)

    def _no_good(self, message: str = "Failed to validate invalid JWT for any token") -> ApiError:
        return ApiError.bad_token(message, self.project.assumptions.revoked_status)

    def _reused(self) -> ApiError:
        return ApiError.family_invalidated(self.project.assumptions.reuse_status)

    def _present(self, token: str) -> RefreshTokenRecord:
        """The ticket of a token whose family is alive.

        Raises ApiError: E061005 for a token that was never issued, has expired or was idle for too long,
        E064001 after a logout, E064006 after a reuse.
        """
        ticket = self._families.find(token)
        if ticket is None or not self.keys.holds(ticket.kid):
            raise self._no_good()
        if ticket.family.end is End.REUSE:
            raise self._reused()
        if ticket.family.end is End.LOGOUT:
            raise ApiError.logged_out(self.project.assumptions.revoked_status)
        if self._clock() >= ticket.family.ends_at:
            raise self._no_good("The refresh token has expired")
        if self._is_idle(ticket.family):
            raise self._no_good("The session was inactive for too long")
        return ticket

    def _current(self, token: str) -> RefreshTokenRecord:
        ticket = self._present(token)
        if self._is_replaced(ticket):
            raise self._reused()
        return ticket

    def _usable(self, token: str) -> tuple[RefreshTokenRecord, SeedUser]:
        """The ticket to renew a session with. One that was replaced ends its family: it may be stolen."""
        ticket = self._present(token)
        if self._is_replaced(ticket):
            ticket.family.end = End.REUSE
            raise self._reused()
        return ticket, self._owner(ticket)

    def _is_idle(self, family: Family) -> bool:
        limit = self.project.inactivity_seconds
        return limit > 0 and self._clock() - family.last_used > limit

    def _is_replaced(self, ticket: RefreshTokenRecord) -> bool:
        replaced_at = ticket.replaced_at
        # A clock that was turned back forgives nothing.
        return replaced_at is not None and abs(self._clock() - replaced_at) >= self.project.reuse_grace

    def _owner(self, ticket: RefreshTokenRecord) -> SeedUser:
        user = self.project.user(ticket.family.user_id)
        if user is None:
            raise ApiError.unknown_user()
        if user.is_disabled:
            raise self._no_good("The user is disabled")
        return user

    def _renew(
        self, ticket: RefreshTokenRecord, user: SeedUser, tenant: str | None, *, new_refresh: bool
    ) -> IssuedTokens:
        family = ticket.family
        family.last_used = self._clock()
        if self.project.rotate_refresh and ticket.replaced_at is None:
            ticket.replaced_at = family.last_used
        bearer = Principal(user, tenant, family.amr, custom=family.custom)
        return self._mint(family, bearer, new_refresh=new_refresh)

    def _session_seconds(self, bearer: Principal) -> int:
        """How long a session JWT lives: as its tenant says, else the project; step-up may be shorter."""
        tenant = self.project.tenant_by_id(bearer.tenant)
        seconds = (tenant and tenant.session_seconds) or self.project.session_seconds
        return min(seconds, self.project.step_up_seconds) if bearer.su else seconds

    def _mint(
        self,
        family: Family,
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
        writer, jti = TokenWriter(self.project, self.base_url), secrets.token_hex(16)
        session = writer.session(bearer, now=iat, exp=exp, rexp=rexp, jti=jti)
        session |= {**family.extra, **(overrides or {})}
        return IssuedTokens(
            self.keys.sign(session),
            self._refresh_jwt(writer, family, bearer, now) if new_refresh else "",
            bearer.user,
            exp,
            rexp,
            next_refresh=(self.project.inactivity_seconds + 1) // 2,
            session_id=family.id,
        )

    def _refresh_jwt(self, writer: TokenWriter, family: Family, bearer: Principal, now: int) -> str:
        claims = writer.refresh(bearer, now=now, exp=family.ends_at, jti=secrets.token_hex(16))
        token = self.keys.sign(claims)
        self._families.add(token, RefreshTokenRecord(family, bearer.tenant, self.keys.kid), now)
        return token
