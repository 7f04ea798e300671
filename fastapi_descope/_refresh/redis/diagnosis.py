"""The checks that ``doctor`` runs on the Redis of a refresh store."""

import re
from dataclasses import dataclass

from .store import RedisRefreshStore

__all__ = ["RedisDiagnosis"]

_CLUSTER_ERRORS = frozenset({"AskError", "ClusterCrossSlotError", "ClusterDownError", "MovedError"})
"""The errors that only a node of a cluster sends."""

_MAXMEMORY_POLICY = re.compile(r"^maxmemory_policy:([a-z-]+)", re.MULTILINE)
_NO_MAXMEMORY = re.compile(r"^maxmemory:0\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RedisDiagnosis:
    """Checks whether ``store`` can work with its Redis. No key stays in Redis."""

    store: RedisRefreshStore

    async def is_cluster_node(self) -> bool:
        """Return whether the URL of one server leads to a node of a cluster, which has some slots only.

        One round trip, and none for the URL of a cluster.
        """
        if self.store.topology == "cluster":
            return False
        one, two = f"{self.store.prefix}:{{one}}", f"{self.store.prefix}:{{two}}"
        return await self.store.client.write_failure(one, two) in _CLUSTER_ERRORS

    async def failures(self) -> dict[str, str | None]:
        """Return the name of the error with which each server rejects the scripts, or None, by server.

        One round trip for each server, and one more for a cluster. The name of a cluster as a whole is empty.
        """
        return await self.store.client.check(self._key)

    async def eviction_policy(self) -> str | None:
        """Return what Redis does when its memory is full, or None if it has no limit, or does not say it."""
        info = await self.store.client.memory_info(self._key)
        found = _MAXMEMORY_POLICY.search(info)
        return found[1] if found is not None and not _NO_MAXMEMORY.search(info) else None

    @property
    def _key(self) -> str:
        return f"{self.store.prefix}:probe"
