"""The doctor: what it finds, how bad it says that is, and the fix in the same line."""

import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from fastapi_descope import Descope, DescopeMiddleware, DescopeSettings
from fastapi_descope._cli.checks import CheckResult, Severity
from fastapi_descope._cli.doctor import Doctor
from fastapi_descope.emulator import Emulator
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio

API = "http://127.0.0.1:8787"
PROJECT = "P2" + "d" * 26

Variables = Callable[..., None]


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    """A Descope."""
    return Emulator()


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> Variables:
    """Sets ``DESCOPE_*`` variables beside those that make the emulator the API."""

    def set_variables(**values: str) -> None:
        for name, value in {"PROJECT_ID": emulator.project_id, "BASE_URL": API, **values}.items():
            monkeypatch.setenv(f"DESCOPE_{name}", value)

    return set_variables


@pytest.fixture
def without_redis_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra ``redis``."""
    monkeypatch.setitem(sys.modules, "fastapi_descope._refresh.redis.store", None)


def ticking() -> Callable[[], float]:
    """A clock on which a call takes a quarter of a second."""
    times: Iterator[float] = iter((10.0, 10.25))
    return lambda: next(times)


async def examine(emulator: Emulator, app: FastAPI | None = None, **variables: str) -> list[CheckResult]:
    """All findings, with the emulator as Descope's API."""
    transport = httpx.ASGITransport(emulator)
    doctor = Doctor(app, variables=variables, transport=transport, monotonic=ticking())
    return list(await doctor.examine())


def about(findings: list[CheckResult], subject: str) -> list[tuple[Severity, str]]:
    """What is said of a subject."""
    return [(found.severity, found.text) for found in findings if found.subject == subject]


def installed(**values: object) -> FastAPI:
    """An app with the plugin, and with settings that point to the emulator unless told otherwise."""
    given: dict[str, object] = {"project_id": PROJECT, "base_url": API, **values}
    app = FastAPI()
    settings = DescopeSettings(**given)  # type: ignore[arg-type] # any setting, by keyword
    Descope(app, settings=settings)
    return app


async def test_all_well(emulator: Emulator, variables: Variables) -> None:
    """One line for each subject, in order, for an app set up for production but for its API (EM-04)."""
    variables(PUBLIC_URL="https://app.example", COOKIE_PREFIX="__Host-")
    seen = f"{API} has 1 usable key(s) for {emulator.project_id}, in 250 ms"
    emulation = "the API is on this machine: an emulator; unset DESCOPE_BASE_URL in production"
    together = "refreshes are coordinated within a process; with several, set DESCOPE_REDIS_URL"
    assert await examine(emulator) == [
        CheckResult(Severity.OK, "settings", "the DESCOPE_* variables are well-formed"),
        CheckResult(Severity.OK, "api", seen),
        CheckResult(Severity.FAIL, "api", emulation),
        CheckResult(Severity.OK, "public url", "https://app.example"),
        CheckResult(Severity.OK, "cookies", "__Host-DS and __Host-DSR"),
        CheckResult(Severity.OK, "refresh", together),
    ]


def test_as_text() -> None:
    """Verdict, subject and text in columns."""
    assert str(CheckResult(Severity.OK, "api", "fine")) == "ok    api         fine"
    assert str(CheckResult(Severity.FAIL, "public url", "bad")) == "fail  public url  bad"


async def test_descope_itself(emulator: Emulator, variables: Variables) -> None:
    """An API that is not on this machine is nothing to warn of."""
    variables(BASE_URL="https://api.descope.com")
    keys = httpx.MockTransport(lambda _: httpx.Response(200, json={"keys": list(emulator.public_keys)}))
    findings = await Doctor(variables={}, transport=keys, monotonic=ticking()).examine()
    seen = f"https://api.descope.com has 1 usable key(s) for {emulator.project_id}, in 250 ms"
    assert about(list(findings), "api") == [(Severity.OK, seen)]


async def test_settings_that_are_wrong(emulator: Emulator, variables: Variables) -> None:
    """Each wrong variable is a line of its own; without settings there is nothing else to examine."""
    variables(LEEWAY="-1", PUBLIC_URL="http://app.example")
    assert await examine(emulator) == [
        CheckResult(
            Severity.FAIL,
            "settings",
            "DESCOPE_PUBLIC_URL: plain http is allowed for localhost, 127.0.0.1 and [::1] only; use https",
        ),
        CheckResult(Severity.FAIL, "settings", "DESCOPE_LEEWAY: expected whole seconds, 0 to 60"),
    ]


async def test_a_setting_that_is_missing(emulator: Emulator) -> None:
    """The one that must be there is named, with where to get it."""
    ((verdict, text),) = about(await examine(emulator), "settings")
    assert verdict is Severity.FAIL
    assert text.startswith("DESCOPE_PROJECT_ID is missing.")


