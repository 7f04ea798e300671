"""The errors of the package: one class for each reaction that a caller may have.

    DescopeError
    +-- ConfigurationError        the app is configured or wired wrongly           500
    +-- NotAuthenticated          nobody is signed in                              401
    |   +-- TokenError            a token was refused; ``reason`` says why         401
    |   |   +-- TokenExpired      everything else about it held                    401
    |   |   +-- UnsupportedAuthScheme         another kind of Authorization header            401
    |   +-- ConflictingCookies      one name with two values: nobody can choose      401
    |   +-- SessionEnded          Descope ended the session: cookies go            401
    |   +-- StepUpRequired        signed in, but not freshly or strongly enough    401
    +-- Forbidden                 signed in, but may not                           403
    |   +-- NoTenant              the session has no current tenant                403
    |   +-- TenantMismatch        the path names another tenant than the session   403
    |   +-- MissingRoles          a required role is not held                      403
    |   +-- MissingPermissions    a required permission is not held                403
    |   +-- CrossSiteRequest      a foreign page sent it with the user's cookies   403
    +-- BadRequest                the request itself is wrong                      400
    |   +-- LoginRejected         a login or callback cannot go on                 400
    |   +-- SessionTooLarge       the tokens do not fit into cookies               400
    +-- UpstreamError             Descope's API
        +-- UpstreamRejected       a well-formed "no"                               400
        +-- UpstreamUnavailable   no verdict: keep the cookies, come back          503
        |   +-- RateLimited       Descope asks to wait                             503
        +-- InvalidUpstreamResponse      an answer outside the wire contract              502

Every class carries ``status``, a stable ``code`` for programs and a ``title`` for people; one renderer
(``_web/error_responses.py``) reads them. No error ever holds a token, a code, a state, a cookie or an e-mail
(requirement LG-02): evidence is enums, ids and numbers.
"""

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "BadRequest",
    "CircuitOpen",
    "ConfigurationError",
    "ConflictingCookies",
    "CrossSiteRequest",
    "DescopeError",
    "Forbidden",
    "InvalidUpstreamResponse",
    "LoginRejected",
    "MissingPermissions",
    "MissingRoles",
    "NoTenant",
    "NotAuthenticated",
    "RateLimited",
    "SessionEnded",
    "SessionTooLarge",
    "StepUpRequired",
    "TenantMismatch",
    "TokenError",
    "TokenExpired",
    "TokenReason",
    "UnsupportedAuthScheme",
    "UpstreamError",
    "UpstreamRejected",
    "UpstreamUnavailable",
]


class DescopeError(Exception):
    """Root of every error that leaves this package.

    ``detail`` is one sentence that is safe to show to the caller.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "descope_error"
    title: ClassVar[str] = "Authentication error"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or self.title
        super().__init__(self.detail)


class ConfigurationError(DescopeError):
    """The app is configured or wired wrongly; the message names the fix."""

    code = "configuration_error"
    title = "The sign-in of this application is not configured"


class NotAuthenticated(DescopeError):
    """Nobody is signed in."""

    status = 401
    code = "not_authenticated"
    title = "Sign in to continue"


class TokenReason(StrEnum):
    """Why a token was refused; the vocabulary of logs, events and metrics."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    HEADER = "header"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    KIND = "kind"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    SUBJECT = "subject"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"


class TokenError(NotAuthenticated):
    """A token was refused. ``reason`` says why, and is never shown to the client."""

    code = "invalid_token"
    title = "The session is not valid"

    def __init__(self, reason: TokenReason, detail: str | None = None) -> None:
        self.reason = reason
        super().__init__(detail)


class TokenExpired(TokenError):
    """The token is genuine and meant for us, and its time is over.

    ``subject`` is the user it was issued to, so that a refresh for somebody else is noticed (KD-05).
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(TokenReason.EXPIRED)


class UnsupportedAuthScheme(TokenError):
    """The Authorization header is of another kind, as behind a proxy that asks for a password (KD-08).

    ``scheme`` is a well-known one in lower case, or "other": anything else could be a secret.
    """

    title = "The Authorization header is no bearer token"

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        super().__init__(
            TokenReason.MALFORMED,
            f"This request carries an Authorization header (scheme: {scheme}), which counts before the"
            " session cookies and is no bearer token. If a proxy asks for a password, have it take the"
            " header off.",
        )


class ConflictingCookies(NotAuthenticated):
    """A session cookie came with two different values, and nobody can tell which one is ours (CK-02)."""

    code = "conflicting_cookies"
    title = "There are two different session cookies"

    def __init__(self) -> None:
        super().__init__(
            "Another site of this domain has set a session cookie, too. Delete the cookies of this site and"
            " its domain. Whoever runs this app prevents it with DESCOPE_COOKIE_PREFIX=__Host-"
        )


class SessionEnded(NotAuthenticated):
    """Descope, or the refresh token's own expiry, ended the session: its cookies are cleared."""

    code = "session_ended"
    title = "The session has ended"


