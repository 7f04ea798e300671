"""How the plugin is in an app: what a look at the app alone can tell, and that it tells no more."""

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


def _findings(app: FastAPI) -> list[CheckResult]:
    return list(AppChecks(app).results())


def _verdicts(app: FastAPI) -> list[tuple[str, str]]:
    return [(found.severity.value, found.subject) for found in _findings(app)]


def test_an_app_that_mounts_one_with_the_plugin_needs_none_itself() -> None:
    """Each part is told of with its place; the settings are those of the part that has any."""
    app, inner = FastAPI(), FastAPI()
    descope = _descope(inner)
    app.mount("/crm", inner)

    assert _findings(app) == [
        CheckResult(Severity.OK, "middleware", "DescopeMiddleware is installed (in the app at /crm)"),
        CheckResult(
            Severity.OK, "routes", "/login/sso begins a sign-in, /callback ends it (in the app at /crm)"
        ),
    ]
    assert AppChecks(app).settings is descope.settings


def test_two_mounted_apps_are_looked_at_both() -> None:
    """One that has the middleware and no routes is still a mistake."""
    app, whole, half = FastAPI(), FastAPI(), FastAPI()
    _descope(whole)
    half.add_middleware(DescopeMiddleware, descope=_descope())
    app.mount("/whole", whole)
    app.mount("/half", half)

    assert _verdicts(app) == [
        ("ok", "middleware"),
        ("ok", "middleware"),
        ("ok", "routes"),
        ("fail", "routes"),
    ]


def test_two_descopes_in_one_app() -> None:
    """Each would open sessions of its own and write the other's cookies."""
    app = FastAPI()
    _descope(app)
    app.add_middleware(DescopeMiddleware, descope=_descope())

    assert _findings(app)[0] == CheckResult(
        Severity.FAIL, "middleware", "DescopeMiddleware is there 2 times; keep one Descope for an app"
    )


def test_the_router_is_included_twice() -> None:
    """Under two prefixes there are two callbacks, of which errors and redirects know one."""
    app = FastAPI()
    descope = _descope(app)
    app.include_router(descope.router, prefix="/auth")

    assert _findings(app)[-1] == CheckResult(
        Severity.FAIL,
        "routes",
        "the sign-in routes are there 2 times; Descope(app) includes descope.router by itself",
    )


def test_cors_lets_in_whom_we_refuse() -> None:
    """A front end may then read, and nothing that it sends to change something is accepted."""
    app = FastAPI()
    _descope(app)
    app.add_middleware(CORSMiddleware, allow_origins=[SPA], allow_credentials=True)

    assert _findings(app)[-1] == CheckResult(
        Severity.WARN,
        "origins",
        f"CORSMiddleware lets {SPA} in with cookies, and its POSTs are refused as cross-site;"
        " add it to DESCOPE_TRUSTED_ORIGINS",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"allow_origins": [SPA]},
        {"allow_origins": ["*"], "allow_credentials": True},
        {"allow_origins": ["https://app.example.com", KNOWN], "allow_credentials": True},
        {"allow_credentials": True},
    ],
    ids=["without cookies", "anybody", "known", "nobody"],
)
def test_other_cors_is_nothing_to_warn_of(options: dict[str, object]) -> None:
    """Without cookies, and of origins that are trusted anyway."""
    app = FastAPI()
    _descope(app, trusted_origins=(KNOWN,))
    app.add_middleware(CORSMiddleware, **options)  # type: ignore[arg-type] # any option, by keyword

    assert _verdicts(app) == [("ok", "middleware"), ("ok", "routes")]


def test_a_route_of_the_app_in_the_place_of_ours() -> None:
    """What would keep the app from starting is found before."""
    app = FastAPI()
    descope = _descope()
    app.get("/callback")(lambda: "another provider's")
    app.include_router(descope.router)
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True)

    assert _verdicts(app) == [("ok", "middleware"), ("ok", "routes"), ("fail", "routes")]
    assert _findings(app)[-1].text.startswith("GET /callback is answered by another route of the app")
