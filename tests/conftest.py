"""Fixtures that every test may use."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The package is asyncio's: uvicorn, redis-py and background refreshes all live there."""
    return "asyncio"
