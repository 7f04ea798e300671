"""Sign-ins in progress: from the start of a sign-in to the exchange of its code."""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Generic, Literal, TypeVar

from .directory import SeedIdp, SeedTenant, SeedUser
from .inbound_tokens import InboundGrant
from .project import Project
from .tokens import SignIn

__all__ = [
    "ConfirmedLogin",
    "InboundRequest",
    "Login",
    "LoginOptions",
    "LoginStore",
    "OidcRequest",
    "PendingLogin",
]

_PAGE_SECONDS = 600
_CODE_SECONDS = 120  # Descope's value is unknown; OAuth recommends minutes (RFC 6749, 4.1.2)

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """The login options that have an effect (wire contract, section 2.1)."""

    step_up: bool = False
    mfa: bool = False
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    revoke_other_sessions: bool = False


@dataclass(frozen=True, slots=True)
class OidcRequest:
    """The authorization request of an OIDC client. Only this client can redeem its code (RFC 7636)."""

    client_id: str
    redirect_uri: str = field(repr=False)
    scope: str
    challenge: str = field(repr=False)
    nonce: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class InboundRequest:
    """The authorization request of an inbound app.

    Attributes:
        grant: The requested access, without the user.
        redirect_uri: The URL to return to.
        challenge: The PKCE challenge; empty if a confidential client has sent none.
    """

    grant: InboundGrant
    redirect_uri: str = field(repr=False)
    challenge: str = field(repr=False)

    def grant_to(self, user: SeedUser) -> InboundGrant:
        """Return the requested access of a user who consents."""
        return replace(self.grant, user_id=user.user_id, amr=user.amr)


