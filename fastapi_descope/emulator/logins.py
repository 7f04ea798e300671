"""A sign-in under way: from the start of SSO to the exchange of its code."""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Generic, Literal, TypeVar

from .directory import SeedTenant, SeedUser
from .project import Project

__all__ = ["ConfirmedLogin", "Login", "LoginOptions", "LoginStore", "OidcRequest", "PendingLogin"]

_PAGE_SECONDS = 600
_CODE_SECONDS = 120  # Descope's own lifetime of a code is unknown; OAuth advises minutes (RFC 6749, 4.1.2)

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """What the application asks of a sign-in (wire contract, section 2.1). Other options have no effect."""

    step_up: bool = False
    mfa: bool = False
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    revoke_other_sessions: bool = False


@dataclass(frozen=True, slots=True)
class OidcRequest:
    """What an OIDC client asked for: its code is good for nobody else (RFC 7636)."""

    client_id: str
    redirect_uri: str = field(repr=False)
    scope: str
    challenge: str = field(repr=False)
    nonce: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """What the application asked for when it started a sign-in.

    ``tenant`` is whose SSO it is; social, nOTP and OIDC sign-ins have none. ``method`` is "sso", or the
    ``amr`` that the sign-in proves. ``place`` is where one signs in, as the page calls it.

    Without a ``redirect_url`` the page is the end of it: the app polls for the session of ``pending``.
    ``user_id`` is set where nobody else may confirm. ``form_token`` ties the answer to the page that was
    shown. ``purpose`` and ``phone`` are for social sign-ins and for nOTP. With an ``initiated_email`` whoever
    confirms has to have that address, if ``Guesses`` says so.
    """

    tenant: SeedTenant | None
    redirect_url: str = field(default="", repr=False)
    options: LoginOptions = field(default_factory=LoginOptions)
    login_hint: str = field(default="", repr=False)
    initiated_email: str = field(default="", repr=False)
    sso_id: str = ""
    user_id: str | None = None
    amr: tuple[str, ...] = ()
    method: str = "sso"
    provider: str = ""
    purpose: Literal["any", "signup", "signin", "update"] = "any"
    phone: str = field(default="", repr=False)
    pending: "PendingLogin | None" = field(default=None, repr=False)
    oidc_request: OidcRequest | None = None
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def display_name(self) -> str:
        """The tenant's name, the social provider's, or the emulator's."""
        if self.tenant is not None:
            return self.tenant.name or self.tenant.id
        return self.provider.capitalize() or "Descope"

    def eligible_users(self, project: Project) -> tuple[SeedUser, ...]:
        """Who may confirm it, in the project's order."""
        users = project.users if self.tenant is None else project.members(self.tenant.id)
        return tuple(one for one in users if self.user_id in {None, one.user_id})

    def allows_email(self, email: str, project: Project) -> bool:
        """Whether somebody with this e-mail address may confirm it."""
        is_held = self.initiated_email and project.assumptions.enforces_initiated_email
        return not is_held or email.lower() == self.initiated_email.lower()

    def roles_of(self, user: SeedUser) -> tuple[str, ...]:
        """The roles that the user would have after it."""
        return user.roles if self.tenant is None else user.grants_in(self.tenant.id).roles

    def restricted_to(self, user_id: str, amr: tuple[str, ...]) -> "Login":
        """The same sign-in, for this user alone, who has proved ``amr`` before."""
        return replace(self, user_id=user_id, amr=amr)

    def form_token_matches(self, form_token: str) -> bool:
        """Whether a posted form holds the token of this sign-in's own page."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode())


@dataclass(frozen=True, slots=True)
class ConfirmedLogin:
    """A sign-in that somebody confirmed on the page, waiting for its code to be exchanged."""

    login: Login
    user: SeedUser


@dataclass(slots=True, eq=False)
class PendingLogin:
    """What a pending reference stands for: how the sign-in began, and the sign-in once confirmed."""

    method: str
    confirmed: ConfirmedLogin | None = None


class _OneTimeStore(Generic[_Value]):
    """Values under unguessable one-time names, forgotten after a while. Threads may share them."""

    def __init__(self, clock: Callable[[], float], seconds: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._values: dict[str, tuple[float, _Value]] = {}

    def put(self, value: _Value) -> str:
        now = self._clock()
        for over in takewhile(lambda each: each[1][0] <= now, tuple(self._values.items())):
            self._values.pop(over[0], None)  # the oldest come first
        name = secrets.token_urlsafe(32)
        self._values[name] = (now + self._seconds, value)
        return name

    def get(self, name: str) -> _Value | None:
        ends_at, value = self._values.get(name, (0.0, None))
        return value if self._clock() < ends_at else None

    def pop(self, name: str) -> _Value | None:
        ends_at, value = self._values.pop(name, (0.0, None))
        return value if self._clock() < ends_at else None


class LoginStore:
    """The pages that are open, and the codes that wait for their exchange. All are used once.

    A page lives 10 minutes, as do links and pending references, and a code 2: our choice, for Descope's
    figures are unknown.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._pages = _OneTimeStore[Login](clock, _PAGE_SECONDS)
        self._codes = _OneTimeStore[ConfirmedLogin](clock, _CODE_SECONDS)
        self._links = _OneTimeStore[Login](clock, _PAGE_SECONDS)
        self._pending = _OneTimeStore[PendingLogin](clock, _PAGE_SECONDS)

    def create_page(self, login: Login) -> str:
        """Open a sign-in page; the answer is its unguessable id."""
        return self._pages.put(login)

    def create_pending(self, login: Login) -> tuple[Login, str]:
        """The same sign-in, and a reference by which its session can be polled for."""
        pending = PendingLogin(login.method)
        return replace(login, pending=pending), self._pending.put(pending)

    def create_link(self, login: Login) -> str:
        """The token of a link that confirms a sign-in."""
        return self._links.put(login)

    def redeem_link(self, token: str) -> Login | None:
        """The sign-in that a link confirms, once; else None."""
        return self._links.pop(token)

    def get_page(self, page: str) -> Login | None:
        """The sign-in of an open page, or None."""
        return self._pages.get(page)

    def close_page(self, page: str) -> None:
        """Close a page: it was answered."""
        self._pages.pop(page)

    def confirm(self, login: Login, user: SeedUser) -> str:
        """The one-time code for a sign-in that this user confirmed; empty for a pending one."""
        signed_in = ConfirmedLogin(login, user)
        if login.pending is None:
            return self._codes.put(signed_in)
        login.pending.confirmed = signed_in
        return ""

    def redeem_code(self, code: str) -> ConfirmedLogin | None:
        """What the code stands for, the first time it is asked; None ever after."""
        return self._codes.pop(code)

    def redeem_pending(self, reference: str, method: str) -> ConfirmedLogin | None:
        """The confirmed sign-in behind a pending reference, once; None before and after.

        ``method`` is how it must have begun.
        """
        pending = self._pending.get(reference)
        if pending is None or pending.method != method or pending.confirmed is None:
            return None
        self._pending.pop(reference)
        return pending.confirmed