async def test_a_variable_that_nothing_reads(emulator: Emulator, variables: Variables) -> None:
    """A typing error is pointed out with the nearest name."""
    variables(PUBLIC_ULR="https://app.example")
    ((verdict, text),) = about(await examine(emulator), "settings")
    assert verdict is Severity.WARN
    assert "did you mean DESCOPE_PUBLIC_URL?" in text


async def test_no_such_project(emulator: Emulator, variables: Variables) -> None:
    """The API answers and knows nothing of the project."""
    variables(PROJECT_ID=PROJECT)
    assert about(await examine(emulator), "api") == [
        (
            Severity.FAIL,
            f"{API} knows no such project (status 404); check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL",
        )
    ]


async def test_no_api_at_all(emulator: Emulator, variables: Variables) -> None:
    """Something answers, and it is not Descope."""
    variables()
    emulator.faults.add("keys", body=b"<html>a portal</html>")
    ((verdict, text),) = about(await examine(emulator), "api")
    assert verdict is Severity.FAIL
    assert text.startswith(f"{API} did not answer with a key set (")
    assert text.endswith("); is DESCOPE_BASE_URL Descope's API?")


async def test_out_of_reach(emulator: Emulator, variables: Variables) -> None:
    """Nothing answers: the way there is to be looked at."""
    variables()
    emulator.faults.add("keys", status=503)
    fix = "cannot be reached; check DESCOPE_BASE_URL, and that this host may connect to it"
    assert about(await examine(emulator), "api") == [(Severity.FAIL, f"{API} {fix}")]


async def test_no_public_url(emulator: Emulator, variables: Variables) -> None:
    """Without one, production logins do not work."""
    variables()
    text = "not set, so signing in works on loopback only; set DESCOPE_PUBLIC_URL=https://<your host>"
    assert about(await examine(emulator), "public url") == [(Severity.WARN, text)]


async def test_a_public_url_on_loopback(emulator: Emulator, variables: Variables) -> None:
    """Development is no fault, and cookies without Secure can have no prefix."""
    variables(PUBLIC_URL="http://localhost:8000")
    findings = await examine(emulator)
    text = "http://localhost:8000 is this machine: for development only"
    assert about(findings, "public url") == [(Severity.WARN, text)]
    assert about(findings, "cookies") == [(Severity.OK, "DS and DSR")]


@pytest.mark.parametrize(
    ("domain", "prefix"), [({}, "__Host-"), ({"COOKIE_DOMAIN": "example.org"}, "__Secure-")]
)
async def test_cookies_without_a_prefix(
    emulator: Emulator, variables: Variables, domain: dict[str, str], prefix: str
) -> None:
    """The strongest prefix that fits is recommended."""
    variables(PUBLIC_URL="https://app.example.org", **domain)
    ((verdict, text),) = about(await examine(emulator), "cookies")
    assert verdict is Severity.WARN
    assert f"set DESCOPE_COOKIE_PREFIX={prefix} unless" in text


async def test_cookies_that_cannot_have_a_prefix(emulator: Emulator, variables: Variables) -> None:
    """Nothing is recommended that the settings would refuse."""
    variables(COOKIE_SECURE="false")
    assert about(await examine(emulator), "cookies") == [(Severity.OK, "DS and DSR")]


async def test_cookies_for_every_site(emulator: Emulator, variables: Variables) -> None:
    """SameSite=None is a decision worth a second thought."""
    variables(PUBLIC_URL="https://app.example", COOKIE_PREFIX="__Host-", COOKIE_SAMESITE="none")
    ok, loose = about(await examine(emulator), "cookies")
    assert ok == (Severity.OK, "__Host-DS and __Host-DSR")
    assert loose[0] is Severity.WARN
    assert loose[1].startswith("SameSite=None sends them with every site's requests; use lax")


@pytest.mark.parametrize(("workers", "verdict"), [("", "ok"), ("1", "ok"), ("4", "warn")])
async def test_several_processes(
    emulator: Emulator, variables: Variables, workers: str, verdict: str
) -> None:
    """Processes without a shared store end each other's sessions where refresh tokens rotate."""
    variables()
    ((seen, text),) = about(await examine(emulator, WEB_CONCURRENCY=workers), "refresh")
    assert seen == verdict
    assert text.endswith("set DESCOPE_REDIS_URL")


@pytest.mark.redis
async def test_redis(emulator: Emulator, variables: Variables, redis_server: RedisServer) -> None:
    """A Redis that answers is well, however many processes there are; nothing is left in it."""
    variables(REDIS_URL=redis_server.url)
    findings = await examine(emulator, WEB_CONCURRENCY="4")
    text = "answers: refreshes are coordinated across processes"
    assert about(findings, "redis") == [(Severity.OK, text)]
    assert about(findings, "refresh") == []
    assert redis_server.keys() == []


