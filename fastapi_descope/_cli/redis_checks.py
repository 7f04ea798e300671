"""Checks of the Redis of ``DESCOPE_REDIS_URL``."""

import re
from collections.abc import Iterator

from pydantic import SecretStr

from .._auth.clients import build_redis_store
from ..errors import ConfigurationError
from ..events import EventBus
from ..settings import DescopeSettings
from .checks import CheckResult, fail, ok, warn
from .settings_checks import is_loopback

__all__ = ["check_redis"]

_TIMEOUT = 2.0
_PASSWORD = re.compile(r"redis(?:\+\w+)?://[^/@:]*:[^/@]+@(?P<host>\[[^\]]+\]|[^:/?,]+)")

_REFUSED = frozenset({"AuthenticationError", "AuthorizationError", "NoPermissionError", "ResponseError"})
_READ_ONLY = "ReadOnlyError"


async def check_redis(url: SecretStr, settings: DescopeSettings) -> list[CheckResult]:
    """Run the commands of the refresh store, and read the settings for a full memory.

    Three round trips, and one more for each primary of a cluster. No key stays in Redis.
    """
    return [*await _check_server(url, settings), *_check_encryption(url)]


async def _check_server(url: SecretStr, settings: DescopeSettings) -> list[CheckResult]:
    try:
        store = build_redis_store(url, settings, EventBus(), timeout=_TIMEOUT)
    except ConfigurationError as error:
        if "not installed" in str(error):
            return [fail("redis.not_installed", str(error))]
        return [fail("redis.invalid_url", str(error))]
    try:
        from .._refresh.redis.diagnosis import RedisDiagnosis  # noqa: PLC0415 - needs an optional package

        redis = RedisDiagnosis(store)
        if await redis.is_cluster_node():
            message = "the server is a node of a Redis Cluster; write redis+cluster:// in DESCOPE_REDIS_URL"
            return [fail("redis.cluster", message)]
        failures = await redis.failures()
        failure = next(filter(None, failures.values()), None)
        policy = await redis.eviction_policy() if failure is None else None
    finally:
        await store.aclose()
    nodes = f"a cluster of {len(failures.keys() - {''})} primaries"
    topology = {"standalone": "one server", "sentinel": "a primary named by Sentinels", "cluster": nodes}
    return [_check_commands(failure, topology[store.topology]), *_check_eviction(policy)]


def _check_commands(failure: str | None, topology: str) -> CheckResult:
    if failure is None:
        return ok("redis.reachable", f"reachable ({topology}): refreshes are coordinated across processes")
    problem = f"not usable ({failure}), so processes do not coordinate refreshes;"
    if failure == _READ_ONLY:
        return fail("redis.read_only", f"{problem} set DESCOPE_REDIS_URL to the primary, not to a replica")
    if failure in _REFUSED:
        message = f"{problem} check user and password in DESCOPE_REDIS_URL, and the user's ACL"
        return fail("redis.refused", message)
    return fail("redis.unreachable", f"{problem} check DESCOPE_REDIS_URL")


def _check_eviction(policy: str | None) -> Iterator[CheckResult]:
    """Warn about a policy that deletes results before they expire: a late request then costs its session."""
    if policy not in (None, "noeviction"):
        message = (
            f"maxmemory-policy {policy} deletes results of refreshes when the memory is full; set it to"
            " noeviction, or use a Redis of its own"
        )
        yield warn("redis.evicts", message)


def _check_encryption(url: SecretStr) -> Iterator[CheckResult]:
    password = _PASSWORD.match(url.get_secret_value())
    if password is not None and not is_loopback(f"http://{password['host']}"):
        message = "the password is sent unencrypted; use rediss:// unless the network is private"
        yield warn("redis.plain_password", message)
