"""An app at a sub-domain, a browser with a real cookie jar, and sibling domains that set cookies in it."""

from dataclasses import dataclass, field, replace

import httpx
from typing_extensions import override

from fastapi_descope._web.credentials import TokenCookie
from fastapi_descope.emulator import Grants, JwtPair, Project, SeedUser
from tests.helpers.app_harness import IDP, AppHarness, Browser, EnvFactory, build_app_harness
from tests.helpers.cookie_jar import StandardJar

HOST = "https://app.example.com"
SIBLING = "https://evil.example.com/"

VICTIM = "ada@acme.example"
ATTACKER = "hank@globex.example"

PROJECT = Project(approved_redirects=("app.example.com", "staging.example.com"), rotate_refresh=True)

_MANY = Grants(("admin",), tuple(f"reports.{number:04}" for number in range(300)))

CHUNKED = replace(
    PROJECT,
    users=(SeedUser(VICTIM, "Ada", {"acme": _MANY}), SeedUser(ATTACKER, "Hank", {"globex": _MANY})),
)
"""A project whose session tokens need two chunks."""


@dataclass
class JarTransport(httpx.AsyncBaseTransport):
    """Sends the cookies of a jar, which knows domains and paths, instead of those of httpx."""

    inner: httpx.AsyncBaseTransport
    jar: StandardJar

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        request.headers.pop("cookie", None)
        request.headers.update([(name.decode(), value.decode()) for name, value in self.jar.headers_for(url)])
        response = await self.inner.handle_async_request(request)
        lines = [line.encode() for line in response.headers.get_list("set-cookie")]
        self.jar.receive(lines, url)
        return response


@dataclass
class SiblingDomain:
    """The app at ``HOST``, one browser, and its cookie jar."""

    env: AppHarness
    jar: StandardJar = field(default_factory=lambda: StandardJar(HOST + "/"))

    def __post_init__(self) -> None:
        origin = self.env.descope.settings.public_url or HOST
        mounts: dict[str, httpx.AsyncBaseTransport] = {
            origin + "/": JarTransport(httpx.ASGITransport(self.env.app), self.jar),
            IDP + "/": httpx.ASGITransport(self.env.emulator),
        }
        transport = mounts[origin + "/"]  # given, because httpx would load its certificates without one
        self.browser = Browser(httpx.AsyncClient(transport=transport, mounts=mounts), origin=origin)

    def issue(self, user: str = ATTACKER) -> JwtPair:
        """Issue a pair of a user, by default of the attacker."""
        return self.env.emulator.issue(user, "acme" if user == VICTIM else "globex")

    @property
    def names(self) -> set[str]:
        """The names of the cookies in the jar, except those of the plugin that hold no session."""
        return {name for name in self.jar.names if not name.startswith("__Host-descope_")}

    def id_of(self, user: str) -> str:
        """Return the user id."""
        return next(each.user_id for each in self.env.emulator.project.users if each.email == user)

    def plant(self, *cookies: str, path: str = "/", domain: str = "example.com") -> None:
        """Set cookies, such as ``DS=value``, as a sibling domain can."""
        lines = [f"{cookie}; Domain={domain}; Path={path}; Secure".encode() for cookie in cookies]
        self.jar.receive(lines, SIBLING)

    def expire(self, token: str) -> None:
        """Remove a cookie of the app and its chunks, as a browser does when they expire."""
        for name in [name for name in self.jar.names if name.partition(".")[0] == token]:
            self.jar.expire(name, "app.example.com")

    def own_refresh_token(self) -> str | None:
        """Return the refresh token that the app has set without ``Domain``."""
        return self.jar.value("DSR", "app.example.com")

    def release(self, **settings: object) -> "SiblingDomain":
        """Return the app with other settings, for the same browser and project."""
        build: EnvFactory = build_app_harness
        given = {"public_url": HOST, **settings}
        return SiblingDomain(build(emulator=self.env.emulator, **given), self.jar)

    async def user(self) -> str | None:
        """Return the id of the user that the app sees, or None."""
        response = await self.browser.get("/maybe")
        assert response.status_code == 200, response.text
        name: str | None = response.json()["user"]
        return name


def cookies_of(name: str, token: str) -> list[str]:
    """Return the cookies in which the app would store a token under this name."""
    return [f"{each}={value}" for each, value in TokenCookie(name).split(token).items()]


def sibling_domain(project: Project = PROJECT, **settings: object) -> SiblingDomain:
    """Return an app at ``HOST`` with these settings."""
    build: EnvFactory = build_app_harness
    return SiblingDomain(build(project=project, public_url=HOST, **settings))
