"""Redirect URLs: which ones are approved (EM-06), and how parameters are added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope.emulator.urls import LOOPBACK_HOSTS, add_query, is_approved


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/callback",
        "http://LOCALHOST:8000/callback?state=1#there",
        "https://127.0.0.1:8443/",
        "http://[::1]:8000/callback",
    ],
)
def test_default_allows_loopback(url: str) -> None:
    """By default loopback hosts are approved, on any port."""
    assert is_approved(url, LOOPBACK_HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/callback",
        "//localhost/callback",
        "javascript:alert(1)//localhost",
        "ftp://localhost/",
        "http:///callback",
        "http://localhost.evil.example/",
        "http://evil.example/localhost",
        "http://localhost@evil.example/",
        "http://user@localhost/",
        "http://evil.example\\@localhost/",
        "http://localhost\\.evil.example/",
        "http://local\thost/",
        "http://localhost /",
        "http://localhost:0/",
        "http://localhost:99999/",
        "http://localhost:port/",
        "http://[::1/",
        "http://ⓛocalhost/",
    ],
)
def test_em06_default_rejects_other_urls(url: str) -> None:
    """URLs that are not absolute http(s) URLs of an approved host are rejected, however disguised (EM-06)."""
    assert not is_approved(url, LOOPBACK_HOSTS)


@pytest.mark.parametrize(
    ("url", "approved"),
    [
        ("https://app.example/sso/callback", True),
        ("https://app.example/sso", True),
        ("https://app.example/sso?code=1", True),
        ("https://app.example/ssomething", False),
        ("https://app.example/sso/../admin", False),
        ("https://app.example/sso/%2e%2e/admin", False),
        ("https://app.example/", False),
        ("http://app.example/sso", False),
        ("https://app.example:8443/sso", False),
        ("http://localhost/sso", False),
    ],
)
def test_prefix_matches_whole_segments(url: str, *, approved: bool) -> None:
    """A URL prefix matches its origin and whole path segments, and replaces the default."""
    assert is_approved(url, ("https://app.example/sso/",)) is approved


def test_origin_prefix_allows_every_path() -> None:
    """A prefix without a path matches the whole origin."""
    assert is_approved("https://app.example/a/../b", ("https://app.example",))


@pytest.mark.parametrize(
    ("url", "entry", "approved"),
    [
        ("https://app.example/", "https://app.example:443", True),
        ("https://app.example:443/", "https://app.example", True),
        ("http://app.example:80/", "http://app.example/", True),
        ("http://app.example:443/", "https://app.example", False),
        ("https://app.example:80/", "http://app.example", False),
    ],
)
def test_default_ports_are_equal_to_explicit_ones(url: str, entry: str, *, approved: bool) -> None:
    """A default port is the same port whether it is written or not."""
    assert is_approved(url, (entry,)) is approved


@pytest.mark.parametrize(
    ("url", "approved"),
    [("https://anywhere.example/cb", True), ("javascript:alert(1)", False), ("/cb", False)],
)
def test_empty_list_approves_every_url(url: str, *, approved: bool) -> None:
    """An empty list approves every http(s) URL, and nothing else (wire contract, section 2.1)."""
    assert is_approved(url, ()) is approved


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost/cb", "http://localhost/cb?code=a+b"),
        ("http://localhost/cb?", "http://localhost/cb?code=a+b"),
        ("http://localhost/cb?state=%2F", "http://localhost/cb?state=%2F&code=a+b"),
        ("http://localhost/cb?state=1#top", "http://localhost/cb?state=1&code=a+b#top"),
    ],
)
def test_parameters_are_appended_to_the_query(url: str, expected: str) -> None:
    """The existing query is kept, and a fragment stays last."""
    assert add_query(url, {"code": "a b"}) == expected


@given(st.text())
def test_never_fails_on_text(url: str) -> None:
    """No text makes the check raise."""
    assert is_approved(url, LOOPBACK_HOSTS) in {True, False}
