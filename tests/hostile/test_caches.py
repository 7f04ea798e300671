"""No shared cache serves one user a response that was made for another (requirements 2.8).

The cache in front of the app stores everything that the standards allow. It runs once as specified, and once
ignoring ``Vary``, as some caches do. User A's session has expired, so every response to A sets cookies.
"""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from fastapi_descope import CurrentUser, OptionalUser, require_roles
from tests.helpers.asgi_client import WireResponse, send_request
from tests.helpers.attack_target_app import AttackTargetApp, bearer, cookie, token_response
from tests.helpers.tampering import NOW, Forge
from tests.hostile.tables.shared_cache import CACHE_HEADERS, PUBLIC, STATUSES, SharedCache
from tests.hostile.tables.tokens import valid_token

pytestmark = pytest.mark.anyio

Header = tuple[bytes, bytes]
MakeTarget = Callable[..., AttackTargetApp]


def add_pages(app: FastAPI, status: int, headers: Sequence[tuple[str, str]]) -> None:
    """Add a page that names the user and has these headers. It returns 304 if the client has its ETag."""

    @app.api_route("/page", methods=["GET", "HEAD"])
    async def page(request: Request, user: OptionalUser) -> Response:
        known = request.headers.get("if-none-match") in dict(headers).values()
        bodiless = known or status == 204
        body = b"" if bodiless else f"for {user.id if user else 'anonymous'}".encode()
        response = Response(body, 304 if known else status)
        response.raw_headers += [(name.encode(), value.encode()) for name, value in headers]
        return response

    @app.get("/mine")
    async def mine(user: CurrentUser) -> str:
        return user.id

    app.add_api_route("/bosses", lambda: "boss", dependencies=[Depends(require_roles("boss"))])


def expired_session(forge: Forge, user: str = "U2forge") -> Header:
    """Return the cookies of an expired session that can be refreshed."""
    session = valid_token(forge, sub=user, iat=NOW - 600, exp=NOW - 60)
    return cookie(f"DS={session}; DSR={valid_token(forge, 'DSR', sub=user, exp=NOW + 86_400)}".encode())