class StepUpRequired(NotAuthenticated):
    """The session is genuine but too weak or too old for this (RFC 9470).

    ``max_age`` (seconds) and ``acr`` are what a new sign-in must satisfy, where they are known.
    """

    code = "step_up_required"
    title = "Confirm who you are to continue"

    def __init__(self, *, max_age: int | None = None, acr: str | None = None) -> None:
        self.max_age = max_age
        self.acr = acr
        super().__init__()


class Forbidden(DescopeError):
    """Signed in, but may not."""

    status = 403
    code = "forbidden"
    title = "You do not have access to this"


class NoTenant(Forbidden):
    """The session has no current tenant, or names one that the user is not a member of (TN-01, TN-02)."""

    code = "no_tenant"
    title = "Choose an organisation first"


class TenantMismatch(Forbidden):
    """The request is about another tenant than the session's current one (TN-03)."""

    code = "tenant_mismatch"
    title = "This belongs to another organisation"


class MissingRoles(Forbidden):
    """A required role is not held. ``missing`` lists the roles, sorted."""

    code = "missing_roles"

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        super().__init__()


class MissingPermissions(Forbidden):
    """A required permission is not held. ``missing`` lists the permissions, sorted."""

    code = "missing_permissions"

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        super().__init__()


class CrossSiteRequest(Forbidden):
    """A page of another site sent this request with the user's cookies (requirements 2.7)."""

    code = "cross_site_request"
    title = "This request came from another site"


class BadRequest(DescopeError):
    """The request itself is wrong; sending it again will not help."""

    status = 400
    code = "bad_request"
    title = "The request cannot be understood"


class LoginRejected(BadRequest):
    """A login or its callback cannot go on; the user has to start again.

    Raised by an ``on_login`` hook, it refuses the user, who reads ``detail`` on a page. ``reason`` is a
    short word for the event ``LoginFailed`` (``state``, ``code``, ``refused``, ...), never shown.
    """

    code = "login_rejected"
    title = "Signing in did not work"

    def __init__(self, detail: str | None = None, *, reason: str = "refused") -> None:
        self.reason = reason
        super().__init__(detail)


class SessionTooLarge(BadRequest):
    """The tokens do not fit into the cookies that a browser keeps (CK-08)."""

    code = "session_too_large"
    title = "The session is too large for cookies"


class UpstreamError(DescopeError):
    """Descope's API did not give what was asked for."""

    status = 502
    code = "upstream_error"
    title = "The sign-in service answered with an error"


class UpstreamRejected(UpstreamError):
    """Descope understood the call and said no.

    ``upstream_status`` is its HTTP status; ``upstream_code`` its error code (``E061301``), or "".
    """

    status = 400
    code = "upstream_rejected"
    title = "The sign-in service refused the request"

    def __init__(self, upstream_status: int, upstream_code: str = "") -> None:
        self.upstream_status = upstream_status
        self.upstream_code = upstream_code
        super().__init__()


class UpstreamUnavailable(UpstreamError):
    """No verdict could be had: nothing is decided, and no cookie is touched.

    ``retry_after`` is in seconds, 1 to 60 (F5); ``failure`` is the kind of failure if there was no answer at
    all, like ``ConnectError``.
    """

    status = 503
    code = "upstream_unavailable"
    title = "The sign-in service cannot be reached"

    def __init__(
        self, retry_after: int = 5, detail: str | None = None, *, failure: str | None = None
    ) -> None:
        self.retry_after = min(max(retry_after, 1), 60)
        self.failure = failure
        super().__init__(detail)


class CircuitOpen(UpstreamUnavailable):
    """The circuit breaker is open: no call was made. ``retry_after`` is the time until the next probe."""


class RateLimited(UpstreamUnavailable):
    """Descope answered 429; ``retry_after`` is what it asked for, clamped to 1 to 60 seconds."""

    code = "rate_limited"
    title = "The sign-in service is busy"


class InvalidUpstreamResponse(UpstreamError):
    """Descope's answer is outside the wire contract: HTML, half a body, another user's token.

    ``reason`` is a short word for logs.
    """

    code = "invalid_upstream_response"
    title = "The sign-in service answered something unexpected"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__()
