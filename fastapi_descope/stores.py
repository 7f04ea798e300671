"""A refresh store of your own: the protocol, its values, and what a store over a network needs.

A store caches the results of refreshes and grants leases, so that of many requests in many processes one
refreshes a session. ``Descope(refresh_store=...)`` takes it. ``fastapi_descope.testing.RefreshStoreContract``
tests it.
"""

from ._refresh.memory_store import MemoryRefreshStore
from ._refresh.redis.encryption import ResultCipher
from ._refresh.store import Lease, RefreshResult, RefreshStore

__all__ = ["Lease", "MemoryRefreshStore", "RefreshResult", "RefreshStore", "ResultCipher"]
