"""Error responses in Descope's format (wire contract, section 6), and those of OAuth.

Only 429 with E130429 is documented. Other pairs of status and code come from captured responses or SDKs where
the docstring says so; the rest are the emulator's choice.
"""

from typing import Literal

__all__ = ["INTERNAL_ERROR", "ApiError", "OAuthError", "error_body"]

INTERNAL_ERROR = "E000000"
"""The code of 5xx responses. It is made up: Descope's codes are unknown, and SDKs need one."""

_IMPERSONATION_REFUSED = "E060000"
"""The code of a refused impersonation. It is made up too: it only has the beginning that Descope's have."""

_DESCRIPTIONS = {
    INTERNAL_ERROR: "Internal failure",
    _IMPERSONATION_REFUSED: "Impersonation refused",
    "E011001": "Request is malformed",
    "E011002": "Request is missing required arguments",
    "E011003": "Request is invalid",
    "E011004": "Request holds invalid arguments",
    "E061005": "Invalid token",
    "E061301": "Failed to exchange the code",
    "E062107": "User already exists",
    "E062108": "User not found",
    "E062503": "Enchanted link is pending",
    "E062504": "Token expired",
    "E062802": "Missing access key",
    "E062803": "Invalid access key",
    "E062804": "Access key expired",
    "E062805": "Access key is inactive",
    "E062806": "Address is not permitted",
    "E064001": "Token expired due to logout",
    "E064006": "JWT family invalidated",
    "E066103": "nOTP is pending",
    "E130429": "https://docs.descope.com/rate-limit",
}


def error_body(code: str, message: str) -> dict[str, object]:
    """Return the JSON body of an error. ``message`` repeats ``errorMessage``, as in a captured response."""
    return {
        "errorCode": code,
        "errorDescription": _DESCRIPTIONS[code],
        "errorMessage": message,
        "message": message,
    }


class ApiError(Exception):
    """A request that gets an error response: an HTTP ``status`` and Descope's error ``code``."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> dict[str, object]:
        """The JSON body of the response."""
        return error_body(self.code, self.message)

    @classmethod
    def malformed(cls, message: str) -> "ApiError":
        """Return the error for a body or header that cannot be parsed."""
        return cls(400, "E011001", message)

    @classmethod
    def missing(cls, message: str) -> "ApiError":
        """Return the error for a missing argument."""
        return cls(400, "E011002", message)

    @classmethod
    def invalid(cls, message: str) -> "ApiError":
        """Return the error for an argument of the wrong type or form."""
        return cls(400, "E011003", message)

    @classmethod
    def unacceptable(cls, message: str, status: int = 400) -> "ApiError":
        """Return the error for a well-formed argument with a value that is not allowed."""
        return cls(status, "E011004", message)

    @classmethod
    def unauthorized(cls, message: str) -> "ApiError":
        """Return the error for a bearer of another project. The status is Descope's, the code our choice."""
        return cls(401, "E011003", message)

    @classmethod
    def bad_token(
        cls, message: str = "Failed to validate invalid JWT for any token", status: int = 401
    ) -> "ApiError":
        """Return the error for a JWT that is invalid, expired or idle."""
        return cls(status, "E061005", message)

    @classmethod
    def bad_code(cls) -> "ApiError":
        """Return the error for a code that is unknown, used or expired. The 400 is our choice."""
        return cls(400, "E061301", "The code is unknown, was used, or has expired")

    @classmethod
    def unknown_user(cls) -> "ApiError":
        """Return the error for a user that is not in the project."""
        return cls(400, "E062108", "The user does not exist")

    @classmethod
    def known_user(cls) -> "ApiError":
        """Return the error for a second sign-up. The code is Descope's, the 400 by analogy."""
        return cls(400, "E062107", "The user already exists")

    @classmethod
    def disabled_user(cls) -> "ApiError":
        """Return the error for the sign-in of a disabled user. Status and code are our choice."""
        return cls(403, "E011004", "The user is disabled")

    @classmethod
    def impersonation_refused(cls, message: str, status: int) -> "ApiError":
        """Return the error for a missing permission or consent. Descope's status and code are unknown."""
        return cls(status, _IMPERSONATION_REFUSED, message)

    @classmethod
    def logged_out(cls, status: int = 401) -> "ApiError":
        """Return the error for a refresh token revoked by a logout. The code is Descope's, 401 presumed."""
        return cls(status, "E064001", "The token was revoked by a logout")

    @classmethod
    def family_invalidated(cls, status: int = 400) -> "ApiError":
        """Return the error for a reused refresh token. The code and the 400 are from captured responses."""
        return cls(status, "E064006", "JWT family ID invalidated, cannot use this token")

    @classmethod
    def no_access_key(cls) -> "ApiError":
        """Return the error for a bearer without an access key. The code is Descope's, the 401 our choice."""
        return cls(401, "E062802", "The request holds no access key")

    @classmethod
    def bad_access_key(cls) -> "ApiError":
        """Return the error for an access key that is refused. The code is Descope's, 401 our choice."""
        return cls(401, "E062803", "The access key is unknown, expired or inactive")

    @classmethod
    def refused_access_key(cls, failure: Literal["expired", "inactive", "address"]) -> "ApiError":
        """Return the error for an access key that is known and refused. Codes and status are our choice."""
        code = {"expired": "E062804", "inactive": "E062805", "address": "E062806"}[failure]
        return cls(403 if failure == "address" else 401, code, _DESCRIPTIONS[code])

    @classmethod
    def link_pending(cls) -> "ApiError":
        """Return the error for an enchanted link that has not been followed: 401, as in Go's tests."""
        return cls(401, "E062503", "The enchanted link has not been followed yet")

    @classmethod
    def expired_magic_link(cls) -> "ApiError":
        """Return the error for the token of a magic link that is unknown, used or expired."""
        return cls(401, "E062504", "The link is unknown, was used, or has expired")

    @classmethod
    def notp_pending(cls) -> "ApiError":
        """Return the error for an unconfirmed nOTP. The code is Descope's, the 401 by analogy."""
        return cls(401, "E066103", "The sign-in has not been confirmed yet")

    @classmethod
    def expired_link(cls) -> "ApiError":
        """Return the error for a pending reference or link token that is unknown, used or expired.

        The 400 is our choice.
        """
        return cls(400, "E062504", "The sign-in is unknown, was finished, or has expired")


class OAuthError(Exception):
    """An error response of an OAuth endpoint (RFC 6749, section 5.2, and RFC 7591, section 3.2.2)."""

    def __init__(
        self,
        code: Literal[
            "invalid_client",
            "invalid_client_metadata",
            "invalid_grant",
            "invalid_redirect_uri",
            "invalid_request",
            "invalid_scope",
            "invalid_target",
            "unauthorized_client",
            "unsupported_grant_type",
        ],
        message: str,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = 401 if code == "invalid_client" else 400
        self.body = {"error": code, "error_description": message}
