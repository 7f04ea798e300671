"""Access keys of an emulated project: which of them may be exchanged, and how long their sessions live."""

from typing import Literal

from .api_errors import ApiError
from .directory import AccessKey, SeedUser
from .project import Project

__all__ = ["bound_user", "key_status", "session_end", "usable_key"]


def usable_key(project: Project, secret: str, address: str, now: int) -> AccessKey:
    """Return the access key with this secret, sent from ``address``. ``now`` is in epoch seconds.

    Raises:
        ApiError: The secret is empty (E062802) or unknown, or the key is expired, inactive, or not permitted
            from the address (E062803, or a code of its own by the assumptions).
    """
    if not secret:
        raise ApiError.no_access_key()
    key = project.find_access_key(secret)
    if key is None:
        raise ApiError.bad_access_key()
    if failure := _failure(project, key, address, now):
        is_distinct = project.assumptions.access_key_failures == "distinct"
        raise ApiError.refused_access_key(failure) if is_distinct else ApiError.bad_access_key()
    return key


def bound_user(project: Project, key: AccessKey) -> SeedUser | None:
    """Return the user to whom the key is bound, or None."""
    return project.find_user(key.bound_user) if key.bound_user else None


def key_status(project: Project, key: AccessKey, now: int) -> Literal["active", "inactive", "expired"]:
    """Return whether the key can be exchanged at ``now``, in epoch seconds. Its user must not be disabled."""
    user = bound_user(project, key)
    if 0 < key.expires_at <= now:
        return "expired"
    return "inactive" if user is not None and user.is_disabled else key.status


def session_end(project: Project, key: AccessKey, now: int) -> int:
    """Return when a session of the key ends, in epoch seconds."""
    exp = now + project.access_key_seconds
    if not key.expires_at:
        return exp
    return key.expires_at if project.assumptions.access_key_life == "key" else min(exp, key.expires_at)


def _failure(
    project: Project, key: AccessKey, address: str, now: int
) -> Literal["expired", "inactive", "address"] | None:
    status = key_status(project, key, now)
    if status != "active":
        return status
    return None if key.permits(address) else "address"
