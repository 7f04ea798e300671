"""A deployment in production, and what plants misconfigurations in it."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from typing_extensions import override

from fastapi_descope import Descope
from fastapi_descope._cli.checks import CheckResult
from fastapi_descope._cli.doctor import Doctor
from fastapi_descope.emulator import Emulator, Project
from tests.helpers.emulator import signing_key
from tests.helpers.ports import free_port
from tests.helpers.redis_server import RedisServer

__all__ = [
    "REDIS_STORE",
    "SOUND",
    "SPA",
    "Deployment",
    "Plant",
    "app",
    "bare_app",
    "both",
    "clock",
    "closed_port",
    "cors",
    "env",
    "hosts",
    "no_token",
    "portal",
    "process",
    "project",
    "redis_cluster",
    "redis_command",
    "redis_memory",
    "redis_without_server",
    "secret_for_everyone",
    "spent_token",
    "unset",
    "without_redis",
]

REDIS_STORE = "fastapi_descope._refresh.redis.store"
SPA = "https://spa.example.com"
SOUND = {
    "DESCOPE_BASE_URL": "https://api.descope.com",
    "DESCOPE_PUBLIC_URL": "https://app.example.com",
    "FORWARDED_ALLOW_IPS": "10.0.0.7",
    "ENVIRONMENT": "production",
}


class _AtApi(httpx.AsyncBaseTransport):
    """Sends requests for Descope's API to an emulator, which accepts a loopback host only."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._transport = httpx.ASGITransport(emulator)

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and return the response with its date."""
        request.headers["host"] = "127.0.0.1"
        response = await self._transport.handle_async_request(request)
        response.headers["date"] = formatdate(self._emulator.clock(), usegmt=True)  # a server adds it
        return response


@dataclass
class Deployment:
    """A deployment that a row of the table may change."""

    folder: Path
    variables: dict[str, str]
    emulator: Emulator
    build_app: Callable[[], FastAPI] | None = None
    clock_error: float = 0.0
    refresh_token: str | None = None
    transport: httpx.AsyncBaseTransport | None = None
    redis: list[RedisServer] = field(default_factory=list[RedisServer])

    async def examine(self, monkeypatch: pytest.MonkeyPatch) -> list[CheckResult]:
        """Run the doctor in this deployment."""
        for name in SOUND:
            monkeypatch.delenv(name, raising=False)
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)
        doctor = Doctor(
            self.build_app() if self.build_app else None,
            variables=os.environ,
            refresh_token=self.refresh_token,
            transport=self.transport or _AtApi(self.emulator),
            clock=lambda: self.emulator.clock() + self.clock_error,
        )
        return list(await doctor.run_checks())

    def set(self, **values: str) -> None:
        """Set ``DESCOPE_*`` variables."""
        self.variables.update({f"DESCOPE_{name}": value for name, value in values.items()})


Plant = Callable[[Deployment], None]


def env(**values: str) -> Plant:
    """Return a plant that sets ``DESCOPE_*`` variables."""
    return lambda deployment: deployment.set(**values)


def process(**values: str) -> Plant:
    """Return a plant that sets other variables."""
    return lambda deployment: deployment.variables.update(values)


def unset(name: str) -> Plant:
    """Return a plant that removes a variable."""

    def plant(deployment: Deployment) -> None:
        del deployment.variables[name]

    return plant


def app(change: Callable[[FastAPI], object], *, first: bool = False, protect: bool = False) -> Plant:
    """Return a plant that changes the app, after or before the plugin is installed."""

    def build() -> FastAPI:
        built = FastAPI()
        if first:
            change(built)
        Descope(built, protect=protect)
        if not first:
            change(built)
        return built

    def plant(deployment: Deployment) -> None:
        deployment.build_app = build

    return plant


def bare_app(change: Callable[[FastAPI], object] = lambda _: None) -> Plant:
    """Return a plant that builds an app without ``Descope(app)``."""

    def build() -> FastAPI:
        built = FastAPI()
        change(built)
        return built

    def plant(deployment: Deployment) -> None:
        deployment.build_app = build

    return plant


def cors(**options: object) -> Callable[[FastAPI], None]:
    """Return a change that adds ``CORSMiddleware`` with cookies."""
    return lambda built: built.add_middleware(CORSMiddleware, allow_credentials=True, **options)  # type: ignore[arg-type] # any option, by keyword


def hosts(*allowed: str) -> Callable[[FastAPI], None]:
    """Return a change that adds ``TrustedHostMiddleware``."""
    return lambda built: built.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed))


def both(*plants: Plant) -> Plant:
    """Return a plant of several changes that make one mistake."""

    def plant(deployment: Deployment) -> None:
        for each in plants:
            each(deployment)

    return plant


def project(changed: Project, **values: str) -> Plant:
    """Return a plant that changes the project, whose session the doctor refreshes."""

    def plant(deployment: Deployment) -> None:
        project_id = deployment.emulator.project_id
        deployment.emulator = Emulator(changed, signing_key=signing_key())
        assert deployment.emulator.project_id == project_id
        deployment.set(**values)
        user = changed.users[0].login_id
        deployment.refresh_token = deployment.emulator.issue(user, "acme").refresh_jwt

    return plant


def secret_for_everyone(deployment: Deployment) -> None:
    """Write a secret into a file that every user can read."""
    file = deployment.folder / "key"
    file.write_text("hush")
    file.chmod(0o644)
    deployment.set(AUTH_MANAGEMENT_KEY_FILE=str(file))


class _Elsewhere(httpx.AsyncBaseTransport):
    """Connects to a port of this machine, whatever the URL."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport = httpx.AsyncHTTPTransport()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Connect there."""
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await self._transport.handle_async_request(request)


