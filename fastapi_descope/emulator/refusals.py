"""The emulator's "no", in the shape Descope gives it (wire contract, section 6).

Only 429 with E130429 is certain; other pairs of status and code are Descope's where a source names them,
and otherwise the emulator's choice, marked as such.
"""

__all__ = ["Refusal", "error_body"]

_DESCRIPTIONS = {
    "E011001": "Request is malformed",
    "E011002": "Request is missing required arguments",
    "E011003": "Request is invalid",
    "E011004": "Request holds invalid arguments",
    "E061005": "Invalid token",
    "E061301": "Failed to exchange the code",
    "E062108": "User not found",
    "E064001": "Token expired due to logout",
    "E064006": "JWT family invalidated",
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


class Refusal(Exception):
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
    def malformed(cls, message: str) -> "Refusal":
        """The body or the header cannot be read at all."""
        return cls(400, "E011001", message)

    @classmethod
    def missing(cls, message: str) -> "Refusal":
        """A required argument is not there."""
        return cls(400, "E011002", message)

    @classmethod
    def invalid(cls, message: str) -> "Refusal":
        """An argument has the wrong type or shape."""
        return cls(400, "E011003", message)

    @classmethod
    def unacceptable(cls, message: str, status: int = 400) -> "Refusal":
        """An argument is well-formed and names something that may not be."""
        return cls(status, "E011004", message)

    @classmethod
    def unauthorized(cls, message: str) -> "Refusal":
        """The bearer does not belong to the project. The status is Descope's, the code our choice."""
        return cls(401, "E011003", message)

    @classmethod
    def bad_token(cls, message: str = "Failed to validate invalid JWT for any token") -> "Refusal":
        """A JWT that is not ours, has expired or has been idle too long: 401 by our choice."""
        return cls(401, "E061005", message)

    @classmethod
    def bad_code(cls) -> "Refusal":
        """A sign-in code that is unknown, used or too old: 400 by our choice."""
        return cls(400, "E061301", "The code is unknown, was used, or has expired")

    @classmethod
    def unknown_user(cls) -> "Refusal":
        """The token's user is gone from the project."""
        return cls(400, "E062108", "The user does not exist")

    @classmethod
    def logged_out(cls) -> "Refusal":
        """The refresh token was revoked by a logout: 401 is presumed, the code is Descope's."""
        return cls(401, "E064001", "The token was revoked by a logout")

    @classmethod
    def family_invalidated(cls) -> "Refusal":
        """A replaced refresh token came back. The code and the 400 are from captured answers."""
        return cls(400, "E064006", "JWT family ID invalidated, cannot use this token")
