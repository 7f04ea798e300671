"""Parsers of Descope's responses: every response is one value or one precise error."""

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_descope._upstream.responses import (
    ApiResponse,
    TokenResponse,
    parse_login_url,
    parse_max_age,
    parse_notp_start,
    parse_profile,
    parse_tenant_names,
    parse_tokens,
    raise_for_status,
)
from fastapi_descope.errors import (
    InvalidUpstreamResponse,
    RateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)

SESSION = "session-head.session-body.session-seal"
REFRESH = "refresh-head.refresh-body.refresh-seal"

NOT_AN_OBJECT: Mapping[str, bytes] = {
    "empty": b"",
    "html": b"<!doctype html><title>Sign in to the WiFi</title>",
    "truncated": b'{"sessionJwt": "a.b',
    "list": b"[]",
    "null": b"null",
    "text": b'"a.b.c"',
    "number": b"1",
    "not utf-8": b'{"a": "\xff"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "too deep": b"[" * 100_000,
    "endless number": b'{"a": ' + b"9" * 5000 + b"}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
}


def json_response(value: object, *set_cookies: str) -> ApiResponse:
    """Return a 200 with ``value`` as JSON."""
    return ApiResponse(200, json.dumps(value).encode(), set_cookies=set_cookies)


def error_response(status: int, value: object = None, retry_after: str = "") -> ApiResponse:
    """Return a response with this status and ``value`` as JSON."""
    return ApiResponse(status, json.dumps(value).encode(), retry_after)


