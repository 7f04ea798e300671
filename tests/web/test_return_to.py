"""Where a browser may be sent after signing in, switching or signing out (requirements 2.5)."""

import pytest
from ada_url import URL
from starlette.types import Scope

from fastapi_descope.settings import DescopeSettings
from fastapi_descope.web.origins import Origins

OWN = "https://app.example.com"
TRUSTED = "https://admin.example.com:8443"
AT_HOME: Scope = {"type": "http", "scheme": "https", "headers": [(b"host", b"app.example.com")]}


@pytest.fixture
def origins() -> Origins:
    """The origins of an app at https://app.example.com that trusts one other."""
    return Origins(
        DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz", public_url=OWN, trusted_origins=(TRUSTED,))
    )


ACCEPTED = [
    "/",
    "/reports",
    "/reports/",
    "/reports/2026/q4",
    "/a.b/c..d/...",
    "/.well-known/x",
    "/..x/.y./z..",
    "/a-b_c~d",
    "/!$&'()*+,;=:@",
    "/@evil.example",
    "/:80",
    "/evil.example",
    "/https:evil",
    "/caf%C3%A9",
    "/a%20b",
    "/%E3%80%82",
    "/%ef%bc%8f",
    "/%c0%af",
    "/a%3Fb%23c",
    "/%2e.%2e",
    "/a;v=1/b",
    "/?",
    "/?q",
    "/reports?from=2026-01-01&to=2026-02-01",
    "/reports?next=//evil.example",
    "/reports?next=https://evil.example/\u0060",
    "/reports?next=%2F%2Fevil",
    "/reports?a[]=1&b[x]=2",
    "/reports?filter={x|y}^z",
    "/reports?q=100%",
    "/reports?a=/../..",
    "/#",
    "/#top",
    "/#/route/../x",
    "/#//evil.example",
    "/app?q=1#/route?x=[1]",
    "/" + "x" * 1_023,
    OWN,
    f"{OWN}/",
    f"{OWN}/reports?q=1#top",
    TRUSTED,
    f"{TRUSTED}/reports",
]

