"""The remedy for each reason for which a token is refused."""

from collections.abc import Mapping

from ..errors import TokenReason

__all__ = ["REMEDIES"]

REMEDIES: Mapping[TokenReason, str] = {
    TokenReason.MALFORMED: "copy the whole token: three parts of base64url with dots between them",
    TokenReason.TOO_LARGE: "remove claims from the project's JWT template: 8,192 bytes are the limit",
    TokenReason.HEADER: "use a token that Descope has issued: Descope's headers have a kid and no extension",
    TokenReason.ALGORITHM: "use a token that Descope has issued: Descope signs with RS256",
    TokenReason.UNKNOWN_KEY: (
        "compare DESCOPE_PROJECT_ID and DESCOPE_BASE_URL with the issuer: the token is of another project, of"
        " an emulator that has been restarted, or older than the project's keys"
    ),
    TokenReason.SIGNATURE: "get a new token: this one has been changed or cut off, or is forged",
    TokenReason.CLAIMS: "get a new token, and remove iat and exp from the project's JWT template",
    TokenReason.KIND: (
        "use a token of the right kind; if the project has renamed its cookies, set"
        " DESCOPE_SESSION_COOKIE_NAME and DESCOPE_REFRESH_COOKIE_NAME"
    ),
    TokenReason.ISSUER: (
        "compare DESCOPE_PROJECT_ID and DESCOPE_BASE_URL with the project, or add an issuer that you trust to"
        " DESCOPE_EXTRA_ISSUERS"
    ),
    TokenReason.AUDIENCE: (
        "set DESCOPE_AUDIENCE to the audience of the project's tokens, or unset it if they have none"
    ),
    TokenReason.SENDER_CONSTRAINED: "use a bearer token: tokens bound to a key (cnf) are not supported",
    TokenReason.CLIENT: (
        "use a token of the app itself; if the client in azp is your own, add it to"
        " DESCOPE_FIRST_PARTY_CLIENTS"
    ),
    TokenReason.SUBJECT: "give the project's JWT template a sub or dsub that is Descope's user id",
    TokenReason.NOT_YET_VALID: "synchronize the clock of this host with NTP: the token is from its future",
    TokenReason.REVOKED: "sign in again: a logout, an administrator or Descope has ended the session",
    TokenReason.EXPIRED: "get a new token: apps refresh a session, and scripts have to sign in again",
}
