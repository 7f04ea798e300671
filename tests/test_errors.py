"""The error tree: one class for each reaction, without secrets."""

import inspect
import re
from typing import NamedTuple

import pytest

from fastapi_descope import errors
from fastapi_descope.errors import DescopeError, TokenReason

TREE = inspect.getdoc(errors) or ""

EXAMPLES: tuple[DescopeError, ...] = (
    errors.ConflictingCookies(),
    errors.BadRequest(),
    errors.CircuitOpen(5),
    errors.ClaimsInvalid("AppClaims", ("plan",)),
    errors.ConfigurationError(),
    errors.CrossSiteRequest(),
    errors.DelegateRequired(),
    DescopeError(),
    errors.Forbidden(),
    errors.InvalidAccessKey(),
    errors.ImpersonationDenied(),
    errors.LoginRejected(reason="state"),
    errors.MachineRequired(),
    errors.MissingPermissions(("reports.write",)),
    errors.MissingScopes(("reports:read", "reports:write"), ("reports:write",)),
    errors.LoginLoop("step_up"),
    errors.MissingRoles(("admin", "editor")),
    errors.NoTenant(),
    errors.NotAuthenticated(),
    errors.UnsupportedAuthScheme("basic"),
    errors.ProjectCookiesRenamed({"DESCOPE_SESSION_COOKIE_NAME": "sid"}),
    errors.RateLimited(7),
    errors.SenderConstrained(),
    errors.SessionCheckFailed(),
    errors.SessionEnded(),
    errors.SessionRequired(),
    errors.SessionTooLarge(),
    errors.StepUpRequired(max_age=300, acr="mfa"),
    errors.TenantMismatch(),
    errors.TokenError(TokenReason.SIGNATURE),
    errors.TokenExpired("U2subject"),
    errors.TooManyAttempts(60),
    errors.UpstreamError(),
    errors.InvalidUpstreamResponse("html"),
    errors.UpstreamRejected(401, "E061301"),
    errors.UpstreamUnavailable(),
)
KINDS = tuple(type(error) for error in EXAMPLES)
EACH = pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)


class TreeEntry(NamedTuple):
    """A class in the tree of the docstring."""

    name: str
    parent: str | None
    status: int | None