REJECTED = {
    "RT-01-scheme-relative": [
        "//evil.example",
        "//evil.example/",
        "//evil.example/%2e%2e",
        "///evil.example",
        "////evil.example",
        "/////evil.example/x",
        "//",
        "///",
        "//user@evil.example",
        "//app.example.com@evil.example",
        "//app.example.com",
        "//[::1]",
        "//evil.example:443/x",
        "//%65vil.example",
        "//evil%E3%80%82example",
    ],
    "RT-02-backslash": [
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "//\\evil.example",
        "/\\\\evil.example",
        "\\evil.example",
        "/x\\..\\evil",
        "/x\\",
        "/?x=\\",
        "/#\\",
        "https:\\\\evil.example",
        "https:/\\evil.example",
        f"{OWN}\\@evil.example",
        f"{OWN}\\.evil.example",
    ],
    "RT-03-characters-that-browsers-strip": [
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r/evil.example",
        "/\r\n/evil.example",
        "\t//evil.example",
        "\n//evil.example",
        " //evil.example",
        " /reports",
        "/reports ",
        "/reports\n",
        "/reports\t",
        "\x00//evil.example",
        "/\x00/evil.example",
        "\x0b/evil.example",
        "/\x0c/evil.example",
        "/\x1f/evil.example",
        "\x7f/evil.example",
        "/ /evil.example",
        "/a b",
        "/?a b",
        "/#a b",
        "/?a\tb",
        "/?\n//evil.example",
        "/#\n//evil.example",
        "h\tttps://evil.example",
        "java\nscript:alert(1)",
    ],
    "RT-04-other-origin": [
        "https://evil.example",
        "https://evil.example/",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https:////evil.example",
        "http://app.example.com",
        "http://app.example.com/reports",
        "https://app.example.com:8443/",
        "https://app.example.com:443/",
        "https://app.example.com:/",
        "https://app.example.com.",
        "https://app.example.com./reports",
        "https://app.example.com.evil.example",
        "https://app.example.comevil",
        "https://app.example.com-evil.example/",
        "https://app.example.com@evil.example",
        "https://app.example.com:x@evil.example/",
        "https://app.example.com:443@evil.example/",
        "https://evil.example#@app.example.com/",
        "https://evil.example?app.example.com",
        "https://evil.example/https://app.example.com",
        "https://user@app.example.com/",
        "https://:@app.example.com/",
        "https://sub.app.example.com/",
        "https://example.com/",
        "https://notapp.example.com/",
        "https://app.example.com%2eevil.example/",
        "https://app.example.com%00.evil.example/",
        "https://app.example.com%09.evil.example/",
        "https://app\uff0eexample.com/",
        "https://app\u3002example.com/",
        "https://\u24d0pp.example.com/",
        "https://app.example.com\u2044@evil.example",
        "https://app.example.com\uff0fx",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "HTTPS://APP.EXAMPLE.COM/",
        "https://APP.example.com/",
        "hTTps://app.example.com/",
        "https://admin.example.com/",
        "https://admin.example.com:844/",
        "https://admin.example.com:84433/",
        "http://admin.example.com:8443/",
        "wss://app.example.com/",
        "ftp://app.example.com/",
        "localhost",
        "evil.example",
        "www.evil.example/x",
        "@evil.example",
        ":evil",
        ":80",
        "app.example.com/reports",
    ],
    "RT-04-own-origin-with-a-bad-path": [
        f"{OWN}?q=1",
        f"{OWN}#top",
        f"{OWN}//evil.example",
        f"{OWN}/\\evil.example",
        f"{OWN}/..",
        f"{OWN}/%2f/evil.example",
        f"{OWN} /",
        f"{OWN}\n/",
        f"{OWN}\t.evil.example",
        f"{OWN}/a b",
        f" {OWN}/",
        f"{OWN}/{OWN}/",
    ],
    "RT-05-dangerous-scheme": [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "javascript://app.example.com/%0aalert(1)",
        "javascript:/reports",
        "data:text/html,x",
        "data:text/html;base64,PHNjcmlwdD4=",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://app.example.com/1",
        "view-source:https://app.example.com/",
        "about:blank",
        "mailto:x@evil.example",
        "intent://evil#Intent;end",
        "jar:https://evil.example!/",
    ],
    "RT-06-percent-encoded-once": [
        "/%2f/evil.example",
        "/%2F/evil.example",
        "/%2fevil.example",
        "/%2f%2fevil.example",
        "%2f%2fevil.example",
        "%2Fevil.example",
        "/%5cevil.example",
        "/%5Cevil.example",
        "/%5c%5cevil.example",
        "/a%2fb",
        "/a%5cb",
        "/%00",
        "/%00/evil.example",
        "/%09/evil.example",
        "/%0a/evil.example",
        "/%0A/evil.example",
        "/%0d/evil.example",
        "/%0D%0A/evil.example",
        "/%1f/evil.example",
        "/%7f",
        "/%7F",
        "https:%2f%2fevil.example",
        "https%3a//evil.example",
    ],
    "RT-06-percent-encoded-twice": [
        "/%252f/evil.example",
        "/%252Fevil.example",
        "/%255cevil.example",
        "/%2509/evil.example",
        "/%25",
        "/%2525",
        "/a%25b",
        "%252f%252fevil.example",
    ],
    "RT-06-broken-escape": ["/%", "/%2", "/%zz", "/%2x", "/%-1", "/a%", "/%%32%66", "/%u002f/evil.example"],
    "RT-07-dot-segment": [
        "/.",
        "/..",
        "/./",
        "/../",
        "/./x",
        "/../x",
        "/x/.",
        "/x/..",
        "/x/./y",
        "/x/../y",
        "/..//evil.example",
        "/.//evil.example",
        "/x/..//evil.example",
        "/x/../../evil.example",
        "/%2e",
        "/%2E",
        "/%2e%2e",
        "/%2e%2e/x",
        "/%2E%2e/",
        "/.%2e/x",
        "/%2e./x",
        "/%2e%2e//evil.example",
        "/x/%2e%2e",
        "/..?x",
        "/x/..?y",
        "/.#x",
        "/%2e%2e#x",
        "./x",
        "../x",
        ".",
        "..",
        ".//evil.example",
    ],
    "RT-08-inner-slashes": ["/x//evil.example", "/x//", "/x///y", "/x/y//z", "/x//..//y"],
    "RT-09-header-injection": [
        "/x\r\nSet-Cookie: DS=evil",
        "/x\nLocation: https://evil.example",
        "/x\r",
        "/x%0d%0aSet-Cookie:x",
        "/x\u560a\u560dSet-Cookie:x",
        "/x\x85Set-Cookie:x",
        "/x\u2028y",
        '/x"y',
        "/<script>",
        "/x?<script>",
        "/x#<script>",
        '/x?"',
    ],
    "RT-10-not-ascii": [
        "/\uff0fevil.example",
        "\uff0f\uff0fevil.example",
        "/\uff3cevil.example",
        "/\u2215evil.example",
        "/\u2044evil.example",
        "/\u29f8evil.example",
        "/caf\xe9",
        "/x?\xe9",
        "/x#\xe9",
        "/\u200b/evil.example",
        "\ufeff//evil.example",
        "/\u202e",
        "/\u0130",
        "/\u212a",
        "/\u017f",
        "/%\uff12\uff26",
        "/\ud800",
        "\xa0//evil.example",
    ],
    "RT-11-size-and-shape": [
        "",
        "reports",
        "?q=1",
        "#top",
        "x" * 100,
        "/" + "x" * 1_024,
        "/" * 100_000,
        "/x" * 50_000,
        "/?" + "%2f" * 100_000,
        f"{OWN}/" + "x" * 1_001,
        "null",
        "None",
        "undefined",
    ],
}


