"""The emulator's "no", in the shape Descope gives it (wire contract, section 6).

Only 429 with E130429 is certain; other pairs of status and code are Descope's where a source names them,
and otherwise the emulator's choice, marked as such.
"""

__all__ = ["INTERNAL_ERROR", "ApiError", "error_body"]

INTERNAL_ERROR = "E000000"
"""The code of a server that fails (5xx). Made up: Descope's are unknown, and SDKs want to read one."""

_DESCRIPTIONS = {
    INTERNAL_ERROR: "Internal failure",
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
    "E064001": "Token expired due to logout",
    "E064006": "JWT family invalidated",
    "E066103": "nOTP is pending",
    "E130429": "https://docs.descope.com/rate-limit",
}


def error_body(code: str, message: str) -> dict[str, object]:
    """The JSON body of an error. ``message`` repeats ``errorMessage``, as a captured answer does."""
    return {
        "errorCode": code,
        "errorDescription": _DESCRIPTIONS[code],
        "errorMessage": message,
        "message": message,
    }


class ApiError(Exception):
    """A request that gets an error for an answer: HTTP ``status`` and error ``code``."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> dict[str, object]:
        """The JSON to answer with."""
        return error_body(self.code, self.message)

    @classmethod
    def malformed(cls, message: str) -> "ApiError":
        """The body or the header cannot be read at all."""
        return cls(400, "E011001", message)

    @classmethod
    def missing(cls, message: str) -> "ApiError":
        """A required argument is not there."""
        return cls(400, "E011002", message)

    @classmethod
    def invalid(cls, message: str) -> "ApiError":
        """An argument has the wrong type or shape."""
        return cls(400, "E011003", message)

    @classmethod
    def unacceptable(cls, message: str, status: int = 400) -> "ApiError":
        """An argument is well-formed and names something that may not be."""
        return cls(status, "E011004", message)

    @classmethod
    def unauthorized(cls, message: str) -> "ApiError":
        """The bearer does not belong to the project. The status is Descope's, the code our choice."""
        return cls(401, "E011003", message)

    @classmethod
    def bad_token(
        cls, message: str = "Failed to validate invalid JWT for any token", status: int = 401
    ) -> "ApiError":
        """A JWT that is not ours, has expired or has been idle too long: 401 unless ``Guesses`` says."""
        return cls(status, "E061005", message)

    @classmethod
    def bad_code(cls) -> "ApiError":
        """A sign-in code that is unknown, used or too old: 400 by our choice."""
        return cls(400, "E061301", "The code is unknown, was used, or has expired")

    @classmethod
    def unknown_user(cls) -> "ApiError":
        """The token's user is gone from the project."""
        return cls(400, "E062108", "The user does not exist")

    @classmethod
    def known_user(cls) -> "ApiError":
        """A sign-up of somebody who has an account. The code is Descope's, the 400 by analogy."""
        return cls(400, "E062107", "The user already exists")

    @classmethod
    def disabled_user(cls) -> "ApiError":
        """The sign-in of somebody who is kept out. What Descope says is unknown: both are our choice."""
        return cls(403, "E011004", "The user is disabled")

    @classmethod
    def logged_out(cls, status: int = 401) -> "ApiError":
        """The refresh token was revoked by a logout: 401 is presumed, the code is Descope's."""
        return cls(status, "E064001", "The token was revoked by a logout")

    @classmethod
    def family_invalidated(cls, status: int = 400) -> "ApiError":
        """A replaced refresh token came back. The code and the 400 are from captured answers."""
        return cls(status, "E064006", "JWT family ID invalidated, cannot use this token")

    @classmethod
    def no_access_key(cls) -> "ApiError":
        """The bearer ends with the project id. The code is Descope's, the 401 our choice."""
        return cls(401, "E062802", "The request holds no access key")

    @classmethod
    def bad_access_key(cls) -> "ApiError":
        """An access key that is unknown or expired. The code is Descope's, the 401 our choice."""
        return cls(401, "E062803", "The access key is unknown or has expired")

    @classmethod
    def link_pending(cls) -> "ApiError":
        """Nobody has followed the enchanted link yet: 401, as Go's tests have it."""
        return cls(401, "E062503", "The enchanted link has not been followed yet")

    @classmethod
    def notp_pending(cls) -> "ApiError":
        """Nobody has confirmed the nOTP yet. The code is Descope's, the 401 by analogy."""
        return cls(401, "E066103", "The sign-in has not been confirmed yet")

    @classmethod
    def expired_link(cls) -> "ApiError":
        """A pending reference or a link's token that is unknown, used or too old: 400 by our choice."""
        return cls(400, "E062504", "The sign-in is unknown, was finished, or has expired")
