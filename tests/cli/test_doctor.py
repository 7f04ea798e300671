"""The ``doctor`` command: its checks, their severity, and the remedy in each message."""

import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from fastapi_descope import Descope, DescopeMiddleware, DescopeSettings
from fastapi_descope._cli.checks import CheckResult, Severity
from fastapi_descope._cli.doctor import Doctor
from fastapi_descope._config.env import UnknownSettingWarning
from fastapi_descope.emulator import Emulator
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio

API = "http://127.0.0.1:8787"
PROJECT = "P2" + "d" * 26

NAMES = (
    "every other deployment on this host needs other names; after a change of a name, the prefix or the"
    " domain every user signs in again"
)

Variables = Callable[..., None]


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    """An emulator that stands for Descope's API."""
    return Emulator()


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> Variables:
    """Return a function that sets ``DESCOPE_*`` variables, with the emulator as the API by default."""

    def set_variables(**values: str) -> None:
        for name, value in {"PROJECT_ID": emulator.project_id, "BASE_URL": API, **values}.items():
            monkeypatch.setenv(f"DESCOPE_{name}", value)

    return set_variables


@pytest.fixture
def without_redis_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the package behave as without the extra ``redis``."""
    monkeypatch.setitem(sys.modules, "fastapi_descope._refresh.redis.store", None)


def ticking() -> Callable[[], float]:
    """Return a clock on which a call takes a quarter of a second."""
    times: Iterator[float] = iter((10.0, 10.25))
    return lambda: next(times)


async def run_doctor(emulator: Emulator, app: FastAPI | None = None, **variables: str) -> list[CheckResult]:
    """Return all results, with the emulator as Descope's API."""
    transport = httpx.ASGITransport(emulator)
    doctor = Doctor(app, variables=variables, transport=transport, monotonic=ticking())
    return list(await doctor.run_checks())


def results_of(results: list[CheckResult], subject: str) -> list[tuple[Severity, str]]:
    """Return the severity and message of the results for a subject."""
    return [(result.severity, result.message) for result in results if result.subject == subject]


def app_with_plugin(**values: object) -> FastAPI:
    """Return an app with the plugin, whose settings use the emulator by default."""
    all_values: dict[str, object] = {"project_id": PROJECT, "base_url": API, **values}
    app = FastAPI()
    settings = DescopeSettings(**all_values)  # type: ignore[arg-type] # any setting, by keyword
    Descope(app, settings=settings)
    return app


async def test_a_complete_configuration(emulator: Emulator, variables: Variables) -> None:
    """One line per subject, in order, for an app that is ready for production except for its API (EM-04)."""
    variables(PUBLIC_URL="https://app.example", COOKIE_PREFIX="__Host-")
    reachable = f"{API} has 1 usable key(s) for {emulator.project_id}, in 250 ms"
    emulator_warning = "the API is an emulator on this machine; unset DESCOPE_BASE_URL in production"
    refresh = "refreshes are coordinated in one process; with several processes, set DESCOPE_REDIS_URL"
    assert await run_doctor(emulator) == [
        CheckResult("settings.valid", Severity.OK, "the DESCOPE_* variables are valid"),
        CheckResult("api.reachable", Severity.OK, reachable),
        CheckResult("api.emulator_in_production", Severity.FAIL, emulator_warning),
        CheckResult("public_url.valid", Severity.OK, "https://app.example"),
        CheckResult("cookies.names", Severity.OK, f"__Host-DS and __Host-DSR; {NAMES}"),
        CheckResult(
            "project.not_compared",
            Severity.OK,
            "its cookie settings were not compared; to do so, add --refresh-token-file",
        ),
        CheckResult("refresh.one_process", Severity.OK, refresh),
    ]


def test_a_result_is_printed_in_columns() -> None:
    """Severity, subject and message."""
    assert str(CheckResult("api.reachable", Severity.OK, "fine")) == "ok    api         fine"
    assert str(CheckResult("public_url.missing", Severity.FAIL, "bad")) == "fail  public url  bad"


async def test_descopes_own_api(emulator: Emulator, variables: Variables) -> None:
    """There is no warning for an API on another machine."""
    variables(BASE_URL="https://api.descope.com")
    keys = httpx.MockTransport(lambda _: httpx.Response(200, json={"keys": list(emulator.public_keys)}))
    results = await Doctor(variables={}, transport=keys, monotonic=ticking()).run_checks()
    reachable = f"https://api.descope.com has 1 usable key(s) for {emulator.project_id}, in 250 ms"
    assert results_of(list(results), "api") == [(Severity.OK, reachable)]


