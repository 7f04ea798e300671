"""No shared cache gives one user what was meant for another (requirements 2.8).

In front of the app stands a cache that is as greedy as the standards allow, once as it should be and once
deaf to ``Vary``, as some are. User A's session has ended, so that every answer to A carries new cookies.
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
from tests.helpers.attack_target_app import AttackTargetApp, bearer, cookie, tokens_answer
from tests.helpers.tampering import NOW, Forge
from tests.hostile.tables.shared_cache import PUBLIC, STATUSES, TELLS_CACHES, SharedCache
from tests.hostile.tables.tokens import good

pytestmark = pytest.mark.anyio

Header = tuple[bytes, bytes]
Besieged = Callable[..., AttackTargetApp]


def pages(app: FastAPI, status: int, headers: Sequence[tuple[str, str]]) -> None:
    """A page that says who asks, and to caches what these headers say; 304 to who knows its tag."""

    @app.api_route("/page", methods=["GET", "HEAD"])
    async def page(request: Request, user: OptionalUser) -> Response:
        known = request.headers.get("if-none-match") in dict(headers).values()
        bodiless = known or status == 204
        body = b"" if bodiless else f"for {user.id if user else 'nobody'}".encode()
        response = Response(body, 304 if known else status)
        response.raw_headers += [(name.encode(), value.encode()) for name, value in headers]
        return response

    @app.get("/mine")
    async def mine(user: CurrentUser) -> str:
        return user.id

    app.add_api_route("/bosses", lambda: "boss", dependencies=[Depends(require_roles("boss"))])


def ended_session(forge: Forge, user: str = "U2forge") -> Header:
    """The cookies of a session that has ended and can be refreshed."""
    session = good(forge, sub=user, iat=NOW - 600, exp=NOW - 60)
    return cookie(f"DS={session}; DSR={good(forge, 'DSR', sub=user, exp=NOW + 86_400)}".encode())


def town_with(forge: Forge, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> AttackTargetApp:
    """An app with these pages, whose Descope renews A's session."""
    env = AttackTargetApp(forge)
    env.scripts["/v1/auth/refresh"] = tokens_answer(forge)
    pages(env.app, status, headers)
    return env


def belongs_to_a(response: WireResponse) -> bool:
    """Whether anything in it is A's: a cookie of the session, or a body made for A."""
    ours = [value for value in response.all("set-cookie") if value.startswith(("DS", "__Host-descope"))]
    return bool(ours) or b"U2forge" in response.body


OTHERS: dict[str, Callable[[Forge], list[Header]]] = {
    "nobody": lambda _forge: [],
    "another": lambda forge: [cookie(b"DS=" + good(forge, sub="U2other").encode())],
    "another by bearer": lambda forge: [bearer(good(forge, sub="U2other").encode())],
    "with other cookies": lambda _forge: [cookie(b"theme=dark")],
}


