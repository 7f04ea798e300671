"""The errors of the package: one class for each reaction that a caller can have.

    DescopeError
    +-- ConfigurationError             the app is configured or assembled wrongly        500
    |   +-- ProjectCookiesRenamed      the project's tokens have other names             500
    +-- NotAuthenticated               the request is unauthenticated                    401
    |   +-- TokenError                 a token was refused; ``reason`` says why          401
    |   |   +-- TokenExpired           the token has expired; every other check passed   401
    |   |   +-- UnsupportedAuthScheme  the Authorization header is not a bearer token    401
    |   |   +-- SenderConstrained      only the holder of a key may send the token       401
    |   +-- InvalidAccessKey           Descope refuses the access key                    401
    |   +-- ConflictingCookies         the cookies belong to two different sessions      401
    |   +-- LoginLoop                  a login did not give what it was asked for        401
    |   +-- SessionEnded               the session is over: its cookies are cleared      401
    |   +-- StepUpRequired             authenticated, but not strongly enough            401
    +-- Forbidden                      authenticated, but not allowed                    403
    |   +-- NoTenant                   the session has no current tenant                 403
    |   +-- TenantMismatch             the path names another tenant than the session    403
    |   +-- MissingRoles               a required role is not held                       403
    |   +-- MissingPermissions         a required permission is not held                 403
    |   +-- MissingScopes              a required scope is not granted                   403
    |   +-- SessionRequired            a delegate or a machine, where a user is needed   403
    |   +-- DelegateRequired           the caller is no application with an OAuth token  403
    |   +-- MachineRequired            the caller has no access key                      403
    |   +-- ImpersonationDenied        another person acts as the user                   403
    |   +-- ClaimsInvalid              the claims do not fit a model of the app          403
    |   +-- CrossSiteRequest           another site sent it with the user's cookies      403
    +-- BadRequest                     the request itself is wrong                       400
    |   +-- LoginRejected              a login or its callback cannot continue           400
    |   +-- SessionTooLarge            the tokens do not fit into cookies                400
    +-- TooManyAttempts                too many access keys of a client were refused     429
    +-- SessionCheckFailed             a hook gave no verdict on a session               503
    +-- UpstreamError                  a call to Descope's API failed
        +-- UpstreamRejected           Descope refused the call                          400
        +-- UpstreamUnavailable        no verdict: cookies are kept, retry later         503
        |   +-- CircuitOpen            no call was made: Descope has been failing        503
        |   +-- RateLimited            Descope asked us to wait                          503
        +-- InvalidUpstreamResponse    a response outside the wire contract              502

Every class has a ``status``, a stable ``code`` for programs, a ``title`` for people and a ``problem_type``,
the address of the page about the code. The middleware renders them as problem documents, pages or redirects.
No error holds a token, a code, a state, a cookie or an e-mail address: attributes are enums, ids and numbers.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

__all__ = [
    "BadRequest",
    "CircuitOpen",
    "ClaimsInvalid",
    "ConfigurationError",
    "ConflictingCookies",
    "CrossSiteRequest",
    "DelegateRequired",
    "DescopeError",
    "Forbidden",
    "ImpersonationDenied",
    "InvalidAccessKey",
    "InvalidUpstreamResponse",
    "LoginLoop",
    "LoginRejected",
    "MachineRequired",
    "MissingPermissions",
    "MissingRoles",
    "MissingScopes",
    "NoTenant",
    "NotAuthenticated",
    "ProjectCookiesRenamed",
    "RateLimited",
    "SenderConstrained",
    "SessionCheckFailed",
    "SessionEnded",
    "SessionRequired",
    "SessionTooLarge",
    "StepUpRequired",
    "TenantMismatch",
    "TokenError",
    "TokenExpired",
    "TokenReason",
    "TooManyAttempts",
    "UnsupportedAuthScheme",
    "UpstreamError",
    "UpstreamRejected",
    "UpstreamUnavailable",
]

_PAGES = "https://fastapi-descope.readthedocs.io/errors/"
"""The documentation of the error codes: one page for each."""


# LG-02: no attribute can hold a secret.
class DescopeError(Exception):
    """The base class of every error that this package raises.

    Attributes:
        status: the HTTP status of the response.
        code: a stable identifier for programs.
        title: one sentence for people, the same for every error of the class.
        problem_type: the ``type`` of the problem document (RFC 9457): the address of the page about the
            code. A class of an app inherits it from its base, and may set its own.
        detail: one sentence about this error that is safe to show to the client.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "descope_error"
    title: ClassVar[str] = "Authentication error"
    problem_type: ClassVar[str] = f"{_PAGES}{code}/"

    def __init_subclass__(cls) -> None:
        """Derive ``problem_type`` from the code, for the classes of this module: they have a page."""
        super().__init_subclass__()
        if cls.__module__ == __name__:
            cls.problem_type = f"{_PAGES}{cls.code}/"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or self.title
        super().__init__(self.detail)