async def test_wrong_settings(emulator: Emulator, variables: Variables) -> None:
    """Each wrong variable has its own line. Without settings there are no further checks."""
    variables(LEEWAY="-1", PUBLIC_URL="http://app.example")
    assert await run_doctor(emulator) == [
        CheckResult(
            "settings.invalid",
            Severity.FAIL,
            "DESCOPE_PUBLIC_URL: plain http is allowed for localhost, 127.0.0.1 and [::1] only; use https",
        ),
        CheckResult("settings.invalid", Severity.FAIL, "DESCOPE_LEEWAY: expected whole seconds, 0 to 60"),
    ]


async def test_a_missing_setting(emulator: Emulator) -> None:
    """The required variable is named, and where to find its value."""
    ((severity, text),) = results_of(await run_doctor(emulator), "settings")
    assert severity is Severity.FAIL
    assert text.startswith("DESCOPE_PROJECT_ID is missing.")


async def test_an_unknown_variable(emulator: Emulator, variables: Variables) -> None:
    """The warning suggests the nearest name."""
    variables(PUBLIC_ULR="https://app.example")
    ((severity, text),) = results_of(await run_doctor(emulator), "settings")
    assert severity is Severity.WARN
    assert "did you mean DESCOPE_PUBLIC_URL?" in text


async def test_an_unknown_variable_with_an_app(emulator: Emulator, variables: Variables) -> None:
    """The app's settings come from the same environment, so the warning is a result there too."""
    variables(PUBLIC_ULR="https://app.example")
    app = FastAPI()
    with pytest.warns(UnknownSettingWarning):
        Descope(app)
    used, (severity, text) = results_of(await run_doctor(emulator, app), "settings")
    assert used == (Severity.OK, "using the settings of the app")
    assert severity is Severity.WARN
    assert "did you mean DESCOPE_PUBLIC_URL?" in text


async def test_an_unknown_project(emulator: Emulator, variables: Variables) -> None:
    """The API responds but does not know the project."""
    variables(PROJECT_ID=PROJECT)
    assert results_of(await run_doctor(emulator), "api") == [
        (
            Severity.FAIL,
            f"{API} has no such project (status 404); check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL",
        )
    ]


async def test_a_base_url_that_is_not_descopes(emulator: Emulator, variables: Variables) -> None:
    """Another service responds."""
    variables()
    emulator.faults.add("keys", body=b"<html>a portal</html>")
    ((severity, text),) = results_of(await run_doctor(emulator), "api")
    assert severity is Severity.FAIL
    assert text.startswith(f"{API} did not return a JWKS (")
    assert text.endswith("); check that DESCOPE_BASE_URL is the URL of Descope's API")


async def test_an_unreachable_api(emulator: Emulator, variables: Variables) -> None:
    """The message suggests starting the emulator, because the API is on this machine."""
    variables()
    emulator.faults.add("keys", status=503)
    text = f"no emulator responds at {API}; start it with: fastapi-descope emulator"
    assert results_of(await run_doctor(emulator), "api") == [(Severity.FAIL, text)]


async def test_no_public_url(emulator: Emulator, variables: Variables) -> None:
    """Without one, the app is in development mode."""
    variables()
    text = "not set, so logins work on this machine only; set DESCOPE_PUBLIC_URL=https://<your host>"
    assert results_of(await run_doctor(emulator), "public_url") == [(Severity.FAIL, text)]


async def test_a_public_url_on_loopback(emulator: Emulator, variables: Variables) -> None:
    """It is a warning only, and cookies without Secure cannot have a prefix."""
    variables(PUBLIC_URL="http://localhost:8000")
    results = await run_doctor(emulator)
    text = "http://localhost:8000 is a loopback URL, for development only"
    assert results_of(results, "public_url") == [(Severity.WARN, text)]
    assert results_of(results, "cookies") == [(Severity.OK, f"DS and DSR; {NAMES}")]


@pytest.mark.parametrize("domain", [{}, {"COOKIE_DOMAIN": "example.org"}])
async def test_plain_cookie_names_over_https(
    emulator: Emulator, variables: Variables, domain: dict[str, str]
) -> None:
    """They are a deliberate choice, which the doctor explains."""
    variables(PUBLIC_URL="https://app.example.org", COOKIE_PREFIX="", **domain)
    text = (
        "a sibling domain can plant DS and DSR; remove DESCOPE_COOKIE_PREFIX unless a Descope front-end SDK"
        " must read them"
    )
    assert results_of(await run_doctor(emulator), "cookies") == [(Severity.WARN, text)]


