"""The ways in which a sign-in fails at an identity provider, for a person to choose from.

What Descope tells the app then is unknown (wire contract, section 2.1). Here it is OAuth's vocabulary
(RFC 6749, section 4.1.2.1), in the parameters that ``Guesses.failed_sign_in`` says.
"""

from dataclasses import dataclass

__all__ = ["DISABLED", "FAILURES", "REFUSED", "STRANGER", "Failure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One of them. ``label`` is for the person who chooses it, the others go to the app.

    Without an ``error`` the browser is never sent back.
    """

    label: str
    error: str = ""
    description: str = ""


REFUSED = Failure("Refuse", "access_denied", "The sign-in was refused")
DISABLED = Failure("The user is disabled", "access_denied", "The user is disabled")
STRANGER = Failure(
    "Somebody else signed in than was asked for",
    "access_denied",
    "The identity provider confirmed another user than the one asked for",
)

FAILURES = {
    "locked": Failure("The account is locked", "access_denied", "The account is locked"),
    "stranger": STRANGER,
    "unassigned": Failure(
        "The person may not use this app",
        "access_denied",
        "The user is not assigned to this application",
    ),
    "certificate": Failure(
        "The provider's certificate has expired",
        "server_error",
        "The certificate that signed the SAML response has expired",
    ),
    "skew": Failure(
        "The provider's clock is ahead",
        "server_error",
        "The SAML assertion is not valid yet",
    ),
    "unreachable": Failure(
        "The provider does not answer",
        "temporarily_unavailable",
        "The identity provider could not be reached",
    ),
    "silence": Failure("Nobody ever comes back"),
}
"""By the name that the form sends."""