def closed_port(deployment: Deployment) -> None:
    """Let no server listen at the API."""
    deployment.transport = _Elsewhere(free_port())


def portal(deployment: Deployment) -> None:
    """Let a web page answer for the API."""
    deployment.emulator.faults.add("keys", body=b"<html>a portal</html>")


def clock(seconds: float) -> Plant:
    """Return a plant that sets this host's clock wrong."""

    def plant(deployment: Deployment) -> None:
        deployment.clock_error = seconds

    return plant


def spent_token(deployment: Deployment) -> None:
    """Use a refresh token of a session that was logged out."""
    deployment.refresh_token = deployment.emulator.issue("ada@acme.example", "acme").refresh_jwt
    deployment.emulator.revoke_sessions("ada@acme.example")


def no_token(deployment: Deployment) -> None:
    """Use a file with another text."""
    deployment.refresh_token = "see the wiki"


def redis_without_server(deployment: Deployment) -> None:
    """Stop the Redis."""
    deployment.redis[0].stop()
    deployment.set(REDIS_URL=deployment.redis[0].url)


def redis_command(*command: str, user: str = "") -> Plant:
    """Return a plant that configures the Redis."""

    def plant(deployment: Deployment) -> None:
        server = deployment.redis[0]
        server.command(*command)
        deployment.set(REDIS_URL=server.url.replace("//", f"//{user}"))

    return plant


def redis_cluster(deployment: Deployment) -> None:
    """Start the Redis as a node of a cluster."""
    server = deployment.redis[0]
    server.stop()
    server.start("--cluster-enabled", "yes")
    deployment.set(REDIS_URL=server.url)


def redis_memory(policy: str) -> Plant:
    """Return a plant that limits the memory of the Redis."""
    limit = redis_command("CONFIG", "SET", "maxmemory", "100mb")
    return both(limit, redis_command("CONFIG", "SET", "maxmemory-policy", policy))


def without_redis(_: Deployment) -> None:
    """Make the package behave as without the extra ``redis``."""
    sys.modules[REDIS_STORE] = None  # type: ignore[assignment] # the documented way