@pytest.mark.parametrize(
    ("values", "prefix"),
    [
        ({"PUBLIC_URL": "https://app.example.org"}, "__Host-"),
        ({"PUBLIC_URL": "https://app.example.org", "COOKIE_DOMAIN": "example.org"}, "__Secure-"),
        ({"COOKIE_SECURE": "false"}, ""),
    ],
)
async def test_cookie_names_are_shown(
    emulator: Emulator, variables: Variables, values: dict[str, str], prefix: str
) -> None:
    """With what a change of them costs, and what other deployments have to do."""
    variables(**values)
    text = f"{prefix}DS and {prefix}DSR; {NAMES}"
    assert results_of(await run_doctor(emulator), "cookies") == [(Severity.OK, text)]


async def test_former_cookies(emulator: Emulator, variables: Variables) -> None:
    """The doctor lists what is deleted, and how long the setting is needed."""
    variables(PUBLIC_URL="https://app.example.org", FORMER_COOKIES="DS,DS;Domain=example.org")
    text = (
        "refreshes, sign-ins and logouts delete DS, DS; Domain=example.org; keep them in"
        " DESCOPE_FORMER_COOKIES for as long as a refresh token lives"
    )
    assert results_of(await run_doctor(emulator), "cookies")[1:] == [(Severity.OK, text)]


async def test_samesite_none(emulator: Emulator, variables: Variables) -> None:
    """SameSite=None gives a warning."""
    variables(PUBLIC_URL="https://app.example", COOKIE_PREFIX="__Host-", COOKIE_SAMESITE="none")
    ok, warning = results_of(await run_doctor(emulator), "cookies")
    assert ok == (Severity.OK, f"__Host-DS and __Host-DSR; {NAMES}")
    assert warning[0] is Severity.WARN
    assert warning[1].startswith("with SameSite=None, browsers send them with requests from every site;")


@pytest.mark.parametrize(("workers", "severity"), [("", "ok"), ("1", "ok"), ("4", "warn")])
async def test_several_processes(
    emulator: Emulator, variables: Variables, workers: str, severity: str
) -> None:
    """Processes without a shared store end each other's sessions if refresh tokens rotate."""
    variables()
    ((result, text),) = results_of(await run_doctor(emulator, WEB_CONCURRENCY=workers), "refresh")
    assert result == severity
    assert text.endswith("set DESCOPE_REDIS_URL")


@pytest.mark.redis
async def test_a_reachable_redis(emulator: Emulator, variables: Variables, redis_server: RedisServer) -> None:
    """It passes for any number of processes, and the check leaves no key in it."""
    variables(REDIS_URL=redis_server.url)
    results = await run_doctor(emulator, WEB_CONCURRENCY="4")
    text = "reachable (one server): refreshes are coordinated across processes"
    assert results_of(results, "redis") == [(Severity.OK, text)]
    assert results_of(results, "refresh") == []
    assert redis_server.keys() == []


@pytest.mark.redis
async def test_an_unreachable_redis(
    emulator: Emulator, variables: Variables, redis_victim: RedisServer
) -> None:
    """The check fails. The message contains no part of the URL."""
    variables(REDIS_URL=redis_victim.url.replace("//", "//:canary@"))
    redis_victim.stop()
    ((severity, text),) = results_of(await run_doctor(emulator), "redis")
    assert severity is Severity.FAIL
    assert text.startswith("not usable (")
    assert text.endswith("), so processes do not coordinate refreshes; check DESCOPE_REDIS_URL")
    assert "canary" not in text


async def test_a_malformed_redis_url(emulator: Emulator, variables: Variables) -> None:
    """A URL that redis-py cannot parse fails the check without exposing the URL."""
    variables(REDIS_URL="redis://127.0.0.1:canary/0")
    ((severity, text),) = results_of(await run_doctor(emulator), "redis")
    assert severity is Severity.FAIL
    assert "DESCOPE_REDIS_URL" in text
    assert "canary" not in text


@pytest.mark.usefixtures("without_redis_package")
async def test_redis_is_not_installed(emulator: Emulator, variables: Variables) -> None:
    """The message names the extra to install."""
    variables(REDIS_URL="redis://127.0.0.1/0")
    text = (
        "DESCOPE_REDIS_URL is set, and the redis package is not installed:"
        " pip install 'fastapi-descope[redis]'"
    )
    assert results_of(await run_doctor(emulator), "redis") == [(Severity.FAIL, text)]