def tree_of_docstring() -> list[TreeEntry]:
    """Return the classes in the docstring's tree, from top to bottom."""
    tree: list[TreeEntry] = []
    above: list[str] = []
    for branch, name, status in re.findall(r"^ {4}([ |+-]*)(\w+)(?: {2,}.*?(\d{3})?)?$", TREE, re.MULTILINE):
        del above[len(branch) // 4 :]
        tree.append(TreeEntry(name, above[-1] if above else None, int(status) if status else None))
        above.append(name)
    return tree


def test_every_class_has_an_example() -> None:
    """So the tests below cover every class."""
    classes = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert set(KINDS) == {kind for kind in classes if issubclass(kind, Exception)}


def test_the_tree_in_the_docstring_is_right() -> None:
    """The docstring's tree shows every class once, below its parent, with its status."""
    abstract = {"DescopeError", "UpstreamError"}  # never raised themselves, so shown without a status
    expected = {
        TreeEntry(
            kind.__name__,
            None if kind is DescopeError else kind.__mro__[1].__name__,
            None if kind.__name__ in abstract else kind.status,
        )
        for kind in KINDS
    }
    assert sorted(tree_of_docstring(), key=str) == sorted(expected, key=str)


def test_everything_is_public() -> None:
    """``__all__`` lists each class and ``TokenReason``, sorted."""
    assert errors.__all__ == sorted({kind.__name__ for kind in KINDS} | {"TokenReason"})


def test_codes_are_stable_words() -> None:
    """A code identifies one class; all token errors share one code, because clients react alike."""
    codes = {kind.__name__: kind.code for kind in KINDS}
    assert codes == {
        "ConflictingCookies": "conflicting_cookies",
        "BadRequest": "bad_request",
        "CircuitOpen": "upstream_unavailable",
        "ConfigurationError": "configuration_error",
        "CrossSiteRequest": "cross_site_request",
        "DelegateRequired": "delegate_required",
        "DescopeError": "descope_error",
        "Forbidden": "forbidden",
        "InvalidAccessKey": "invalid_access_key",
        "ImpersonationDenied": "impersonated",
        "LoginLoop": "login_loop",
        "LoginRejected": "login_rejected",
        "ClaimsInvalid": "claims_invalid",
        "MachineRequired": "machine_required",
        "MissingPermissions": "missing_permissions",
        "MissingScopes": "insufficient_scope",
        "MissingRoles": "missing_roles",
        "NoTenant": "no_tenant",
        "NotAuthenticated": "not_authenticated",
        "UnsupportedAuthScheme": "invalid_token",
        "ProjectCookiesRenamed": "project_cookies_renamed",
        "RateLimited": "rate_limited",
        "SenderConstrained": "sender_constrained",
        "SessionCheckFailed": "session_check_failed",
        "SessionEnded": "session_ended",
        "SessionRequired": "session_required",
        "SessionTooLarge": "session_too_large",
        "StepUpRequired": "step_up_required",
        "TenantMismatch": "tenant_mismatch",
        "TokenError": "invalid_token",
        "TokenExpired": "invalid_token",
        "TooManyAttempts": "too_many_attempts",
        "UpstreamError": "upstream_error",
        "InvalidUpstreamResponse": "invalid_upstream_response",
        "UpstreamRejected": "upstream_rejected",
        "UpstreamUnavailable": "upstream_unavailable",
    }


@EACH
def test_lg02_text_and_detail_contain_no_evidence(error: DescopeError) -> None:
    """``str`` and ``detail`` are the title of the class, or its advice. Evidence is in attributes (LG-02)."""
    with_advice = (
        errors.ConflictingCookies,
        errors.LoginLoop,
        errors.ProjectCookiesRenamed,
        errors.SenderConstrained,
        errors.UnsupportedAuthScheme,
    )
    has_advice = isinstance(error, with_advice)
    assert str(error) == error.detail
    assert (error.detail == type(error).title) is not has_advice
    assert error.args == (error.detail,)
    assert re.fullmatch(r"[A-Z][^\n.]+", error.title)


@EACH
def test_lg02_no_error_has_an_attribute_for_a_secret(error: DescopeError) -> None:
    """Evidence is enums, ids, names and numbers. No attribute can hold a token, code, state or cookie."""
    assert set(vars(error)) <= {
        "acr",
        "any_of",
        "detail",
        "failure",
        "fields",
        "max_age",
        "missing",
        "model",
        "reason",
        "required",
        "retry_after",
        "scheme",
        "subject",
        "upstream_code",
        "upstream_status",
        "variables",
    }


@EACH
def test_every_status_is_an_http_error(error: DescopeError) -> None:
    """Each class has a valid status for its response."""
    assert 400 <= error.status <= 503


@pytest.mark.parametrize("kind", [errors.BadRequest, errors.Forbidden, errors.ConfigurationError])
def test_a_detail_replaces_the_title(kind: type[DescopeError]) -> None:
    """A detail replaces the title in ``str``; the title stays."""
    error = kind("Ask your administrator")
    assert (str(error), error.detail, error.title) == ("Ask your administrator", error.detail, kind.title)
    assert error.detail == "Ask your administrator"


def test_login_rejected_carries_reason_and_sentence() -> None:
    """A hook's refusal carries a reason for logs and a sentence for the user."""
    error = errors.LoginRejected("You have not been invited yet", reason="not_invited")
    assert (error.reason, str(error)) == ("not_invited", "You have not been invited yet")


@pytest.mark.parametrize(("value", "clamped"), [(-5, 1), (0, 1), (1, 1), (30, 30), (60, 60), (3600, 60)])
@pytest.mark.parametrize("kind", [errors.UpstreamUnavailable, errors.RateLimited, errors.TooManyAttempts])
def test_retry_after_is_clamped(
    kind: type[errors.UpstreamUnavailable | errors.TooManyAttempts], value: int, clamped: int
) -> None:
    """It is clamped to between one second and one minute."""
    assert kind(value).retry_after == clamped


def test_retry_after_defaults_to_five_seconds() -> None:
    """It defaults to five seconds."""
    assert errors.UpstreamUnavailable().retry_after == 5


def test_errors_carry_their_evidence() -> None:
    """Each error has the attributes that a handler needs."""
    step_up = errors.StepUpRequired(max_age=300, acr="mfa")
    refused = errors.UpstreamRejected(401, "E061301")
    expired = errors.TokenExpired("U2subject")
    assert (step_up.max_age, step_up.acr) == (300, "mfa")
    assert (refused.upstream_status, refused.upstream_code) == (401, "E061301")
    assert (expired.subject, expired.reason) == ("U2subject", TokenReason.EXPIRED)
    assert errors.MissingRoles(("admin",)).missing == ("admin",)
    assert errors.MissingPermissions(("read",)).missing == ("read",)
    assert errors.InvalidUpstreamResponse("html").reason == "html"


def test_the_four_families_are_disjoint() -> None:
    """Unauthenticated, forbidden, bad request and upstream failure are disjoint families."""
    roots = (errors.NotAuthenticated, errors.Forbidden, errors.BadRequest, errors.UpstreamError)
    for kind in KINDS:
        assert sum(issubclass(kind, root) for root in roots) <= 1, kind