class ConfigurationError(DescopeError):
    """The app is configured or assembled wrongly; the message names the fix."""

    code = "configuration_error"
    title = "The sign-in of this application is not configured"


class ProjectCookiesRenamed(ConfigurationError):
    """The project has renamed its cookies and so the kinds of its tokens, and the settings have other names.

    A login with such a project fails until the variables are set. The detail is shown to every client:
    cookie names are no secret.

    Attributes:
        variables: the variables to set, with their values.
    """

    code = "project_cookies_renamed"
    title = "The Descope project has renamed its cookies"

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        values = " and ".join(f"{name}={value}" for name, value in variables.items())
        super().__init__(
            "The tokens of the Descope project have the names of its cookies, which are not those of this"
            f" application. Its operator has to set {values}"
        )


class NotAuthenticated(DescopeError):
    """The request is unauthenticated."""

    status = 401
    code = "not_authenticated"
    title = "Sign in to continue"


class TokenReason(StrEnum):
    """Why a token was refused: the values used in logs, events and metrics."""

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
    SENDER_CONSTRAINED = "sender_constrained"
    CLIENT = "client"
    SUBJECT = "subject"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


class TokenError(NotAuthenticated):
    """A token was refused. ``reason`` says why; it is logged and never shown to the client."""

    code = "invalid_token"
    title = "The session is not valid"

    def __init__(self, reason: TokenReason, detail: str | None = None) -> None:
        self.reason = reason
        super().__init__(detail)


# KD-05: the subject is needed to notice a refresh token of another user.
class TokenExpired(TokenError):
    """The token has expired, or was revoked; every other check passed.

    ``subject`` is the id of the token's user. The reason of a revoked token is ``revoked``.
    """

    def __init__(self, subject: str, reason: TokenReason = TokenReason.EXPIRED) -> None:
        self.subject = subject
        super().__init__(reason)


# KD-08
class UnsupportedAuthScheme(TokenError):
    """The Authorization header has another scheme, for instance behind a proxy with Basic authentication.

    ``scheme`` is a well-known scheme in lower case, or "other", because an unknown scheme could be a secret.
    """

    title = "The Authorization header is not a bearer token"

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        super().__init__(
            TokenReason.MALFORMED,
            f"This request has an Authorization header (scheme: {scheme}) that is not a bearer token. The"
            " header takes precedence over the session cookies. If a proxy added it, configure the proxy to"
            " remove it.",
        )


# KD-09
class SenderConstrained(TokenError):
    """The token is bound to a key (claim ``cnf``): only the holder of the key may send it."""

    code = "sender_constrained"
    title = "The token is bound to a key"

    def __init__(self) -> None:
        super().__init__(
            TokenReason.SENDER_CONSTRAINED,
            "Only the holder of its key may send this token (DPoP or mutual TLS), and this application does"
            " not check the key. Request a token that is not bound to one.",
        )


class InvalidAccessKey(NotAuthenticated):
    """Descope refuses the access key: it is wrong, expired or disabled, or not permitted from this server."""

    code = "invalid_access_key"
    title = "The access key is not valid"


# CK-02
class ConflictingCookies(NotAuthenticated):
    """The session cookies conflict: one has two values, or they belong to two users. None of them counts."""

    code = "conflicting_cookies"
    title = "There are two different session cookies"

    def __init__(self) -> None:
        super().__init__(
            "The session cookies belong to two different sessions, so neither counts, and you are not signed"
            " in. Another site on this domain may have set one of them. Sign in again. If this page comes"
            " back, delete the cookies of this site and its domain."
        )