@pytest.mark.parametrize("value", ACCEPTED, ids=lambda value: value[:60])
def test_rt_a_safe_target_comes_back_unchanged(origins: Origins, value: str) -> None:
    """The check never rewrites: what was checked is what the browser gets (CVE-2021-43812)."""
    assert origins.return_to(value, AT_HOME) == value
    assert URL(value, base=f"{OWN}/login/sso").origin in (OWN, TRUSTED)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=f"{name}-{ascii(value)[1:-1][:60]}")
        for name, group in REJECTED.items()
        for value in group
    ],
)
def test_rt_anything_else_is_refused(origins: Origins, value: str) -> None:
    """What is not plainly a path of ours, or a URL of a trusted origin, is no target."""
    assert origins.return_to(value, AT_HOME) is None


def test_rt_no_target_is_none(origins: Origins) -> None:
    """A missing parameter is not an error."""
    assert origins.return_to(None, AT_HOME) is None


def test_rt_the_tables_are_wide() -> None:
    """At least 150 ways to be refused, and none of them is also accepted."""
    refused = {value for group in REJECTED.values() for value in group}
    assert len(refused) == sum(map(len, REJECTED.values())) >= 150
    assert refused.isdisjoint(ACCEPTED)


@pytest.mark.parametrize(
    ("host", "value", "accepted"),
    [
        pytest.param("localhost:8000", "https://localhost:8000/x", True, id="own-inferred"),
        pytest.param("localhost:8000", "http://localhost:8000/x", False, id="other-scheme"),
        pytest.param("localhost:8000", "https://localhost/x", False, id="other-port"),
        pytest.param("localhost", "https://localhost:8000/x", False, id="longer-port"),
        pytest.param("localhost", "https://localhost:5173/x", True, id="trusted-beside-own"),
        pytest.param("[::1]:8000", "https://[::1]:8000/x", True, id="own-ipv6"),
        pytest.param("evil.example", "https://evil.example/x", False, id="host-of-an-attacker"),
        pytest.param("evil.example", "https://localhost:5173/x", True, id="trusted-anyway"),
        pytest.param("evil.example", "/x", True, id="path-anyway"),
    ],
)
def test_rt_without_a_public_url_only_loopback_is_own(host: str, value: str, *, accepted: bool) -> None:
    """An absolute target follows the same inference as the public origin."""
    trusted = ("https://localhost:5173",)
    origins = Origins(DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz", trusted_origins=trusted))
    scope: Scope = {**AT_HOME, "headers": [(b"host", host.encode())]}
    assert origins.return_to(value, scope) == (value if accepted else None)


FORBIDDEN = frozenset({"/auth/login/sso", "/auth/callback", "/auth/logout"})


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        pytest.param("/auth/login/sso", False, id="exact"),
        pytest.param("/auth/callback?code=x&state=y", False, id="with-query"),
        pytest.param("/auth/logout#x", False, id="with-fragment"),
        pytest.param("/auth/logout/", False, id="slash-that-the-router-redirects"),
        pytest.param("/auth/log%6fut", False, id="encoded"),
        pytest.param("/%61uth/callback/?x", False, id="encoded-with-slash"),
        pytest.param(f"{OWN}/auth/logout", False, id="absolute"),
        pytest.param(f"{TRUSTED}/auth/logout", True, id="path-of-another-app"),
        pytest.param("/auth/logout/all", True, id="longer-path"),
        pytest.param("/auth", True, id="shorter-path"),
        pytest.param("/AUTH/LOGOUT", True, id="paths-have-a-case"),
        pytest.param("/?next=/auth/logout", True, id="in-the-query"),
        pytest.param("/#/auth/logout", True, id="in-the-fragment"),
        pytest.param("/", True, id="root"),
    ],
)
def test_rt13_a_target_that_leads_in_circles_is_refused(
    origins: Origins, value: str, *, accepted: bool
) -> None:
    """Signing in must not end at signing out."""
    assert origins.return_to(value, AT_HOME, forbidden=FORBIDDEN) == (value if accepted else None)


def test_rt13_the_root_can_be_forbidden(origins: Origins) -> None:
    """A plugin without a prefix may live at the root itself."""
    assert origins.return_to("/", AT_HOME, forbidden={"/"}) is None
    assert origins.return_to(OWN, AT_HOME, forbidden={"/"}) is None
