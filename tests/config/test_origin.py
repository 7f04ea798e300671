"""Parsing of web origins."""

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_descope._config.origin import Origin


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.COM", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("https://app.example.com:08443", "https://app.example.com:8443"),
        ("https://app.example.com:65535", "https://app.example.com:65535"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://api.descope.com.evil", "https://api.descope.com.evil"),
    ],
)
def test_origin_is_normalised(text: str, spelling: str) -> None:
    """Case, default port and long IPv6 forms become what browsers send."""
    assert str(Origin.parse(text)) == spelling


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "null",
        "app.example.com",
        "//app.example.com",
        "https:app.example.com",
        "https:/app.example.com",
        "https://",
        "ftp://app.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?q",
        "https://app.example.com#f",
        "https://user@app.example.com",
        "https://user:pass@app.example.com",
        "https://app.example.com\\@evil.example",
        " https://app.example.com",
        "https://app.example.com ",
        "https://app.example.com\n",
        "https://app.exa\tmple.com",
        "https://*.example.com",
        "https://app..example.com",
        "https://.example.com",
        "https://app.example.com.",
        "https://-app.example.com",
        "https://b\u00fccher.example",
        "https://app\uff0eexample.com",
        "https://ex\u212aample.com",
        "https://%61pp.example.com",
        "https://app.example.com:",
        "https://app.example.com:0",
        "https://app.example.com:65536",
        "https://app.example.com:+443",
        "https://app.example.com:44a",
        "https://127.1",
        "https://2130706433",
        "https://0x7f.1",
        "https://0x7f000001",
        "https://127.0.0.01",
        "https://1.2.3.4.5",
        "https://[::1",
        "https://[1]",
        "https://[127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://[fe80::1%25eth0]",
        f"https://{'a' * 64}.example",
        f"https://{'a.' * 127}example",
    ],
)
def test_other_text_is_not_an_origin(text: str) -> None:
    """A path, userinfo, whitespace, a number as host, or an invalid host name."""
    assert Origin.parse(text) is None


@pytest.mark.parametrize(
    ("text", "loopback", "address"),
    [
        ("http://localhost", True, False),
        ("http://127.0.0.1", True, True),
        ("http://127.255.255.254", True, True),
        ("http://[::1]", True, True),
        ("http://128.0.0.1", False, True),
        ("http://0.0.0.0", False, True),
        ("http://[::]", False, True),
        ("http://[2001:db8::1]", False, True),
        ("http://localhost.example.com", False, False),
        ("http://notlocalhost", False, False),
        ("http://localtest.me", False, False),
    ],
)
def test_loopback_is_recognised_without_name_resolution(text: str, loopback: bool, address: bool) -> None:
    """Only ``localhost``, 127.0.0.0/8 and ``[::1]`` are loopback."""
    origin = Origin.parse(text)

    assert origin is not None
    assert (origin.is_loopback, origin.is_address) == (loopback, address)


def test_equal_origins_compare_and_hash_equal() -> None:
    """Membership in a set works."""
    assert {Origin.parse("https://A.example:443")} == {Origin("https", "a.example")}


@given(st.from_regex(r"https?://[a-zA-Z0-9.:\[\]_x-]{1,30}", fullmatch=True) | st.text())
@example("https://1.2.3.4")
def test_browsers_parse_the_same_origin(text: str) -> None:
    """A WHATWG parser finds the same origin in the text and in its normalised form."""
    origin = Origin.parse(text)

    if origin is not None:
        assert ada_url.URL(text).origin == str(origin)
        assert Origin.parse(str(origin)) == origin