class SessionEnded(NotAuthenticated):
    """The session is over: it was ended or revoked, or its refresh token has expired. Cookies are cleared."""

    code = "session_ended"
    title = "The session has ended"


class LoginLoop(NotAuthenticated):
    """The browser has just completed a login, and still lacks what that login was asked for.

    Attributes:
        missing: ``session``, ``step_up`` or ``mfa``.
    """

    code = "login_loop"
    title = "Signing in did not help"

    def __init__(self, missing: str) -> None:
        self.missing = missing
        super().__init__(_LOOP_DETAILS[missing])


_LOOP_DETAILS: Mapping[str, str] = {
    "session": "You have just signed in, but this page got no session, so you are not signed in here. Your"
    " browser may not keep the cookies of this site: allow them and try again, or tell the people who run"
    " this application.",
    "step_up": "You are signed in, but the confirmation that this page needs was not granted. Try again, or"
    " tell the people who run this application.",
    "mfa": "You are signed in, but without the second factor that this page needs. Try again, or tell the"
    " people who run this application.",
}


class StepUpRequired(NotAuthenticated):
    """The session is valid, but its authentication is too weak or too old for this route (RFC 9470).

    Attributes:
        max_age: the maximum age in seconds of the new authentication, or None.
        acr: the authentication context that is required, such as ``mfa``, or None.
    """

    code = "step_up_required"
    title = "Confirm who you are to continue"

    def __init__(self, *, max_age: int | None = None, acr: str | None = None) -> None:
        self.max_age = max_age
        self.acr = acr
        super().__init__()


class Forbidden(DescopeError):
    """The user is authenticated, but not allowed to do this."""

    status = 403
    code = "forbidden"
    title = "You do not have access to this"


# TN-01, TN-02
class NoTenant(Forbidden):
    """The session has no current tenant, or the user is not a member of it."""

    code = "no_tenant"
    title = "Choose an organisation first"


# TN-03
class TenantMismatch(Forbidden):
    """The request is for another tenant than the current one of the session."""

    code = "tenant_mismatch"
    title = "This belongs to another organisation"


class MissingRoles(Forbidden):
    """The user lacks required roles.

    Attributes:
        missing: the roles that the user lacks, sorted.
        any_of: whether one of ``missing`` is enough; otherwise the user needs all of them.
    """

    code = "missing_roles"

    def __init__(self, missing: tuple[str, ...], *, any_of: bool = False) -> None:
        self.missing = missing
        self.any_of = any_of
        super().__init__()


class MissingPermissions(Forbidden):
    """The user lacks required permissions.

    Attributes:
        missing: the permissions that the user lacks, sorted.
        any_of: whether one of ``missing`` is enough; otherwise the user needs all of them.
    """

    code = "missing_permissions"

    def __init__(self, missing: tuple[str, ...], *, any_of: bool = False) -> None:
        self.missing = missing
        self.any_of = any_of
        super().__init__()


class MissingScopes(Forbidden):
    """The caller has not been granted a scope that the route requires (RFC 6750).

    Attributes:
        required: every scope that the route requires, sorted.
        missing: those that the caller lacks, sorted.
    """

    code = "insufficient_scope"
    title = "This needs a scope that was not granted"

    def __init__(self, required: tuple[str, ...], missing: tuple[str, ...]) -> None:
        self.required = required
        self.missing = missing
        super().__init__()


# CL-02
class SessionRequired(Forbidden):
    """The route is for signed-in users, and an application or a machine has called it."""

    code = "session_required"
    title = "This is for signed-in users"


class DelegateRequired(Forbidden):
    """The route is for applications that act for a user, and another kind of caller has called it."""

    code = "delegate_required"
    title = "This is for applications that act for a user"


class MachineRequired(Forbidden):
    """The route is for machines with an access key, and another kind of caller has called it."""

    code = "machine_required"
    title = "This is for machines with an access key"


# IM-04
class ImpersonationDenied(Forbidden):
    """Another person acts as the user, such as support staff, and the route is for the user alone."""

    code = "impersonated"
    title = "You cannot do this for another user"


