"""Fixtures of all tests with a testbed."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run testbeds, and the tests that share them, in one event loop."""
    return "asyncio"