def build_target(forge: Forge, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> AttackTargetApp:
    """Return an app with these pages, whose Descope refreshes A's session."""
    env = AttackTargetApp(forge)
    env.scripts["/v1/auth/refresh"] = token_response(forge)
    add_pages(env.app, status, headers)
    return env


def contains_data_of_a(response: WireResponse) -> bool:
    """Return whether the response contains a session cookie or a body made for A."""
    session_cookies = [
        value for value in response.all("set-cookie") if value.startswith(("DS", "__Host-descope"))
    ]
    return bool(session_cookies) or b"U2forge" in response.body


OTHERS: dict[str, Callable[[Forge], list[Header]]] = {
    "anonymous": lambda _forge: [],
    "other user": lambda forge: [cookie(b"DS=" + valid_token(forge, sub="U2other").encode())],
    "other user by bearer token": lambda forge: [bearer(valid_token(forge, sub="U2other").encode())],
    "unrelated cookies": lambda _forge: [cookie(b"theme=dark")],
}


@pytest.mark.parametrize(
    "headers", [{"cache-control": PUBLIC}, {"cdn-cache-control": "max-age=600"}, {}], ids=repr
)
@pytest.mark.parametrize("first", ["/", "/known"])
async def test_the_cache_of_these_tests_leaks_an_unprotected_cookie(
    first: str, headers: dict[str, str]
) -> None:
    """An app that sets a session cookie and does not restrict caching leaks it, also with a 304.

    This proves that the cache of these tests is dangerous enough.
    """
    app = FastAPI()

    @app.get("/known")
    async def known(request: Request) -> Response:
        if "if-none-match" not in request.headers:
            return Response("page", headers={"etag": "1", "cache-control": "public, no-cache"})
        return Response(None, 304, headers={"cache-control": PUBLIC, "set-cookie": "DS=a.b.c"})

    @app.get("/")
    async def leaky() -> Response:
        return Response("page", headers={**headers, "set-cookie": "DS=a.b.c"})

    cache = SharedCache(app)
    for _ in range(2):
        await cache.request(first)

    assert contains_data_of_a(await cache.request(first))
    assert cache.hits > 0


@pytest.mark.parametrize("honours_vary", [True, False], ids=["honours Vary", "ignores Vary"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", STATUSES)
async def test_ca01_a_refreshed_response_is_served_to_no_other_user(
    forge: Forge, status: int, method: str, *, honours_vary: bool
) -> None:
    """However long the app allows caching, and for every status (CA-04)."""
    headers = [("cache-control", PUBLIC), ("cdn-cache-control", "max-age=600"), ("vary", "Accept")]
    env = build_target(forge, status, headers)
    cache = SharedCache(env.app, honours_vary)

    first = await cache.request("/page", expired_session(forge), method=method)
    others = [await cache.request("/page", *other(forge)) for other in OTHERS.values()]

    assert (first.status, len(first.all("set-cookie"))) == (status, 2)
    assert first.one("cache-control") == "private, no-store"
    assert not any(map(contains_data_of_a, others))


async def test_ca04_cookies_of_a_304_are_not_cached(forge: Forge) -> None:
    """A cache copies the headers of a 304 into the stored response."""
    headers = [("etag", '"v1"'), ("cache-control", "public, no-cache")]
    env = build_target(forge, headers=headers)
    cache = SharedCache(env.app, honours_vary=False)
    await cache.request("/page")

    revalidated = await cache.request("/page", expired_session(forge))
    others = [await cache.request("/page", *other(forge)) for other in OTHERS.values()]

    assert len(revalidated.all("set-cookie")) == 2
    assert not any(map(contains_data_of_a, others))


@pytest.mark.parametrize("honours_vary", [True, False], ids=["honours Vary", "ignores Vary"])
@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param("/mine", 401, id="unauthenticated"),
        pytest.param("/login/sso?tenant=acme", 503, id="Descope is down"),
        pytest.param("/callback?code=x&state=y", 400, id="callback without login"),
        pytest.param("/session", 401, id="no session"),
    ],
)
async def test_ca05_an_error_response_is_not_cached(
    forge: Forge, target: str, status: int, *, honours_vary: bool
) -> None:
    """It is about one request. The next request reaches the app."""
    env = build_target(forge)
    cache = SharedCache(env.app, honours_vary)

    responses = [await cache.request(target) for _ in range(2)]

    assert [response.status for response in responses] == [status, status]
    assert {response.one("cache-control") for response in responses} == {"no-store"}
    assert cache.hits == 0


async def test_ca05_a_redirect_to_the_login_is_not_cached(forge: Forge) -> None:
    """The next browser may be signed in."""
    cache = SharedCache(build_target(forge).app, honours_vary=False)
    navigation = (b"sec-fetch-mode", b"navigate")

    redirected = await cache.request("/mine", navigation)
    signed_in = await cache.request("/mine", navigation, cookie(b"DS=" + valid_token(forge).encode()))

    assert (redirected.status, redirected.one("cache-control")) == (303, "no-store")
    assert (signed_in.status, signed_in.body) == (200, b'"U2forge"')


async def test_ca03_a_page_without_user_is_cached_as_the_app_says(forge: Forge) -> None:
    """It gets no Vary and no Set-Cookie, and the cache serves it."""
    env = build_target(forge)

    @env.app.get("/logo")
    async def logo() -> Response:
        return Response("logo", headers={"Cache-Control": PUBLIC})

    cache = SharedCache(env.app)
    responses = [await cache.request("/logo", expired_session(forge)), await cache.request("/logo")]

    assert [(a.one("vary"), a.all("set-cookie"), a.one("cache-control")) for a in responses] == [
        (None, [], PUBLIC)
    ] * 2
    assert (cache.hits, env.calls) == (1, [])


@st.composite
def cache_headers(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Generate headers of an app's response, repeated ones included."""
    names = draw(st.lists(st.sampled_from(sorted(CACHE_HEADERS)), max_size=6))
    return [(name, draw(st.sampled_from(CACHE_HEADERS[name]))) for name in names]


VISITS = st.lists(st.tuples(st.sampled_from(["A", *OTHERS]), st.sampled_from(["GET", "HEAD"])), max_size=6)


@given(cache_headers(), st.sampled_from(STATUSES), VISITS)
def test_ca01_ca02_no_headers_of_the_app_make_a_cache_leak(
    forge: Forge, headers: list[tuple[str, str]], status: int, visits: list[tuple[str, str]]
) -> None:
    """A cache that honours Vary never serves A's cookies or A's page to another user."""
    env = build_target(forge, status, headers)
    cache = SharedCache(env.app)

    async def visit() -> None:
        for visitor, method in [*visits, ("A", "GET"), ("anonymous", "GET")]:
            sent = [expired_session(forge)] if visitor == "A" else OTHERS[visitor](forge)
            response = await cache.request("/page", *sent, method=method)
            assert visitor == "A" or not contains_data_of_a(response), (visitor, method)

    asyncio.run(visit())


@given(cache_headers(), st.sampled_from(STATUSES), st.sampled_from(["GET", "HEAD"]))
def test_ca01_a_response_with_session_cookies_is_never_cacheable(
    forge: Forge, headers: list[tuple[str, str]], status: int, method: str
) -> None:
    """It has one Cache-Control, Cookie in Vary, no field that overrides them, and the app's cookies."""
    response = asyncio.run(
        send_request(
            build_target(forge, status, headers).app, "/page", [expired_session(forge)], method=method
        )
    )

    vary = [name.strip().lower() for line in response.all("vary") for name in line.split(",")]
    app_vary = [value.partition(",")[0].lower() for name, value in headers if name == "vary"]
    assert response.all("cache-control") == ["private, no-store"]
    assert "*" in vary or vary.count("cookie") == max(1, app_vary.count("cookie"))
    assert [response.all(name) for name in ("expires", "surrogate-control", "cdn-cache-control")] == [
        [],
        [],
        [],
    ]
    assert len(response.all("set-cookie")) == 2 + [name for name, _ in headers].count("set-cookie")
