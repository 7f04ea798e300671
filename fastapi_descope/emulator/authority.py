"""Who is signed in: opens sessions, renews them, ends them. Knows nothing of HTTP."""

import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .claims import Bearer, TokenWriter, utc_text
from .families import End, Families, Family, Ticket
from .logins import SignedIn
from .project import Project, User
from .refusals import Refusal
from .signing import KeyRing

__all__ = ["Authority", "Minted", "Visit"]


@dataclass(frozen=True, slots=True)
class Minted:
    """A fresh session and what belongs to it. Times are epoch seconds.

    ``refresh_jwt`` is empty where the presented one stays in use. ``next_refresh`` is the number of
    seconds within which to refresh so as not to count as inactive; 0 if inactivity does not matter.
    """

    session_jwt: str = field(repr=False)
    refresh_jwt: str = field(repr=False)
    user: User
    session_ends: int
    refresh_ends: int
    next_refresh: int
    first_seen: bool = False
    sso_id: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """One sign-in of a user, for the login history."""

    user_id: str
    at: int
    tenant: str | None


class Authority:
    """The state of an emulator. Every method runs to its end without awaiting, so it is atomic.

    ``project`` may be replaced while it runs; what is issued from then on follows the new one.
    ``base_url`` is the origin in the URL forms of the issuer.
    """

    def __init__(self, project: Project, clock: Callable[[], float], base_url: str) -> None:
        self.project = project
        self.base_url = base_url
        self.keys = KeyRing()
        self._clock = clock
        self._families = Families()
        self._visits: defaultdict[str, list[Visit]] = defaultdict(list)

    def sign_in(self, signed_in: SignedIn) -> Minted:
        """Open the session that a confirmed SSO sign-in earned.

        The SSO tenant becomes the current tenant (our choice: that SSO sets ``dct`` is not documented).
        Step-up puts ``su`` into this session JWT alone; MFA adds to ``amr`` for good.
        """
        login, user = signed_in.login, signed_in.user
        if login.options.revoke_others:
            self._families.end_all(user.user_id)
        added = ("mfa",) if login.options.mfa else ()
        bearer = Bearer(
            user,
            login.tenant.id,
            tuple(dict.fromkeys((*login.amr, *user.amr, *added))),
            su=login.options.stepup,
            custom=login.options.custom_claims,
        )
        first_seen = not self._visits[user.user_id]
        minted = self.open(bearer)
        return replace(minted, first_seen=first_seen, sso_id=login.sso_id)

    def open(
        self,
        bearer: Bearer,
        *,
        session_seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Minted:
        """Begin a family and mint its first pair; ``overrides`` replace claims of the session JWT."""
        now = int(self._clock())
        self._visits[bearer.user.user_id].append(Visit(bearer.user.user_id, now, bearer.tenant))
        family = Family(
            bearer.user.user_id,
            bearer.amr,
            now + self.project.refresh_seconds,
            last_used=now,
            custom=dict(bearer.custom),
        )
        seconds = self.project.session_seconds if session_seconds is None else session_seconds
        return self._mint(
            family, bearer, new_refresh=True, session_seconds=seconds, overrides=overrides or {}
        )

    def refresh(self, token: str) -> Minted:
        """A new session; with rotation also a new refresh token. Raises Refusal.

        The current tenant stays, unless the user has left it: then there is none (our choice).
        """
        ticket, user = self._usable(token)
        tenant = ticket.tenant if ticket.tenant in user.tenants else None
        return self._renew(ticket, user, tenant, new_refresh=self.project.rotate_refresh)

    def select(self, token: str, tenant_id: str) -> Minted:
        """A new pair whose current tenant is this one. Raises Refusal, also for one not a member (403)."""
        ticket, user = self._usable(token)
        if tenant_id not in user.tenants:
            raise Refusal.unacceptable("The user is not a member of the tenant", 403)
        return self._renew(ticket, user, tenant_id, new_refresh=True)

    def visitor(self, token: str) -> Bearer:
        """Whom a refresh token speaks for. Raises Refusal.

        A replaced token is refused here too, but only renewing with one counts as its reuse.
        """
        ticket = self._current(token)
        return Bearer(self._owner(ticket), ticket.tenant, ticket.family.amr)

    def visits(self, user: User) -> tuple[Visit, ...]:
        """The sign-ins of a user, newest first."""
        return tuple(reversed(self._visits[user.user_id]))

    def log_out(self, token: str) -> None:
        """End the family of a refresh token. Raises Refusal, also if it is over already."""
        self._current(token).family.end = End.LOGOUT

    def log_out_all(self, token: str) -> None:
        """End every family of the token's user. Raises Refusal."""
        self._families.end_all(self._current(token).family.user_id)

    def revoke(self, user: User) -> None:
        """End every family of a user, as an administrator does."""
        self._families.end_all(user.user_id)

    def validate(self, token: str) -> dict[str, object]:
        """The claims of a session JWT, its times as text, as Descope answers. Raises Refusal (E061005).

        A logout does not end session JWTs that are out already.
        """
        claims = self.keys.verified(token)
        if claims is None or claims.get("drn") != "DS":
            raise Refusal.bad_token()
        exp, iat = claims["exp"], claims["iat"]
        if not isinstance(exp, int) or not isinstance(iat, int) or self._clock() >= exp:
            raise Refusal.bad_token()
        return claims | {"exp": utc_text(exp), "iat": utc_text(iat)}

    def _present(self, token: str) -> Ticket:
        ticket = self._families.find(token, self._clock())
        if not self.keys.holds(ticket.kid):
            raise Refusal.bad_token()
        return ticket

    def _current(self, token: str) -> Ticket:
        ticket = self._present(token)
        if self._is_replaced(ticket):
            raise Refusal.family_invalidated()
        return ticket

    def _usable(self, token: str) -> tuple[Ticket, User]:
        """The ticket to renew a session with. One that was replaced ends its family: it may be stolen."""
        ticket = self._present(token)
        if self._is_replaced(ticket):
            ticket.family.end = End.REUSE
            raise Refusal.family_invalidated()
        limit = self.project.inactivity_seconds
        if limit and self._clock() - ticket.family.last_used > limit:
            raise Refusal.bad_token("The session was inactive for too long")
        return ticket, self._owner(ticket)

    def _is_replaced(self, ticket: Ticket) -> bool:
        replaced_at = ticket.replaced_at
        return replaced_at is not None and self._clock() >= replaced_at + self.project.reuse_grace

    def _owner(self, ticket: Ticket) -> User:
        user = self.project.user(ticket.family.user_id)
        if user is None:
            raise Refusal.unknown_user()
        return user

    def _renew(self, ticket: Ticket, user: User, tenant: str | None, *, new_refresh: bool) -> Minted:
        family = ticket.family
        family.last_used = self._clock()
        if self.project.rotate_refresh and ticket.replaced_at is None:
            ticket.replaced_at = family.last_used
        bearer = Bearer(user, tenant, family.amr, custom=family.custom)
        return self._mint(
            family, bearer, new_refresh=new_refresh, session_seconds=self.project.session_seconds
        )

    def _mint(
        self,
        family: Family,
        bearer: Bearer,
        *,
        new_refresh: bool,
        session_seconds: int,
        overrides: Mapping[str, object] | None = None,
    ) -> Minted:
        now, rexp = int(self._clock()), family.ends_at
        exp = min(now + session_seconds, rexp)
        iat = min(now, exp - 1)  # a session that is over from the start was not issued after its end
        writer = TokenWriter(self.project, self.base_url)
        session = writer.session(bearer, now=iat, exp=exp, rexp=rexp) | dict(overrides or {})
        return Minted(
            self.keys.sign(session),
            self._refresh_jwt(writer, family, bearer, now) if new_refresh else "",
            bearer.user,
            exp,
            rexp,
            next_refresh=self.project.inactivity_seconds // 2,
        )

    def _refresh_jwt(self, writer: TokenWriter, family: Family, bearer: Bearer, now: int) -> str:
        claims = writer.refresh(bearer, now=now, exp=family.ends_at, jti=secrets.token_hex(16))
        token = self.keys.sign(claims)
        self._families.add(token, Ticket(family, bearer.tenant, self.keys.kid))
        return token