class TestRaiseForStatus:
    """Status and body determine the error (requirements 2.9)."""

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_every_2xx_passes(self, status: int) -> None:
        """The body may be empty."""
        raise_for_status(ApiResponse(status, b""))

    @pytest.mark.parametrize("status", [101, 199, 300, 301, 302, 303, 304, 307, 308, 399])
    def test_redirect_is_an_invalid_response(self, status: int) -> None:
        """Descope's API does not redirect, so the response is of another server."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            raise_for_status(ApiResponse(status, b'{"errorCode": "E061005"}'))
        assert caught.value.reason == "redirect"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 451, 499])
    def test_descope_error_is_a_rejection_with_status_and_code(self, status: int) -> None:
        """A 4xx with a Descope error is a refusal by Descope."""
        body = {"errorCode": "E061301", "errorDescription": "canary", "message": "canary"}
        with pytest.raises(UpstreamRejected) as caught:
            raise_for_status(error_response(status, body))
        assert (caught.value.upstream_status, caught.value.upstream_code) == (status, "E061301")

    @pytest.mark.parametrize("code", ["E06130", "E0613011", "e061301", "E061301\n", "canary", "E06130\u0661"])
    def test_error_code_of_another_form_is_dropped(self, code: str) -> None:
        """Other text could contain a secret (LG-02)."""
        with pytest.raises(UpstreamRejected) as caught:
            raise_for_status(error_response(401, {"errorCode": code}))
        assert caught.value.upstream_code == ""

    @pytest.mark.parametrize(
        "body",
        [
            *NOT_AN_OBJECT.values(),
            b"{}",
            b'{"errorCode": ""}',
            b'{"errorCode": 61301}',
            b'{"errorCode": null}',
            b'{"errorDescription": "E061301"}',
            b'{"error": {"errorCode": "E061301"}}',
            None,
        ],
    )
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 407])
    def test_4xx_without_a_descope_error_is_an_invalid_response(
        self, status: int, body: bytes | None
    ) -> None:
        """The 401 of a firewall or a hotel WiFi must not end a session."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            raise_for_status(ApiResponse(status, body))
        assert caught.value.reason == "unsigned_refusal"

    @pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 599])
    def test_every_5xx_is_an_outage(self, status: int) -> None:
        """A Descope error in the body changes nothing."""
        with pytest.raises(UpstreamUnavailable) as caught:
            raise_for_status(error_response(status, {"errorCode": "E061005"}))
        assert (type(caught.value), caught.value.retry_after) == (UpstreamUnavailable, 5)

    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [
            ("3", 3),
            (" 3 ", 3),
            ("0", 1),
            ("60", 60),
            ("61", 60),
            ("999999999", 60),
            ("1000000000", 60),
            ("9" * 19, 60),
            ("9" * 20, 5),
            ("", 5),
            ("-1", 5),
            ("+3", 5),
            ("1e9", 5),
            ("3.5", 5),
            ("x", 5),
            ("\u0663", 5),
            ("Fri, 31 Dec 1999 23:59:59 GMT", 5),
        ],
    )
    @pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, UpstreamUnavailable)])
    def test_retry_after_is_clamped(
        self, asked: str, seconds: int, status: int, kind: type[UpstreamUnavailable]
    ) -> None:
        """Whole seconds within 1 to 60 are used; any other text counts as 5."""
        with pytest.raises(kind) as caught:
            raise_for_status(error_response(status, retry_after=asked))
        assert caught.value.retry_after == seconds

    def test_success_with_an_oversize_body_is_an_invalid_response(self) -> None:
        """A body that was cut at the limit is not parsed."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            raise_for_status(ApiResponse(200, None))
        assert caught.value.reason == "oversize"


class TestTokens:
    """The unverified tokens of a JWTResponse."""

    def test_all_fields_are_parsed(self) -> None:
        """Tokens and next refresh are parsed, and all fields are kept for ``Login``."""
        fields = {
            "sessionJwt": SESSION,
            "refreshJwt": REFRESH,
            "nextRefreshSeconds": 90,
            "firstSeen": True,
            "user": {"userId": "U1", "email": "ada@acme.example"},
        }
        response = parse_tokens(json_response(fields))
        assert response == TokenResponse(SESSION, REFRESH, 90)
        assert response.fields == fields

    @pytest.mark.parametrize("absent", [{}, {"sessionJwt": "", "refreshJwt": ""}])
    def test_absent_and_empty_tokens_are_none(self, absent: Mapping[str, str]) -> None:
        """Neither is required: a project can send its tokens as cookies."""
        assert parse_tokens(json_response(absent)) == TokenResponse(None, None)

    def test_null_counts_as_absent(self) -> None:
        """Every field may be null, as ``user`` is after a refresh."""
        fields = ("sessionJwt", "refreshJwt", "nextRefreshSeconds", "firstSeen", "user", "cookieName")
        assert parse_tokens(json_response(dict.fromkeys(fields))) == TokenResponse(None, None)

    @pytest.mark.parametrize("name", ["sessionJwt", "refreshJwt"])
    @pytest.mark.parametrize(
        "value", [0, 1, True, False, [], {}, [SESSION], {"jwt": SESSION}, "\ud800", "a.\xe9.c"]
    )
    def test_token_that_is_not_text_is_an_invalid_response(self, name: str, value: object) -> None:
        """It does not count as absent, because an absent refresh token has its own meaning."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            parse_tokens(json_response({name: value}))
        assert caught.value.reason == "token_type"

    @pytest.mark.parametrize("value", [0, -1, True, "90", 90.5, [], {}, 10**400, 366 * 86400 + 1])
    def test_invalid_next_refresh_seconds_count_as_absent(self, value: object) -> None:
        """Only a whole number of seconds up to a year is valid."""
        assert parse_tokens(json_response({"nextRefreshSeconds": value})).next_refresh_seconds == 0

    @pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
    @pytest.mark.parametrize(
        "read", [parse_tokens, parse_login_url, parse_notp_start, parse_profile, parse_tenant_names]
    )
    def test_body_that_is_not_a_json_object_is_an_invalid_response(
        self, body: bytes, read: Callable[[ApiResponse], object]
    ) -> None:
        """This holds for every parser."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            read(ApiResponse(200, body))
        assert caught.value.reason == "not_json"

    def test_tokens_are_not_in_repr(self) -> None:
        """Neither the response nor the parsed tokens show them."""
        source = json_response({"sessionJwt": SESSION, "refreshJwt": REFRESH}, f"DSR={REFRESH}")
        shown = repr(source) + repr(parse_tokens(source))
        assert "seal" not in shown


class TestCookieMode:
    """A project may send its tokens as cookies (wire contract, section 4)."""

    def test_tokens_are_read_from_cookies_if_the_body_has_none(self) -> None:
        """The cookies are ``DS`` and ``DSR``."""
        response = parse_tokens(
            json_response(
                {"sessionJwt": "", "refreshJwt": ""},
                f"DS={SESSION}; Path=/; HttpOnly; Secure",
                f"DSR={REFRESH}; Path=/; HttpOnly; Secure; SameSite=None",
            )
        )
        assert (response.session_jwt, response.refresh_jwt) == (SESSION, REFRESH)

    def test_token_in_the_body_takes_precedence(self) -> None:
        """A cookie never replaces it."""
        response = parse_tokens(json_response({"refreshJwt": REFRESH}, "DSR=other.other.other"))
        assert response.refresh_jwt == REFRESH

    def test_cookie_names_in_the_body_are_used(self) -> None:
        """They are in ``cookieName`` and ``sessionCookieName``."""
        names = {"cookieName": "__Host-r", "sessionCookieName": "s"}
        response = parse_tokens(
            json_response(names, f"s={SESSION}", f"__Host-r={REFRESH}", "DS=a.b.c", "DSR=a.b.c")
        )
        assert (response.session_jwt, response.refresh_jwt) == (SESSION, REFRESH)

    @pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "é", "a\n", "n" * 65, 1, ["DSR"], None])
    def test_invalid_cookie_name_in_the_body_is_ignored(self, name: object) -> None:
        """The default name then applies."""
        assert parse_tokens(json_response({"cookieName": name}, f"DSR={REFRESH}")).refresh_jwt == REFRESH

    @pytest.mark.parametrize(
        "cookie",
        ["DSR=", "DSR", "DSR=a.b", "DSR=a.b.c.d", 'DSR="a.b.c"', "DSR=a..c", "DSRX=a.b.c", "dsr=a.b.c"],
    )
    def test_cookie_that_is_not_a_jwt_is_ignored(self, cookie: str) -> None:
        """This includes cleared cookies and cookies with other names."""
        assert parse_tokens(json_response({}, cookie)).refresh_jwt is None

    def test_last_cookie_of_a_name_is_used(self) -> None:
        """As in a browser. A deletion for an old domain changes nothing."""
        cookies = ("DSR=a.b.c", f" DSR = {REFRESH} ; Path=/", "DSR=; Max-Age=0; Domain=old.example")
        assert parse_tokens(json_response({}, *cookies)).refresh_jwt == REFRESH

    def test_ck06_cookie_attributes_in_the_body_are_ignored(self) -> None:
        """Domain, path and age affect no field of the result."""
        fields = {
            "cookieDomain": "x.com; Path=/evil",
            "cookiePath": "/evil",
            "cookieMaxAge": 3_600,
            "cookieExpiration": 1_900_000_000,
            "sessionCookieDomain": "com",
        }
        assert parse_tokens(json_response({"refreshJwt": REFRESH, **fields})) == TokenResponse(None, REFRESH)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
field_names = st.sampled_from(
    [
        *("sessionJwt", "refreshJwt", "cookieName", "nextRefreshSeconds", "firstSeen", "url", "errorCode"),
        *("user", "userId", "loginIds", "userTenants", "customAttributes", "tenants"),
    ]
)
bodies = st.binary() | st.dictionaries(field_names, json_values | st.text()).map(
    lambda value: json.dumps(value).encode()
)
responses = st.builds(
    ApiResponse,
    st.integers(100, 599),
    st.none() | bodies,
    retry_after=st.text(),
    cache_control=st.text(),
    set_cookies=st.lists(st.text() | st.text().map("DSR={}".format)).map(tuple),
)


@example(response=ApiResponse(401, b'{"errorCode": "E061001"}'), read=raise_for_status)
@example(response=ApiResponse(503, b""), read=raise_for_status)
@given(
    response=responses,
    read=st.sampled_from([raise_for_status, parse_tokens, parse_login_url, parse_notp_start, parse_profile]),
)
def test_any_response_is_a_value_or_an_upstream_error(
    response: ApiResponse, read: Callable[[ApiResponse], object]
) -> None:
    """No hostile response causes another exception."""
    assert parse_outcome(read, response) in {"value", "invalid", "rejected", "unavailable"}


@given(response=responses)
def test_any_response_has_tenant_names_or_is_invalid(response: ApiResponse) -> None:
    """The cache header is parsed or ignored."""
    assert parse_outcome(parse_tenant_names, response) in {"value", "invalid"}
    assert parse_outcome(parse_max_age, response) == "value"


def parse_outcome(read: Callable[[ApiResponse], object], response: ApiResponse) -> str:
    """Return how parsing ended, as one word."""
    try:
        read(response)
    except InvalidUpstreamResponse:
        return "invalid"
    except UpstreamRejected:
        return "rejected"
    except UpstreamUnavailable:
        return "unavailable"
    return "value"
