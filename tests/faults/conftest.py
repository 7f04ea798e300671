"""What every test with a rig needs."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for the rigs and for the tests that share them."""
    return "asyncio"
