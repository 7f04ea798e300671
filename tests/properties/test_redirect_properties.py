"""Redirect targets are rejected or stay on our origins, by a browser's URL parser (RT-12)."""

from urllib.parse import unquote

import pytest
from ada_url import URL
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Scope

from fastapi_descope._web.redirects import RedirectPolicy
from fastapi_descope.settings import DescopeSettings

OWN = "https://app.example.com"
TRUSTED = "https://admin.example.com:8443"
SCOPE: Scope = {"type": "http", "scheme": "https", "headers": [(b"host", b"evil.example")]}
POLICY = RedirectPolicy(
    DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz", public_url=OWN, trusted_origins=(TRUSTED,))
)

# Pieces of open redirects, joined at random.
PIECES = [
    *("/", "//", "\\", ".", "..", "@", ":", "?", "#", ";", "%", "&", "=", "~", "-", "[", "]", "|", "'"),
    *("%2f", "%2F", "%5c", "%2e", "%2E", "%25", "%252f", "%00", "%09", "%0a", "%0d", "%20", "%23", "%3f"),
    *("%c0%af", "%e3%80%82", "%ef%bc%8f", "%40", "%3a", "%7f", "%ff"),
    *("\t", "\n", "\r", "\x00", "\x0b", "\x7f", " ", "\xa0", "\x85", "\ufeff", "\u3002", "\uff0f", "\uff3c"),
    *("https:", "http:", "javascript:", "data:", "file:", "HTTPS:", "https://", "http://"),
    *("evil.example", "app.example.com", "admin.example.com", ":8443", ":443", "localhost", "127.0.0.1"),
    *("reports", "a", "x", "2", "f", OWN, TRUSTED, "user", "\u0130", "\u212a", "\ud800"),
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
TARGETS = st.one_of(
    st.text(),
    HOSTILE,
    HOSTILE.map("/".__add__),
    HOSTILE.map(OWN.__add__),
    HOSTILE.map(f"{TRUSTED}/".__add__),
)


def origin_in_a_browser(target: str) -> str:
    """Return the origin to which a browser at the login page would navigate, by the WHATWG rules."""
    printable = target.encode("utf-8", "replace").decode("utf-8")
    return URL(printable, base=f"{OWN}/auth/login/sso").origin


@given(TARGETS)
@example("//evil.example")
@example("/\\evil.example")
@example("/%09/evil.example")
@example("/%2e%2e//evil.example")
@example("/%252f/evil.example")
@example(f"{OWN}.evil.example")
@example(f"{OWN}\t.evil.example")
def test_rt12_a_browser_stays_on_our_origins_for_every_accepted_target(target: str) -> None:
    """This holds after one and two further percent-decodings too."""
    accepted = POLICY.safe_redirect(target, SCOPE)
    if accepted is None:
        return
    assert accepted == target
    for reading in (target, unquote(target), unquote(unquote(target))):
        assert origin_in_a_browser(reading) in (OWN, TRUSTED)


@given(TARGETS)
def test_rt_the_verdict_is_stable(target: str) -> None:
    """An accepted target is accepted again, and is a valid header value."""
    accepted = POLICY.safe_redirect(target, SCOPE)
    assert accepted is None or POLICY.safe_redirect(accepted, SCOPE) == target
    assert accepted is None or (accepted.isascii() and accepted.isprintable() and " " not in accepted)


SEGMENTS = st.text("abcxyzABCXYZ0189-._~!$&'()*+,;=:@", min_size=1).filter(
    lambda text: text not in (".", "..")
)


@given(
    st.lists(SEGMENTS, max_size=6), st.text("abc019-._~/?%[]{}|^", max_size=40), st.sampled_from(["", "/"])
)
def test_rt_ordinary_paths_are_accepted(segments: list[str], query: str, slash: str) -> None:
    """The grammar rejects no ordinary path."""
    path = "/" + "".join(f"{segment}/" for segment in segments)
    path = path if slash or not segments else path.removesuffix("/")
    target = f"{path}?{query}#{query}"
    assert POLICY.safe_redirect(target, SCOPE) == (target if len(target) <= 1_024 else None)


@given(st.sampled_from(PIECES), st.integers(min_value=1_024, max_value=100_000))
def test_rt11_a_long_target_is_rejected(piece: str, times: int) -> None:
    """The length is checked before the grammar."""
    assert POLICY.safe_redirect(f"/{piece * times}", SCOPE) is None


@pytest.mark.parametrize("target", ["/" + "a" * 1_023, "/" + ".a" * 511, "/" + "a/" * 511, "/" + "%41" * 341])
def test_rt11_the_longest_targets_are_decided(target: str) -> None:
    """The grammar does not backtrack: the longest targets of each shape are decided."""
    assert POLICY.safe_redirect(target, SCOPE) == target
    assert POLICY.safe_redirect(target[:-1] + "\\", SCOPE) is None
