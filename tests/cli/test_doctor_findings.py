"""Planted misconfigurations: the doctor names each one, and is green without it.

The environment is real: variables, files, an app, the emulator as Descope's API, a Redis. The
sound environment is that of an app in production, and each row of the table changes one thing in it.
"""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.middleware.authentication import AuthenticationMiddleware

from fastapi_descope import Descope, DescopeAuthBackend, DescopeMiddleware, DescopeSettings
from fastapi_descope._cli.checks import CheckResult
from fastapi_descope.emulator import CookieSettings, Emulator, Project, SeedTenant, SeedUser
from tests.cli.deployment import (
    REDIS_STORE,
    SOUND,
    SPA,
    Deployment,
    Plant,
    app,
    bare_app,
    both,
    clock,
    closed_port,
    cors,
    env,
    hosts,
    no_token,
    portal,
    process,
    project,
    redis_cluster,
    redis_command,
    redis_memory,
    redis_without_server,
    secret_for_everyone,
    spent_token,
    unset,
    without_redis,
)
from tests.helpers.emulator import signing_key
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Row:
    """A misconfiguration: what plants it, the result that names it, and a part of the remedy."""

    plant: Plant
    finding: str
    severity: str
    remedy: str
    is_redis: bool = False


BIG = SeedUser(
    "ada@acme.example",
    "Ada",
    {"acme": Project().users[0].tenants["acme"]},
    permissions=tuple(f"reports.department-{number}.read" for number in range(120)),
)

