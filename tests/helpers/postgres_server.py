"""A real PostgreSQL server on a Unix socket in a temporary folder."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

_ACCOUNT = "postgres"
_END_MILLISECONDS = 60_000
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
}


def postgres_programs() -> Path:
    """Return the folder of the newest installation. Debian does not put it into the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    assert folders, "PostgreSQL is not installed; scripts/setup installs it"
    return folders[-1]


@dataclass(frozen=True)
class Role:
    """A role of a database, with the URL by which it connects."""

    name: str
    url: str


@dataclass(frozen=True)
class Database:
    """A database with the role that owns it, and the role of the app, which may change rows only."""

    name: str
    owner: Role
    app: Role
    superuser: Role


class PostgresServer:
    """A server without durability. Its account is ``postgres`` if the tests run as root, which it refuses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._account = _ACCOUNT if os.getuid() == 0 else None
        folder.chmod(0o755)  # for the clients: the data is in a folder below, which stays closed
        if self._account:
            shutil.chown(folder, _ACCOUNT, _ACCOUNT)
        self._initialize()
        self.start()

    def _initialize(self) -> None:
        command: list[str | Path] = [
            postgres_programs() / "initdb",
            "-D",
            self._folder / "data",
            "-U",
            _ACCOUNT,
        ]
        subprocess.run(
            [*command, "-A", "trust", "-N", "-E", "UTF8", "--no-locale"],
            user=self._account,
            group=self._account,
            cwd=self._folder,
            check=True,
            capture_output=True,
        )

    @property
    def socket(self) -> str:
        """The path of the Unix socket."""
        return str(self._folder / ".s.PGSQL.5432")

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [postgres_programs() / "postgres", "-D", self._folder / "data", "-k", self._folder, *options],
            user=self._account,
            group=self._account,
            cwd=self._folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "ready to accept connections" in line:
                return
        raise AssertionError("postgres ended instead of starting")

    def stop(self) -> None:
        """Stop the server at once. It waits for no client."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def role(self, name: str, database: str) -> Role:
        """Return the URL of a role for SQLAlchemy, with the driver psycopg."""
        return Role(name, f"postgresql+psycopg://{name}@/{database}?host={self._folder}")

    def database(self) -> Database:
        """Create a database with its two roles."""
        name = f"tenants_{next(self._numbers)}"
        owner, app = f"{name}_owner", f"{name}_app"
        self.execute(
            f"CREATE ROLE {owner} LOGIN",
            f"CREATE ROLE {app} LOGIN",
            f"CREATE DATABASE {name} OWNER {owner}",
        )
        self.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner}"
            f" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
            database=name,
        )
        return Database(name, *(self.role(role, name) for role in (owner, app, _ACCOUNT)))

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements as the superuser, each in its own transaction."""
        with psycopg.connect(
            host=str(self._folder), user=_ACCOUNT, dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def disconnect(self, role: Role) -> None:
        """End all connections of a role, as a failover does, and wait until they have ended."""
        ended = f"SELECT pg_terminate_backend(pid, {_END_MILLISECONDS})"
        self.execute(f"{ended} FROM pg_stat_activity WHERE usename = '{role.name}'")


@contextmanager
def postgres_server() -> Generator[PostgresServer]:
    """Run a server in a folder that its account can reach; pytest's folders are the user's own."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        server = PostgresServer(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