@dataclass(frozen=True, slots=True)
class Login:
    """A sign-in as the app started it.

    Attributes:
        tenant: The tenant of an SSO sign-in; None for social, nOTP and OIDC sign-ins.
        redirect_url: The app's URL to return to; empty if the app polls for the session instead.
        options: The login options.
        login_hint: The login id that the page suggests.
        initiated_email: The e-mail address that the confirming user must have, if ``Assumptions`` says so.
        sso_id: The SSO configuration, if not the default one.
        user_id: The only user who may confirm; None for any user.
        amr: The authentication methods that the user has completed before.
        method: "sso", or the authentication method that the sign-in adds to ``amr``.
        provider: The social provider.
        purpose: Restricts a social or nOTP sign-in to new or to known users, or updates one.
        phone: The phone number that an nOTP update sets.
        pending: What the app polls for.
        oidc_request: The request of an OIDC client.
        inbound_request: The request of an inbound app, which needs the user's consent.
        form_token: The CSRF token of the sign-in page.
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
    inbound_request: InboundRequest | None = None
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def display_name(self) -> str:
        """The name of the tenant, of the social provider, or "Descope"."""
        if self.tenant is not None:
            return self.tenant.name or self.tenant.id
        return self.provider.capitalize() or "Descope"

    @property
    def is_oauth(self) -> bool:
        """Whether an OAuth client has started it, so that only a token endpoint redeems its code."""
        return self.oidc_request is not None or self.inbound_request is not None

    def eligible_users(self, project: Project) -> tuple[SeedUser, ...]:
        """Return the users who may confirm the sign-in, in the project's order."""
        users = project.users if self.tenant is None else project.members(self.tenant.id)
        return tuple(user for user in users if self.user_id in {None, user.user_id})

    def allows_email(self, email: str, project: Project) -> bool:
        """Return whether a user with this e-mail address may confirm the sign-in."""
        is_enforced = self.initiated_email and project.assumptions.enforces_initiated_email
        return not is_enforced or email.lower() == self.initiated_email.lower()

    def initial_tenant(self, user: SeedUser, project: Project) -> str | None:
        """Return the current tenant after the sign-in, unless the user has left it in the meantime."""
        tenant = self.tenant if project.assumptions.sso_sets_tenant else None
        if tenant is not None and tenant.id in user.tenants:
            return tenant.id
        return project.default_tenant(user)

    def proved_amr(self, user: SeedUser) -> tuple[str, ...]:
        """Return the authentication methods that the user has completed with the sign-in."""
        proved = user.amr if self.method == "sso" else (self.method,)
        mfa = ("mfa",) if self.options.mfa else ()
        return tuple(dict.fromkeys((*self.amr, *proved, *mfa)))

    def sign_in(self, user: SeedUser, *, is_first: bool) -> SignIn:
        """Return the facts of the sign-in that its response contains.

        An SSO sign-in has what the identity provider sent. For a social one that is empty.
        """
        sso_id = self.sso_id or (self.tenant.default_sso_id if self.tenant else "")
        return SignIn(is_first, sso_id, {"sso": user.idp, "oauth": SeedIdp()}.get(self.method))

    def roles_of(self, user: SeedUser) -> tuple[str, ...]:
        """Return the roles that the user would have in the session."""
        return user.roles if self.tenant is None else user.grants_in(self.tenant.id).roles

    def restricted_to(self, user_id: str, amr: tuple[str, ...]) -> "Login":
        """Return the same sign-in for this user only, who has completed the methods in ``amr`` before."""
        return replace(self, user_id=user_id, amr=amr)

    def form_token_matches(self, form_token: str) -> bool:
        """Return whether a posted form contains the CSRF token of this sign-in's page."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode())


@dataclass(frozen=True, slots=True)
class ConfirmedLogin:
    """A sign-in that a user has confirmed and whose code has not been exchanged yet."""

    login: Login
    user: SeedUser


@dataclass(slots=True, eq=False)
class PendingLogin:
    """A sign-in that the app polls for: its method, and the confirmed sign-in once there is one."""

    method: str
    confirmed: ConfirmedLogin | None = None


class _OneTimeStore(Generic[_Value]):
    """Values under unguessable names that expire. Safe across threads."""

    def __init__(self, clock: Callable[[], float], seconds: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._values: dict[str, tuple[float, _Value]] = {}

    def put(self, value: _Value) -> str:
        now = self._clock()
        for name_and_value in takewhile(lambda each: each[1][0] <= now, tuple(self._values.items())):
            self._values.pop(name_and_value[0], None)  # the oldest are first
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
    """Open sign-in pages and the codes that have not been exchanged. Each can be used once.

    Pages, links and pending references expire after 10 minutes, codes after 2. Both are our choice: Descope's
    values are unknown.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._pages = _OneTimeStore[Login](clock, _PAGE_SECONDS)
        self._consents = _OneTimeStore[ConfirmedLogin](clock, _PAGE_SECONDS)
        self._codes = _OneTimeStore[ConfirmedLogin](clock, _CODE_SECONDS)
        self._links = _OneTimeStore[Login](clock, _PAGE_SECONDS)
        self._pending = _OneTimeStore[PendingLogin](clock, _PAGE_SECONDS)

    def create_page(self, login: Login) -> str:
        """Open a sign-in page and return its unguessable id."""
        return self._pages.put(login)

    def create_pending(self, login: Login) -> tuple[Login, str]:
        """Return the sign-in as a pending one, and the reference with which the app polls for its session."""
        pending = PendingLogin(login.method)
        return replace(login, pending=pending), self._pending.put(pending)

    def create_link(self, login: Login) -> str:
        """Return the token of a link that confirms a sign-in."""
        return self._links.put(login)

    def redeem_link(self, token: str) -> Login | None:
        """Return the sign-in that a link confirms, once; otherwise None."""
        return self._links.pop(token)

    def get_page(self, page: str) -> Login | None:
        """Return the sign-in of an open page, or None."""
        return self._pages.get(page)

    def close_page(self, page: str) -> None:
        """Close a page after its form has been processed."""
        self._pages.pop(page)

    def create_consent(self, login: Login, user: SeedUser) -> str:
        """Open a consent page for a user who has signed in, and return its unguessable id."""
        return self._consents.put(ConfirmedLogin(login, user))

    def get_consent(self, page: str) -> ConfirmedLogin | None:
        """Return the sign-in of an open consent page, or None."""
        return self._consents.get(page)

    def close_consent(self, page: str) -> None:
        """Close a consent page after its form has been processed."""
        self._consents.pop(page)

    def confirm(self, login: Login, user: SeedUser) -> str:
        """Confirm a sign-in and return its one-time code, or "" if the app polls for the session."""
        confirmed = ConfirmedLogin(login, user)
        if login.pending is None:
            return self._codes.put(confirmed)
        login.pending.confirmed = confirmed
        return ""

    def redeem_code(self, code: str) -> ConfirmedLogin | None:
        """Return the sign-in of a code, once; otherwise None."""
        return self._codes.pop(code)

    def redeem_pending(self, reference: str, method: str) -> ConfirmedLogin | None:
        """Return the confirmed sign-in of a pending reference, once; None before and after.

        Args:
            reference: The pending reference.
            method: The method that the sign-in must have been started with.
        """
        pending = self._find_pending(reference, method)
        if pending is None or pending.confirmed is None:
            return None
        self._pending.pop(reference)
        return pending.confirmed

    def is_pending(self, reference: str, method: str) -> bool:
        """Return whether a reference is neither unknown nor redeemed nor expired."""
        return self._find_pending(reference, method) is not None

    def _find_pending(self, reference: str, method: str) -> PendingLogin | None:
        pending = self._pending.get(reference)
        return pending if pending is not None and pending.method == method else None