# fmt: off
ROWS = {
    # settings
    "no project id": Row(unset("DESCOPE_PROJECT_ID"),
        "settings.missing", "fail", "Copy it from the Descope console"),
    "the placeholder of a sample": Row(env(PROJECT_ID="<your-project-id>"),
        "settings.invalid", "fail", "P, then 20 to 64 letters"),
    "public URL over http": Row(env(PUBLIC_URL="http://app.example.com"),
        "settings.invalid", "fail", "use https"),
    "public URL with a path": Row(env(PUBLIC_URL="https://app.example.com/crm"),
        "settings.invalid", "fail", "--root-path"),
    "cookie domain of another host": Row(env(COOKIE_DOMAIN="example.org"),
        "settings.invalid", "fail", "DESCOPE_PUBLIC_URL or a parent domain"),
    "__Host- with a domain": Row(env(COOKIE_DOMAIN="example.com", COOKIE_PREFIX="__Host-"),
        "settings.invalid", "fail", "remove this setting or DESCOPE_COOKIE_DOMAIN"),
    "SameSite=None without Secure": Row(env(PUBLIC_URL="http://localhost:8000", COOKIE_SAMESITE="none"),
        "settings.invalid", "fail", "set DESCOPE_COOKIE_SECURE=true"),
    "a trusted origin with a path": Row(env(TRUSTED_ORIGINS=f"{SPA}/"),
        "settings.invalid", "fail", "without a path"),
    "two base URLs": Row(env(BASE_URI="https://api.euc1.descope.com"),
        "settings.invalid", "fail", "keep only one of DESCOPE_BASE_URL, DESCOPE_BASE_URI"),
    "a typing error": Row(env(PUBLIC_ULR="https://app.example.com"),
        "settings.unknown_variable", "warn", "did you mean DESCOPE_PUBLIC_URL?"),
    "a secret for everyone": Row(secret_for_everyone, "settings.readable_secret", "warn", "run chmod 600"),
    "a large leeway": Row(env(LEEWAY="60"), "settings.large_leeway", "warn", "with NTP and unset it"),
    "no token cache": Row(env(TOKEN_CACHE_SIZE="0"), "settings.no_token_cache", "warn", "unset it"),
    # API and clock
    "project id of another project": Row(env(PROJECT_ID="P2" + "x" * 26),
        "api.unknown_project", "fail", "check DESCOPE_PROJECT_ID"),
    "API of another region": Row(env(PROJECT_ID="Peuc1" + "x" * 27),
        "api.other_region", "fail", "unset DESCOPE_BASE_URL"),
    "API that is a web page": Row(portal, "api.not_descope", "fail", "check that DESCOPE_BASE_URL"),
    "API without a server": Row(closed_port,
        "api.unreachable", "fail", "check DESCOPE_BASE_URL, and that this host can connect"),
    "no emulator": Row(both(closed_port, env(BASE_URL="http://127.0.0.1:8787")),
        "api.no_emulator", "fail", "fastapi-descope emulator"),
    "a proxy in the environment": Row(both(closed_port, process(HTTPS_PROXY="http://proxy:3128")),
        "api.proxy_ignored", "warn", "pass the proxy in code"),
    "an emulator in production": Row(env(BASE_URL="http://127.0.0.1:8787"),
        "api.emulator_in_production", "fail", "unset DESCOPE_BASE_URL"),
    "a clock that is wrong": Row(clock(-95), "clock.wrong", "fail", "synchronize it with NTP"),
    "a clock that drifts": Row(both(clock(8), env(LEEWAY="10")),
        "clock.inexact", "warn", "synchronize it with NTP"),
    # public URL
    "no public URL": Row(unset("DESCOPE_PUBLIC_URL"),
        "public_url.missing", "fail", "set DESCOPE_PUBLIC_URL=https://"),
    "a public URL on loopback": Row(env(PUBLIC_URL="http://localhost:8000"),
        "public_url.loopback_in_production", "fail", "the https origin that browsers use"),
    "the API as the public URL": Row(env(PUBLIC_URL="https://api.descope.com"),
        "public_url.descope", "fail", "the origin of your app"),
    "Descope as the public URL": Row(env(PUBLIC_URL="https://app.descope.com"),
        "public_url.descope", "fail", "the origin of your app"),
    # cookies
    "no prefix": Row(env(COOKIE_PREFIX=""), "cookies.plain_names", "warn", "remove DESCOPE_COOKIE_PREFIX"),
    "SameSite=None": Row(env(COOKIE_SAMESITE="none"),
        "cookies.samesite_none", "warn", "set DESCOPE_COOKIE_SAMESITE=lax"),
    "a public suffix": Row(env(PUBLIC_URL="https://shop.herokuapp.com", COOKIE_DOMAIN="herokuapp.com"),
        "cookies.public_suffix", "fail", "unset DESCOPE_COOKIE_DOMAIN"),
    # processes
    "four workers": Row(process(WEB_CONCURRENCY="4"),
        "refresh.uncoordinated", "warn", "set DESCOPE_REDIS_URL"),
    "four workers of uvicorn": Row(process(UVICORN_WORKERS="4"),
        "refresh.uncoordinated", "warn", "set DESCOPE_REDIS_URL"),
    "four workers of gunicorn": Row(process(GUNICORN_CMD_ARGS="--bind :80 --workers=4"),
        "refresh.uncoordinated", "warn", "set DESCOPE_REDIS_URL"),
    # Redis
    "a Redis that is away": Row(redis_without_server,
        "redis.unreachable", "fail", "check DESCOPE_REDIS_URL", is_redis=True),
    "a node of a Redis Cluster": Row(redis_cluster,
        "redis.cluster", "fail", "redis+cluster://", is_redis=True),
    "a replica": Row(redis_command("REPLICAOF", "127.0.0.1", "1"),
        "redis.read_only", "fail", "to the primary", is_redis=True),
    "a wrong password": Row(redis_command("PING", user=":wrong@"),
        "redis.refused", "fail", "check user and password", is_redis=True),
    "an ACL without scripts": Row(
        redis_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+get", user="app:pw@"),
        "redis.refused", "fail", "the user's ACL", is_redis=True),
    "eviction of every key": Row(redis_memory("allkeys-lru"),
        "redis.evicts", "warn", "set it to noeviction", is_redis=True),
    "eviction of expiring keys": Row(redis_memory("volatile-ttl"),
        "redis.evicts", "warn", "set it to noeviction", is_redis=True),
    "a malformed URL": Row(env(REDIS_URL="redis://127.0.0.1:port/0"),
        "redis.invalid_url", "fail", "DESCOPE_REDIS_URL is not a URL"),
    "a plain password": Row(
        both(env(REDIS_URL="redis://:pw@10.255.255.1/0"), without_redis),
        "redis.plain_password", "warn", "use rediss://"),
    "no redis package": Row(
        both(env(REDIS_URL="redis://127.0.0.1/0"), without_redis),
        "redis.not_installed", "fail", "pip install 'fastapi-descope[redis]'"),
    # the app
    "no plugin": Row(bare_app(), "middleware.missing", "fail", "use Descope(app)"),
    "two plugins": Row(app(lambda built: built.add_middleware(DescopeMiddleware, descope=Descope())),
        "middleware.repeated", "fail", "use one Descope per app"),
    "CORS inside": Row(app(cors(allow_origins=["https://app.example.com"]), first=True, protect=True),
        "middleware.wraps_cors", "fail", "add CORSMiddleware after Descope(app)"),
    "authentication outside": Row(
        app(lambda built: built.add_middleware(AuthenticationMiddleware, backend=DescopeAuthBackend())),
        "middleware.wrong_order", "fail", "add it before Descope(app)"),
    "trusted hosts without the public one": Row(
        app(hosts("localhost", "*.example.org")),
        "middleware.host_refused", "fail", "add it to allowed_hosts"),
    "middleware without routes": Row(
        bare_app(lambda built: built.add_middleware(DescopeMiddleware, descope=Descope())),
        "routes.missing", "fail", "app.include_router(descope.router)"),
    "the router twice": Row(app(lambda built: built.include_router(Descope().router, prefix="/auth")),
        "routes.repeated", "fail", "do not include it again"),
    "a callback of the app": Row(app(lambda built: built.get("/callback")(lambda: None), first=True),
        "routes.mistake", "fail", "GET /callback is handled by another route"),
    "an origin that is not trusted": Row(app(cors(allow_origins=[SPA])),
        "origins.not_trusted", "warn", "add it to DESCOPE_TRUSTED_ORIGINS"),
    "CORS for every origin": Row(app(cors(allow_origins=["*"])),
        "origins.every_sibling", "warn", "list the origins"),
    "CORS by a pattern for every origin": Row(app(cors(allow_origin_regex="https://.*")),
        "origins.every_sibling", "warn", "list the origins"),
    "CORS for every site": Row(both(env(COOKIE_SAMESITE="none"), app(cors(allow_origins=["*"]))),
        "origins.every_site", "fail", "list the origins"),
    "debug": Row(app(lambda built: setattr(built, "debug", True)), "app.debug", "fail", "remove it"),
    # the project
    "a file with another text": Row(no_token, "project.no_token", "fail", "does not contain a refresh token"),
    "a token that is used up": Row(spent_token,
        "project.token_refused", "fail", "it has expired, was used already"),
    "an audience that tokens lack": Row(project(Project(), AUDIENCE="crm"),
        "project.tokens_rejected", "fail", "set DESCOPE_AUDIENCE"),
    "renamed cookies": Row(project(Project(cookies=CookieSettings("sid", "rid"))),
        "project.cookies_renamed", "fail", "set DESCOPE_SESSION_COOKIE_NAME=sid"),
    "another cookie domain": Row(project(Project(cookies=CookieSettings(domain="example.com"))),
        "project.cookies_differ", "warn", "set DESCOPE_COOKIE_DOMAIN=example.com"),
    "cookies too large for a proxy": Row(
        project(Project(tenants=(SeedTenant("acme", "Acme"),), users=(BIG,), access_keys=())),
        "proxy.large_headers", "warn", "proxy_buffer_size 8k"),
}
# fmt: on


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Return a sound deployment."""
    monkeypatch.setitem(sys.modules, REDIS_STORE, importlib.import_module(REDIS_STORE))  # undoes a plant
    emulator = Emulator(signing_key=signing_key())
    return Deployment(tmp_path, {**SOUND, "DESCOPE_PROJECT_ID": emulator.project_id}, emulator)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a Redis that a plant may misconfigure."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


def problems(results: list[CheckResult]) -> list[CheckResult]:
    """Return the results that are not ``ok``."""
    return [result for result in results if result.severity != "ok"]


def assert_named(results: list[CheckResult], row: Row) -> None:
    """Check that a result names the misconfiguration and its remedy."""
    found = [result for result in results if result.id == row.finding]
    assert found, f"found only {problems(results)}"
    assert {result.severity.value for result in found} == {row.severity}
    assert any(row.remedy in result.message for result in found), found
    assert all(result.as_json()["docs"].endswith(f"/reference/cli/#{row.finding}") for result in found)


def with_redis(*, wanted: bool) -> list[str]:
    """Return the names of the rows with or without a Redis."""
    return [name for name, row in ROWS.items() if row.is_redis is wanted]


@pytest.mark.parametrize("name", with_redis(wanted=False))
async def test_the_doctor_names_a_misconfiguration(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By id and severity, with the remedy."""
    ROWS[name].plant(deployment)
    assert_named(await deployment.examine(monkeypatch), ROWS[name])