@pytest.mark.redis
async def test_redis_is_away(emulator: Emulator, variables: Variables, redis_victim: RedisServer) -> None:
    """One that does not answer fails; the reason holds no part of its URL."""
    variables(REDIS_URL=redis_victim.url.replace("//", "//:canary@"))
    redis_victim.stop()
    ((verdict, text),) = about(await examine(emulator), "redis")
    assert verdict is Severity.FAIL
    assert text.startswith("not usable (")
    assert text.endswith("), so each process goes on alone; check DESCOPE_REDIS_URL")
    assert "canary" not in text


async def test_a_redis_url_that_is_none(emulator: Emulator, variables: Variables) -> None:
    """What redis-py cannot read is a finding like any other."""
    variables(REDIS_URL="redis://127.0.0.1:canary/0")
    ((verdict, text),) = about(await examine(emulator), "redis")
    assert verdict is Severity.FAIL
    assert "DESCOPE_REDIS_URL" in text
    assert "canary" not in text


@pytest.mark.usefixtures("without_redis_package")
async def test_redis_is_not_installed(emulator: Emulator, variables: Variables) -> None:
    """Without the extra the fix is its name."""
    variables(REDIS_URL="redis://127.0.0.1/0")
    text = (
        "DESCOPE_REDIS_URL is set, and the redis package is not installed:"
        " pip install 'fastapi-descope[redis]'"
    )
    assert about(await examine(emulator), "redis") == [(Severity.FAIL, text)]


@pytest.mark.usefixtures("without_redis_package")  # so that no test knocks at another machine
@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("redis://:pw@10.255.255.1/0", True),
        ("redis://user:p%40w@[2001:db8::1]:6379", True),
        ("redis://10.255.255.1/0", False),
        ("redis://user@10.255.255.1/0", False),
        ("redis://:pw@127.0.0.1:1/0", False),
        ("redis://:pw@[::1]:1", False),
        ("redis://:pw@localhost:1", False),
        ("rediss://:pw@10.255.255.1/0", False),
        ("unix:///nowhere/redis.sock", False),
    ],
)
async def test_passwords_in_the_clear(
    emulator: Emulator,
    variables: Variables,
    url: str,
    is_open: bool,  # noqa: FBT001 - a parameter of a test
) -> None:
    """One that goes to another machine over plain redis is warned of; here and under TLS there is no need."""
    variables(REDIS_URL=url)
    texts = [text for verdict, text in about(await examine(emulator), "redis") if verdict is Severity.WARN]
    warning = "the password travels in the clear; use rediss:// unless the network is private"
    assert texts == [warning] * is_open


async def test_an_app(emulator: Emulator) -> None:
    """An app is examined with its own settings; its sign-in paths are listed."""
    findings = await examine(emulator, installed(project_id=emulator.project_id))
    assert about(findings, "settings") == [(Severity.OK, "those of the app")]
    assert about(findings, "middleware") == [(Severity.OK, "DescopeMiddleware is installed")]
    text = "/login/sso begins a sign-in, /callback ends it"
    assert about(findings, "routes") == [(Severity.OK, text)]


async def test_an_app_without_the_plugin(emulator: Emulator, variables: Variables) -> None:
    """Middleware and routes are missed, each with the way to add it; the environment is examined."""
    variables()
    app = FastAPI()
    app.add_middleware(CORSMiddleware)
    findings = await examine(emulator, app)
    assert about(findings, "settings") == [(Severity.OK, "the DESCOPE_* variables are well-formed")]
    assert about(findings, "middleware") == [
        (
            Severity.FAIL,
            "DescopeMiddleware is missing; use Descope(app), or app.add_middleware(DescopeMiddleware, ...)",
        )
    ]
    assert about(findings, "routes") == [
        (
            Severity.FAIL,
            "the sign-in routes are missing; use Descope(app), or app.include_router(descope.router)",
        )
    ]


async def test_an_app_with_half_of_it(emulator: Emulator) -> None:
    """Middleware alone is not enough to sign in."""
    app = FastAPI()
    settings = DescopeSettings(project_id=PROJECT, base_url=API)
    app.add_middleware(DescopeMiddleware, descope=Descope(settings=settings))
    findings = await examine(emulator, app)
    assert about(findings, "middleware")[0][0] is Severity.OK
    assert about(findings, "routes")[0][0] is Severity.FAIL


async def test_cors_inside(emulator: Emulator) -> None:
    """CORS that was added before the plugin never sees our refusals."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware)
    Descope(app, settings=DescopeSettings(project_id=PROJECT, base_url=API))
    assert about(await examine(emulator, app), "middleware") == [
        (
            Severity.FAIL,
            (
                "CORSMiddleware is inside DescopeMiddleware, so browsers hide our 401 from scripts;"
                " add it after Descope(app): the last one added is the outermost"
            ),
        )
    ]


async def test_cors_outside(emulator: Emulator) -> None:
    """Added after the plugin it is where it should be."""
    app = installed()
    app.add_middleware(CORSMiddleware)
    findings = await examine(emulator, app)
    assert about(findings, "middleware") == [(Severity.OK, "DescopeMiddleware is installed")]