class ClaimsInvalid(Forbidden):
    """The claims of the session do not fit a model of the app.

    The response names neither the model nor the fields, and no attribute has a value of a claim.

    Attributes:
        model: the name of the model.
        fields: the names of its fields with a missing or invalid value, sorted.
    """

    code = "claims_invalid"
    title = "Your account is not set up for this"

    def __init__(self, model: str, fields: tuple[str, ...]) -> None:
        self.model = model
        self.fields = fields
        super().__init__()


# Requirements 2.7
class CrossSiteRequest(Forbidden):
    """Another site sent this request with the user's cookies."""

    code = "cross_site_request"
    title = "This request came from another site"


class BadRequest(DescopeError):
    """The request itself is wrong; a retry does not help."""

    status = 400
    code = "bad_request"
    title = "The request cannot be understood"


class LoginRejected(BadRequest):
    """A login or its callback cannot continue; the user has to start again.

    An ``on_login`` hook raises it to refuse a user, who sees ``detail`` on an error page. ``reason`` goes
    into the event ``LoginFailed`` (``state``, ``code``, ``refused``, ...) and is never shown.
    """

    code = "login_rejected"
    title = "Signing in did not work"

    def __init__(self, detail: str | None = None, *, reason: str = "refused") -> None:
        self.reason = reason
        super().__init__(detail)


# CK-08
class SessionTooLarge(BadRequest):
    """The tokens do not fit into the cookies that a browser stores."""

    code = "session_too_large"
    title = "The session is too large for cookies"


# AK-05
class TooManyAttempts(DescopeError):
    """Too many access keys from the address of this client were refused, or it has caused too many e-mails.

    Known access keys still count.

    Attributes:
        retry_after: seconds until the next attempt, clamped to 1 to 60.
    """

    status = 429
    code = "too_many_attempts"
    title = "Too many attempts"

    def __init__(self, retry_after: int) -> None:
        self.retry_after = min(max(retry_after, 1), 60)
        super().__init__()


# Not an UpstreamError: the hook is the app's own code, and Descope has nothing to do with its failure.
class SessionCheckFailed(DescopeError):
    """An ``on_session`` or ``on_caller`` hook failed or took too long. No verdict: cookies are kept.

    Attributes:
        retry_after: seconds until a retry is useful.
    """

    status = 503
    code = "session_check_failed"
    title = "Your session cannot be checked at the moment"
    retry_after: ClassVar[int] = 5


class UpstreamError(DescopeError):
    """A call to Descope's API failed."""

    status = 502
    code = "upstream_error"
    title = "The sign-in service responded with an error"


class UpstreamRejected(UpstreamError):
    """Descope understood the call and refused it.

    Attributes:
        upstream_status: the HTTP status of Descope's response.
        upstream_code: Descope's error code, such as ``E061301``, or "".
    """

    status = 400
    code = "upstream_rejected"
    title = "The sign-in service refused the request"

    def __init__(self, upstream_status: int, upstream_code: str = "") -> None:
        self.upstream_status = upstream_status
        self.upstream_code = upstream_code
        super().__init__()


class UpstreamUnavailable(UpstreamError):
    """Descope cannot be reached or is failing. There is no verdict, and cookies are kept.

    Attributes:
        retry_after: seconds until a retry is useful, clamped to 1 to 60.
        failure: the kind of network failure, such as ``ConnectError``, or None if there was a response.
    """

    status = 503
    code = "upstream_unavailable"
    title = "The sign-in service cannot be reached"

    def __init__(
        self, retry_after: int = 5, detail: str | None = None, *, failure: str | None = None
    ) -> None:
        self.retry_after = min(max(retry_after, 1), 60)  # F5
        self.failure = failure
        super().__init__(detail)


class CircuitOpen(UpstreamUnavailable):
    """The circuit breaker is open: no call was made. ``retry_after`` is the time until the next probe."""


class RateLimited(UpstreamUnavailable):
    """Descope responded with 429; ``retry_after`` is its Retry-After, clamped to 1 to 60 seconds."""

    code = "rate_limited"
    title = "The sign-in service is busy"


class InvalidUpstreamResponse(UpstreamError):
    """Descope's response is outside the wire contract: HTML, half a body, another user's token.

    ``reason`` is a short word for logs.
    """

    code = "invalid_upstream_response"
    title = "The sign-in service sent an unexpected response"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__()
