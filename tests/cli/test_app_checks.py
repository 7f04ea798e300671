"""Checks of how the plugin is installed in an app."""

from collections.abc import Sequence

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from fastapi_descope import Descope, DescopeMiddleware, DescopeSettings
from fastapi_descope._cli.app_checks import AppChecks
from fastapi_descope._cli.checks import CheckResult, Severity

KNOWN = "https://known.example.com"
SPA = "https://spa.example.com"


def _descope(app: FastAPI | None = None, *, trusted_origins: Sequence[str] = ()) -> Descope:
    settings = DescopeSettings(
        project_id="P2" + "d" * 26, public_url="https://app.example.com", trusted_origins=trusted_origins
    )
    return Descope(app, settings=settings)


def _results(app: FastAPI) -> list[CheckResult]:
    return list(AppChecks(app).results())


def _severities(app: FastAPI) -> list[tuple[str, str]]:
    return [(result.severity.value, result.subject) for result in _results(app)]


def test_an_app_may_mount_the_app_with_the_plugin() -> None:
    """Results name the mount path. The settings are those of the mounted app."""
    app, inner = FastAPI(), FastAPI()
    descope = _descope(inner)
    app.mount("/crm", inner)

    assert _results(app) == [
        CheckResult(
            "middleware.installed", Severity.OK, "DescopeMiddleware is installed (in the app mounted at /crm)"
        ),
        CheckResult(
            "routes.included",
            Severity.OK,
            "login at /login/sso, callback at /callback (in the app mounted at /crm)",
        ),
    ]
    assert AppChecks(app).settings is descope.settings


def test_all_mounted_apps_are_checked() -> None:
    """An app with the middleware but without the routes fails."""
    app, whole, half = FastAPI(), FastAPI(), FastAPI()
    _descope(whole)
    half.add_middleware(DescopeMiddleware, descope=_descope())
    app.mount("/whole", whole)
    app.mount("/half", half)

    assert _severities(app) == [
        ("ok", "middleware"),
        ("ok", "middleware"),
        ("ok", "routes"),
        ("fail", "routes"),
    ]


def test_two_descopes_in_one_app() -> None:
    """Each would write the same cookies."""
    app = FastAPI()
    _descope(app)
    app.add_middleware(DescopeMiddleware, descope=_descope())

    assert _results(app)[0] == CheckResult(
        "middleware.repeated",
        Severity.FAIL,
        "DescopeMiddleware is installed 2 times; use one Descope per app",
    )


def test_the_router_is_included_twice() -> None:
    """With two prefixes there are two callbacks, and redirects know only one of them."""
    app = FastAPI()
    descope = _descope(app)
    app.include_router(descope.router, prefix="/auth")

    assert _results(app)[-1] == CheckResult(
        "routes.repeated",
        Severity.FAIL,
        "the login routes are included 2 times;"
        " Descope(app) includes descope.router, so do not include it again",
    )


def test_cors_allows_an_origin_that_the_plugin_refuses() -> None:
    """Such a front end can read responses, but its state-changing requests are refused."""
    app = FastAPI()
    _descope(app)
    app.add_middleware(CORSMiddleware, allow_origins=[SPA], allow_credentials=True)

    assert _results(app)[-1] == CheckResult(
        "origins.not_trusted",
        Severity.WARN,
        f"CORSMiddleware allows {SPA} with cookies, but its POSTs are refused as cross-site;"
        " add it to DESCOPE_TRUSTED_ORIGINS",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"allow_origins": [SPA]},
        {"allow_origins": ["https://app.example.com", KNOWN], "allow_credentials": True},
        {"allow_credentials": True},
    ],
    ids=["without cookies", "trusted origins", "no origin"],
)
def test_harmless_cors_options_give_no_warning(options: dict[str, object]) -> None:
    """Without cookies, or for trusted origins only."""
    app = FastAPI()
    _descope(app, trusted_origins=(KNOWN,))
    app.add_middleware(CORSMiddleware, **options)  # type: ignore[arg-type] # any option, by keyword

    assert _severities(app) == [("ok", "middleware"), ("ok", "routes")]


def test_an_app_route_that_shadows_a_plugin_route() -> None:
    """The doctor reports the error that would keep the app from starting."""
    app = FastAPI()
    descope = _descope()
    app.get("/callback")(lambda: "another provider's")
    app.include_router(descope.router)
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True)

    assert _severities(app) == [("ok", "middleware"), ("ok", "routes"), ("fail", "routes")]
    assert _results(app)[-1].message.startswith("GET /callback is handled by another route of the app")
