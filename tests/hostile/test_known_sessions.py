"""A known session is answered like an unknown one: two apps, of which only one remembers sessions.

Both get the same requests. The app that remembers has seen the good cookies before each of them.
"""

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope.events import Event, JwksFetched
from tests.helpers.attack_target_app import AttackTargetApp, cookie
from tests.helpers.tampering import NOW, Forge
from tests.hostile.tables.cookies import HEADERS
from tests.hostile.tables.cross_site import CASES, SAFE_METHODS, UNSAFE_METHODS
from tests.hostile.tables.tokens import TOKENS, string_tokens, valid_token

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Answer:
    """The effects of one request on its client, on Descope and on the app's own code."""

    status: int
    headers: Sequence[Header]
    body: bytes
    ran: list[tuple[str, str | None]]
    calls: list[str]
    events: list[Event]


class Twins:
    """An app that remembers sessions, and one that authenticates every request in full."""

    def __init__(self, forge: Forge) -> None:
        self.session = valid_token(forge).encode()
        self.refresh = valid_token(forge, "DSR", exp=NOW + 86_400).encode()
        self.good = cookie(b"DS=" + self.session, b"DSR=" + self.refresh)
        self._apps = [AttackTargetApp(forge), AttackTargetApp(forge, token_cache_size=0)]
        self._events: list[list[Event]] = [[], []]
        for app, events in zip(self._apps, self._events, strict=True):
            app.descope.on_event(events.append)

    async def answers(
        self, *headers: Header, method: str = "GET", path: str = "/maybe", at: float = 0
    ) -> list[Answer]:
        """Return the answers of both apps, ``at`` seconds after they have seen the good cookies."""
        return [
            await self._answer(app, events, headers, method, path, at)
            for app, events in zip(self._apps, self._events, strict=True)
        ]

    async def _answer(
        self,
        app: AttackTargetApp,
        events: list[Event],
        headers: Sequence[Header],
        method: str,
        path: str,
        at: float,
    ) -> Answer:
        app.now = NOW
        assert (await app.request("/me", self.good)).status == 200
        app.now = NOW + at
        for seen in (app.ran, app.calls, events):
            seen.clear()
        response = await app.request(path, *headers, method=method)
        ours = [event for event in events if not isinstance(event, JwksFetched)]
        headers = [each for each in response.headers if each[0] != b"retry-after"]  # partly random
        return Answer(response.status, headers, response.body, app.ran[:], app.calls[:], ours)


@pytest.fixture(scope="module")
def forge_of_module() -> Forge:
    """Return one token factory for the module."""
    return Forge()


@pytest.fixture(scope="module")
def twins(forge_of_module: Forge) -> Twins:
    """Return the two apps."""
    return Twins(forge_of_module)


@pytest.fixture(scope="module")
def runner() -> Generator[asyncio.Runner]:
    """Return what runs coroutines, always in the same event loop."""
    with asyncio.Runner() as runner:
        yield runner


def agree(answers: list[Answer]) -> bool:
    """Return whether both apps gave the same answer."""
    known, full = answers
    assert known == full
    return True


@pytest.mark.parametrize("name", HEADERS)
def test_every_hostile_cookie_header_is_answered_alike(
    twins: Twins, runner: asyncio.Runner, forge_of_module: Forge, name: str
) -> None:
    """Alone, and together with the good refresh cookie."""
    other = valid_token(forge_of_module, sub="U2other").encode()
    headers = [cookie(line) for line in HEADERS[name](twins.session, other)]

    assert agree(runner.run(twins.answers(*headers)))
    assert agree(runner.run(twins.answers(*headers, cookie(b"DSR=" + twins.refresh))))


@pytest.mark.parametrize("group", TOKENS)
def test_every_hostile_token_is_answered_alike(
    twins: Twins, runner: asyncio.Runner, forge_of_module: Forge, group: str
) -> None:
    """As either cookie, with the other one good."""
    for token in string_tokens(forge_of_module, group).values():
        hostile = token.encode("utf-8", "surrogatepass")
        assert agree(runner.run(twins.answers(cookie(b"DS=" + hostile, b"DSR=" + twins.refresh))))
        assert agree(runner.run(twins.answers(cookie(b"DS=" + twins.session, b"DSR=" + hostile))))


@pytest.mark.parametrize("method", [*SAFE_METHODS, *UNSAFE_METHODS])
def test_every_cross_site_request_is_answered_alike(
    twins: Twins, runner: asyncio.Runner, method: str
) -> None:
    """With every combination of Sec-Fetch-Site and Origin."""
    for case in CASES:
        assert agree(runner.run(twins.answers(twins.good, *case.headers, method=method)))


NAMES = (b"DS", b"DSR", b"DS.0", b"DSR.3", b"xDS", b"DSX", b"DS ", b"__Host-DS", b"descope_asked", b"theme")
SEPARATORS = (b"; ", b";", b"; \t", b" ;", b", ", b";;", b"")
OTHER_HEADERS = (
    (b"purpose", b"prefetch"),
    (b"sec-purpose", b"prefetch;prerender"),
    (b"x-sec-purpose", b"PREFETCH"),
    (b"sec-purpose", b""),
    (b"authorization", b""),
    (b"authorization", b"Basic YTpi"),
    (b"origin", b"https://evil.example"),
    (b"sec-fetch-site", b"same-site"),
    (b"sec-fetch-site", b"same-origin"),
    (b"host", b"other.example"),
)
SECONDS = (0, 1, 500, 530, 535, 540, 545, 550, 599, 600, 604, 605, 700, 86_405)
"""After the good request: around the refresh that is due, the expiry and the leeway."""


@st.composite
def mutations(draw: st.DrawFn, token: bytes) -> bytes:
    """Return a token as it is, or with one byte changed, removed or added."""
    place = draw(st.integers(0, len(token)))
    byte = draw(st.sampled_from([b"A", b"-", b".", b"=", b"~", b" ", b'"', b"\x00", b"\xff"]))
    kept = draw(st.sampled_from([0, 0, 0, 1]))
    return draw(st.sampled_from([token, token, token[:place] + byte + token[place + kept :], token[:place]]))


@st.composite
def jars(draw: st.DrawFn, twins: Twins, forge: Forge) -> list[Header]:
    """Return Cookie headers made of the good tokens, others, and what a mutation makes of them."""
    other = valid_token(forge, sub="U2other").encode()
    others = [other, valid_token(forge, "DSR", sub="U2other", exp=NOW + 86_400).encode(), b"", b"a.b.c"]
    values = mutations(draw(st.sampled_from([twins.session, twins.session, twins.refresh, *others])))
    pairs = st.tuples(st.sampled_from(NAMES), values, st.sampled_from(SEPARATORS))
    lines = draw(st.lists(st.lists(pairs, max_size=4), max_size=2))
    return [(b"cookie", b"".join(name + b"=" + value + end for name, value, end in line)) for line in lines]


@given(data=st.data())
def test_any_mutation_of_a_known_request_is_answered_alike(
    twins: Twins, runner: asyncio.Runner, forge_of_module: Forge, data: st.DataObject
) -> None:
    """Its cookies, further headers, the method, and the time since the good request."""
    headers = data.draw(st.one_of(st.just([twins.good]), jars(twins, forge_of_module)))
    further = data.draw(st.lists(st.sampled_from(OTHER_HEADERS), max_size=2))
    method = data.draw(st.sampled_from(["GET", "POST", "OPTIONS", "HEAD"]))
    at = data.draw(st.sampled_from(SECONDS))

    assert agree(runner.run(twins.answers(*headers, *further, method=method, at=at)))
