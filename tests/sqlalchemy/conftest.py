"""The database of each test of this folder."""

from collections.abc import AsyncIterator

import pytest

from tests.helpers.postgres_server import Database, PostgresServer
from tests.helpers.tenant_database import TenantDatabase, create_database, postgres_database, sqlite_database


@pytest.fixture(scope="session")
def tenants(postgres: PostgresServer) -> Database:
    """The database of all tests that change rows only."""
    return create_database(postgres)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[TenantDatabase]:
    """A database of two tenants, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        async with sqlite_database(tmp_path_factory.mktemp("sqlite")) as made:
            yield made
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        async with postgres_database(server, request.getfixturevalue("tenants")) as made:
            yield made


@pytest.fixture
async def postgres_tenants(
    postgres: PostgresServer, tenants: Database, anyio_backend: str
) -> AsyncIterator[TenantDatabase]:
    """A database of two tenants on PostgreSQL."""
    async with postgres_database(postgres, tenants) as made:
        yield made


@pytest.fixture
async def postgres_victim(postgres: PostgresServer, anyio_backend: str) -> AsyncIterator[TenantDatabase]:
    """A database of one test, which may change its tables and policies."""
    async with postgres_database(postgres, create_database(postgres)) as made:
        yield made


@pytest.fixture
async def sqlite_tenants(
    tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[TenantDatabase]:
    """A database of two tenants on SQLite."""
    async with sqlite_database(tmp_path_factory.mktemp("sqlite")) as made:
        yield made