@pytest.mark.parametrize(
    "headers", [{"cache-control": PUBLIC}, {"cdn-cache-control": "max-age=600"}, {}], ids=repr
)
@pytest.mark.parametrize("first", ["/", "/known"])
async def test_the_cache_of_these_tests_leaks_what_it_may(first: str, headers: dict[str, str]) -> None:
    """An app that sets a session cookie and leaves caching as it is gives that cookie to everybody.

    Also where it comes with a 304, so that the cache of these tests is known to be one to be afraid of.
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
        await cache.ask(first)

    assert belongs_to_a(await cache.ask(first))
    assert cache.hits > 0


@pytest.mark.parametrize("keeps_apart", [True, False], ids=["careful", "deaf to Vary"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", STATUSES)
async def test_ca01_a_refreshed_answer_is_served_to_nobody_else(
    forge: Forge, status: int, method: str, *, keeps_apart: bool
) -> None:
    """However long the app says that its page may be kept, and whatever its status (CA-04)."""
    headers = [("cache-control", PUBLIC), ("cdn-cache-control", "max-age=600"), ("vary", "Accept")]
    env = town_with(forge, status, headers)
    cache = SharedCache(env.app, keeps_apart)

    first = await cache.ask("/page", ended_session(forge), method=method)
    others = [await cache.ask("/page", *other(forge)) for other in OTHERS.values()]

    assert (first.status, len(first.all("set-cookie"))) == (status, 2)
    assert first.one("cache-control") == "private, no-store"
    assert not any(map(belongs_to_a, others))


async def test_ca04_a_304_with_cookies_leaves_no_trace_in_the_cache(forge: Forge) -> None:
    """A cache takes the headers of a 304 over into what it holds for everybody."""
    headers = [("etag", '"v1"'), ("cache-control", "public, no-cache")]
    env = town_with(forge, headers=headers)
    cache = SharedCache(env.app, keeps_apart=False)
    await cache.ask("/page")

    revalidated = await cache.ask("/page", ended_session(forge))
    others = [await cache.ask("/page", *other(forge)) for other in OTHERS.values()]

    assert len(revalidated.all("set-cookie")) == 2
    assert not any(map(belongs_to_a, others))


@pytest.mark.parametrize("keeps_apart", [True, False], ids=["careful", "deaf to Vary"])
@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param("/mine", 401, id="not signed in"),
        pytest.param("/login/sso?tenant=acme", 503, id="Descope is down"),
        pytest.param("/callback?code=x&state=y", 400, id="a callback of nobody's"),
        pytest.param("/session", 401, id="no session"),
    ],
)
async def test_ca05_a_refusal_is_served_once(
    forge: Forge, target: str, status: int, *, keeps_apart: bool
) -> None:
    """It is about one request; whoever asks next is answered anew."""
    env = town_with(forge)
    cache = SharedCache(env.app, keeps_apart)

    answers = [await cache.ask(target) for _ in range(2)]

    assert [response.status for response in answers] == [status, status]
    assert {response.one("cache-control") for response in answers} == {"no-store"}
    assert cache.hits == 0


async def test_ca05_a_redirect_to_the_login_is_served_once(forge: Forge) -> None:
    """The next visitor may be signed in."""
    cache = SharedCache(town_with(forge).app, keeps_apart=False)
    navigation = (b"sec-fetch-mode", b"navigate")

    away = await cache.ask("/mine", navigation)
    home = await cache.ask("/mine", navigation, cookie(b"DS=" + good(forge).encode()))

    assert (away.status, away.one("cache-control")) == (303, "no-store")
    assert (home.status, home.body) == (200, b'"U2forge"')


async def test_ca03_a_page_that_asks_nobody_is_the_apps_own_business(forge: Forge) -> None:
    """No Vary, no Set-Cookie; and the cache may do its work."""
    env = town_with(forge)

    @env.app.get("/logo")
    async def logo() -> Response:
        return Response("logo", headers={"Cache-Control": PUBLIC})

    cache = SharedCache(env.app)
    answers = [await cache.ask("/logo", ended_session(forge)), await cache.ask("/logo")]

    assert [(a.one("vary"), a.all("set-cookie"), a.one("cache-control")) for a in answers] == [
        (None, [], PUBLIC)
    ] * 2
    assert (cache.hits, env.calls) == (1, [])


@st.composite
def told_to_caches(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Headers of an app's own answer, repeats included."""
    names = draw(st.lists(st.sampled_from(sorted(TELLS_CACHES)), max_size=6))
    return [(name, draw(st.sampled_from(TELLS_CACHES[name]))) for name in names]


VISITS = st.lists(st.tuples(st.sampled_from(["A", *OTHERS]), st.sampled_from(["GET", "HEAD"])), max_size=6)


@given(told_to_caches(), st.sampled_from(STATUSES), VISITS)
def test_ca01_ca02_whatever_the_app_tells_caches(
    forge: Forge, headers: list[tuple[str, str]], status: int, visits: list[tuple[str, str]]
) -> None:
    """Through any cache that heeds Vary, nobody but A ever gets A's cookies or A's page."""
    env = town_with(forge, status, headers)
    cache = SharedCache(env.app)

    async def visit() -> None:
        for who, method in [*visits, ("A", "GET"), ("nobody", "GET")]:
            sent = [ended_session(forge)] if who == "A" else OTHERS[who](forge)
            response = await cache.ask("/page", *sent, method=method)
            assert who == "A" or not belongs_to_a(response), (who, method)

    asyncio.run(visit())


@given(told_to_caches(), st.sampled_from(STATUSES), st.sampled_from(["GET", "HEAD"]))
def test_ca01_an_answer_with_our_cookies_says_so_to_every_cache(
    forge: Forge, headers: list[tuple[str, str]], status: int, method: str
) -> None:
    """One Cache-Control, Vary with Cookie once, none of the fields that outrank them, and theirs kept."""
    response = asyncio.run(
        send_request(town_with(forge, status, headers).app, "/page", [ended_session(forge)], method=method)
    )

    vary = [name.strip().lower() for line in response.all("vary") for name in line.split(",")]
    already = [value.partition(",")[0].lower() for name, value in headers if name == "vary"]
    assert response.all("cache-control") == ["private, no-store"]
    assert "*" in vary or vary.count("cookie") == max(1, already.count("cookie"))
    assert [response.all(name) for name in ("expires", "surrogate-control", "cdn-cache-control")] == [
        [],
        [],
        [],
    ]
    assert len(response.all("set-cookie")) == 2 + [name for name, _ in headers].count("set-cookie")