@pytest.mark.redis
@pytest.mark.parametrize("name", with_redis(wanted=True))
async def test_the_doctor_names_a_misconfiguration_of_redis(
    deployment: Deployment, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The same Redis is green before it is misconfigured."""
    deployment.redis.append(redis)
    deployment.set(REDIS_URL=redis.url)
    assert problems(await deployment.examine(monkeypatch)) == []
    ROWS[name].plant(deployment)
    assert_named(await deployment.examine(monkeypatch), ROWS[name])


@pytest.mark.redis
async def test_an_eviction_policy_without_a_limit_of_memory(
    deployment: Deployment, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis evicts nothing then."""
    deployment.redis.append(redis)
    redis_command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")(deployment)
    assert problems(await deployment.examine(monkeypatch)) == []


@pytest.mark.redis
async def test_a_redis_user_who_may_not_read_its_memory_settings(
    deployment: Deployment, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor does not know the policy, and does not guess one."""
    deployment.redis.append(redis)
    redis_memory("allkeys-lru")(deployment)
    rights = ("on", ">pw", "~*", "+@all", "-info")
    redis_command("ACL", "SETUSER", "app", *rights, user="app:pw@")(deployment)
    assert problems(await deployment.examine(monkeypatch)) == []


async def test_an_unknown_project_has_one_cause(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the region nor a proxy explains it: the id has no region, and Descope has responded."""
    deployment.set(PROJECT_ID="P2" + "x" * 26)
    process(HTTPS_PROXY="http://proxy:3128")(deployment)
    assert [result.id for result in problems(await deployment.examine(monkeypatch))] == [
        "api.unknown_project"
    ]


async def test_the_file_of_the_webhook_secret_is_judged_too(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader can end the sessions of every user."""
    file = deployment.folder / "webhook"
    file.write_text("a secret of more than sixteen characters".replace(" ", "-"))
    file.chmod(0o644)
    deployment.set(WEBHOOK_SECRET_FILE=str(file))

    (problem,) = problems(await deployment.examine(monkeypatch))
    assert problem.id == "settings.readable_secret"
    assert "DESCOPE_WEBHOOK_SECRET_FILE" in problem.message


async def test_a_secret_that_a_container_mounts_is_not_judged(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every user of the container can read it."""
    secret_for_everyone(deployment)
    deployment.set(AUTH_MANAGEMENT_KEY_FILE=f"/run/..{deployment.folder}/key")
    deployment.emulator = Emulator(Project(auth_management_key="hush"), signing_key=signing_key())
    assert problems(await deployment.examine(monkeypatch)) == []


async def test_a_secret_that_is_not_read_is_not_judged(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app passes the setting in code, so the file of the variable may be absent."""

    def build() -> FastAPI:
        built = FastAPI()
        Descope(built, settings=DescopeSettings(auth_management_key="hush"))
        return built

    deployment.build_app = build
    deployment.emulator = Emulator(Project(auth_management_key="hush"), signing_key=signing_key())
    deployment.set(AUTH_MANAGEMENT_KEY_FILE=str(deployment.folder / "absent"))
    assert problems(await deployment.examine(monkeypatch)) == []


async def test_a_sound_deployment_is_green(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a plant, with an app that has every middleware, and with a session of the project."""
    deployment.set(TRUSTED_ORIGINS=SPA)
    file = deployment.folder / "key"
    file.write_text("hush")
    file.chmod(0o600)
    deployment.set(AUTH_MANAGEMENT_KEY_FILE=str(file))

    def every_middleware(built: FastAPI) -> None:
        cors(allow_origins=[SPA], allow_origin_regex=r"https://\w+\.spa\.example\.com")(built)
        hosts("*.example.com", "localhost")(built)

    app(every_middleware)(deployment)
    deployment.emulator = Emulator(Project(auth_management_key="hush"), signing_key=signing_key())
    deployment.refresh_token = deployment.emulator.issue("ada@acme.example", "acme").refresh_jwt

    assert problems(await deployment.examine(monkeypatch)) == []
