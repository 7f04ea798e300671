"""The contract of every ``RefreshStore``, for the package's own (requirements RF-03, RF-04, RF-16)."""

from fastapi_descope.testing import RefreshStoreContract


class TestOurStores(RefreshStoreContract):
    """In memory, and in Redis in every topology: see the fixture ``stores``."""