@pytest.mark.usefixtures("without_redis_package")  # so that no test connects to another machine
@pytest.mark.parametrize(
    ("url", "is_reported"),
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
async def test_an_unencrypted_redis_password(
    emulator: Emulator,
    variables: Variables,
    url: str,
    is_reported: bool,
) -> None:
    """A warning if it is sent to another machine without TLS."""
    variables(REDIS_URL=url)
    texts = [
        text
        for severity, text in results_of(await run_doctor(emulator), "redis")
        if severity is Severity.WARN
    ]
    warning = "the password is sent unencrypted; use rediss:// unless the network is private"
    assert texts == [warning] * is_reported


async def test_an_app_with_the_plugin(emulator: Emulator) -> None:
    """The app's own settings are checked, and its login paths are listed."""
    results = await run_doctor(emulator, app_with_plugin(project_id=emulator.project_id))
    assert results_of(results, "settings") == [(Severity.OK, "using the settings of the app")]
    assert results_of(results, "middleware") == [(Severity.OK, "DescopeMiddleware is installed")]
    text = "login at /login/sso, callback at /callback"
    assert results_of(results, "routes") == [(Severity.OK, text)]


async def test_an_app_without_the_plugin(emulator: Emulator, variables: Variables) -> None:
    """Middleware and routes are reported missing, with the fix. The environment's settings are checked."""
    variables()
    app = FastAPI()
    app.add_middleware(CORSMiddleware)
    results = await run_doctor(emulator, app)
    assert results_of(results, "settings") == [(Severity.OK, "the DESCOPE_* variables are valid")]
    assert results_of(results, "middleware") == [
        (
            Severity.FAIL,
            "DescopeMiddleware is missing; use Descope(app), or app.add_middleware(DescopeMiddleware, ...)",
        )
    ]
    assert results_of(results, "routes") == [
        (
            Severity.FAIL,
            "the login routes are missing; use Descope(app), or app.include_router(descope.router)",
        )
    ]


async def test_an_app_with_the_middleware_only(emulator: Emulator) -> None:
    """Logins need the routes too."""
    app = FastAPI()
    settings = DescopeSettings(project_id=PROJECT, base_url=API)
    app.add_middleware(DescopeMiddleware, descope=Descope(settings=settings))
    results = await run_doctor(emulator, app)
    assert results_of(results, "middleware")[0][0] is Severity.OK
    assert results_of(results, "routes")[0][0] is Severity.FAIL


def _protected(app: FastAPI, settings: DescopeSettings) -> None:
    Descope(app, settings=settings, protect=True)


def _explicit(app: FastAPI, settings: DescopeSettings) -> None:
    descope = Descope(settings=settings)
    app.include_router(descope.router)
    app.add_middleware(DescopeMiddleware, descope=descope)


@pytest.mark.parametrize("install", [_protected, _explicit])
async def test_cors_middleware_inside_the_plugins(
    emulator: Emulator, install: Callable[[FastAPI, DescopeSettings], None]
) -> None:
    """CORSMiddleware that was added first does not see our 401, if DescopeMiddleware sends it."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware)
    install(app, DescopeSettings(project_id=PROJECT, base_url=API))
    assert results_of(await run_doctor(emulator, app), "middleware") == [
        (
            Severity.FAIL,
            (
                "DescopeMiddleware wraps CORSMiddleware, so browsers hide our 401 from scripts;"
                " add CORSMiddleware after Descope(app): the middleware added last is the outermost"
            ),
        )
    ]


async def test_cors_middleware_between_the_plugins_two(emulator: Emulator) -> None:
    """Without ``protect`` the innermost middleware sends our 401, so CORSMiddleware sees it."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware)
    Descope(app, settings=DescopeSettings(project_id=PROJECT, base_url=API))
    results = await run_doctor(emulator, app)
    assert results_of(results, "middleware") == [(Severity.OK, "DescopeMiddleware is installed")]


async def test_cors_middleware_outside_the_plugins(emulator: Emulator) -> None:
    """CORSMiddleware that was added last passes."""
    app = app_with_plugin()
    app.add_middleware(CORSMiddleware)
    results = await run_doctor(emulator, app)
    assert results_of(results, "middleware") == [(Severity.OK, "DescopeMiddleware is installed")]
