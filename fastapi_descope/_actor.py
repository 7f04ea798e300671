"""The actor in the claims of a token: the person who acts as the user, such as support staff (RFC 8693)."""

from collections.abc import Mapping

from ._encoding import as_mapping, as_text

__all__ = ["UNKNOWN_ACTOR", "actor_of"]

UNKNOWN_ACTOR = "unknown"
"""The actor of an impersonated session whose token does not name a user id.

The session counts as impersonated, like any other with an actor.
"""

_MAX_ID = 255


# IM-01
def actor_of(claims: Mapping[str, object]) -> str | None:
    """Return the user id of the actor, or None if the claims have no ``act``.

    The claim is an object with ``sub``, or a string. Any other value, also null, and an id that could not be
    that of a user, such as an e-mail address, are ``UNKNOWN_ACTOR``: no malformed claim hides an actor.
    """
    if "act" not in claims:
        return None
    act = claims["act"]
    named = as_mapping(act)
    user_id = as_text(act if named is None else named.get("sub")) or ""
    return user_id if _is_user_id(user_id) else UNKNOWN_ACTOR


# An e-mail address can be given to another user later, and events must have none (TV-15, LG-03).
def _is_user_id(text: str) -> bool:
    return 0 < len(text) <= _MAX_ID and text.isprintable() and "@" not in text
