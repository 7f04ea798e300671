"""What nobody outside Descope knows of it, decided once (wire contract, section 10)."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Assumptions"]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Unknown behaviour: the default is the likelier guess, and a client should survive the other too.

    Attributes:
        revoked_status: the HTTP status of "logged out" (E064001) and of a token that is no longer good
            (E061005).
        reuse_status: the HTTP status of "family invalidated" (E064006); 400 in two captured answers.
        refresh_repeats_token: without rotation, a refresh answers with the refresh token it was given.
        failed_sign_in: which query parameters tell the app that a sign-in failed: ``err``, which
            Descope's own web component reads, or OAuth's ``error`` and ``error_description``.
        redirect_query: ``append`` leaves the app's query as it is and adds to its end; ``rebuild`` sorts
            all parameters by name and writes them anew, as Go's URL library does.
        validate_wraps: ``/v1/auth/validate`` has the claims under ``parsedJWT``, as its page shows, and
            not at the root, as clients found.
        custom_claims_at_top: custom claims of the login options stand at the top of the session JWT, not
            under ``nsec``. They never replace a claim of Descope's.
        drn_is_cookie_name: a renamed cookie renames the ``drn`` of its token.
        sso_sets_tenant: a sign-in through a tenant's SSO makes it the current tenant.
        enforces_initiated_email: a start with ``initiatedEmail`` fails where somebody confirms it who has
            another e-mail address, and is not ignored.
        refresh_holds_grants: the refresh JWT says what the user holds, as the session JWT does.
    """

    revoked_status: Literal[400, 401] = 401
    reuse_status: Literal[400, 401] = 400
    refresh_repeats_token: bool = False
    failed_sign_in: Literal["err", "error", "both"] = "both"
    redirect_query: Literal["append", "rebuild"] = "append"
    validate_wraps: bool = False
    custom_claims_at_top: bool = False
    drn_is_cookie_name: bool = True
    sso_sets_tenant: bool = True
    enforces_initiated_email: bool = True
    refresh_holds_grants: bool = False

    def error_parameters(self, error: str, description: str, *, standard: bool) -> dict[str, str]:
        """The query parameters with which an app learns of a sign-in that failed.

        ``standard``: those of RFC 6749, section 4.1.2.1, which leaves nothing to guess.
        """
        spellings = {"err": error, "error": error, "error_description": description}
        wanted = {"err": {"err"}, "error": {"error", "error_description"}, "both": set(spellings)}
        chosen = wanted["error" if standard else self.failed_sign_in]
        return {name: value for name, value in spellings.items() if name in chosen}
