"""Every reply of Descope becomes one value or one precise error, whatever shape it has."""

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._upstream.responses import (
    ApiResponse,
    TokenResponse,
    parse_login_url,
    parse_max_age,
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
from fastapi_descope.session import UserProfile

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
    """A 200 whose body is ``value`` as JSON."""
    return ApiResponse(200, json.dumps(value).encode(), set_cookies=set_cookies)


def error_response(status: int, value: object = None, retry_after: str = "") -> ApiResponse:
    """A reply of that status whose body is ``value`` as JSON."""
    return ApiResponse(status, json.dumps(value).encode(), retry_after)


class TestRaiseForStatus:
    """A status and a body are one verdict (requirements 2.9)."""

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_every_success_is_a_yes(self, status: int) -> None:
        """A 2xx passes, with or without a body."""
        raise_for_status(ApiResponse(status, b""))

    @pytest.mark.parametrize("status", [101, 199, 300, 301, 302, 303, 304, 307, 308, 399])
    def test_a_redirect_is_no_verdict(self, status: int) -> None:
        """Descope's API redirects nobody, so a redirect is somebody else's."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            raise_for_status(ApiResponse(status, b'{"errorCode": "E061005"}'))
        assert caught.value.reason == "redirect"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 451, 499])
    def test_a_signed_no_keeps_its_status_and_code(self, status: int) -> None:
        """A 4xx with Descope's error shape is Descope's refusal."""
        body = {"errorCode": "E061301", "errorDescription": "canary", "message": "canary"}
        with pytest.raises(UpstreamRejected) as caught:
            raise_for_status(error_response(status, body))
        assert (caught.value.upstream_status, caught.value.upstream_code) == (status, "E061301")

    @pytest.mark.parametrize("code", ["E06130", "E0613011", "e061301", "E061301\n", "canary", "E06130\u0661"])
    def test_a_code_of_another_form_is_not_repeated(self, code: str) -> None:
        """Only a code of Descope's form is kept: another text could hold anything (LG-02)."""
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
    def test_an_unsigned_no_is_no_verdict(self, status: int, body: bytes | None) -> None:
        """A firewall's or a hotel WiFi's 401 ends no session."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            raise_for_status(ApiResponse(status, body))
        assert caught.value.reason == "unsigned_refusal"

    @pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 599])
    def test_a_server_error_is_an_outage(self, status: int) -> None:
        """Every 5xx means "come back", even with a well-formed error in it."""
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
        """Whole seconds within 1 to 60 are honoured; what is no such number counts as 5."""
        with pytest.raises(kind) as caught:
            raise_for_status(error_response(status, retry_after=asked))
        assert caught.value.retry_after == seconds

    def test_a_yes_that_is_too_large_is_nonsense(self) -> None:
        """A success whose body was cut at the limit is not read."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            raise_for_status(ApiResponse(200, None))
        assert caught.value.reason == "oversize"


class TestTokens:
    """A JWTResponse becomes the texts of two tokens, still unverified."""

    def test_a_full_answer_is_read(self) -> None:
        """Tokens, heartbeat, first sign-in and user are taken over."""
        response = parse_tokens(
            json_response(
                {
                    "sessionJwt": SESSION,
                    "refreshJwt": REFRESH,
                    "nextRefreshSeconds": 90,
                    "firstSeen": True,
                    "user": {"userId": "U1", "email": "ada@acme.example"},
                }
            )
        )
        profile = UserProfile("U1", email="ada@acme.example")
        assert response == TokenResponse(SESSION, REFRESH, 90, first_seen=True, profile=profile)

    @pytest.mark.parametrize("absent", [{}, {"sessionJwt": "", "refreshJwt": ""}])
    def test_absent_tokens_are_none(self, absent: Mapping[str, str]) -> None:
        """Absent and empty are the same; nothing else is made up: ``firstSeen`` defaults to False."""
        assert parse_tokens(json_response(absent)) == TokenResponse(None, None)

    def test_null_is_absent(self) -> None:
        """A field may be null, as ``user`` is on a refresh."""
        fields = ("sessionJwt", "refreshJwt", "nextRefreshSeconds", "firstSeen", "user", "cookieName")
        assert parse_tokens(json_response(dict.fromkeys(fields))) == TokenResponse(None, None)

    @pytest.mark.parametrize("name", ["sessionJwt", "refreshJwt"])
    @pytest.mark.parametrize(
        "value", [0, 1, True, False, [], {}, [SESSION], {"jwt": SESSION}, "\ud800", "a.\xe9.c"]
    )
    def test_a_token_that_is_not_text_is_nonsense(self, name: str, value: object) -> None:
        """It is not taken for a missing token: a missing refresh token has a meaning of its own."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            parse_tokens(json_response({name: value}))
        assert caught.value.reason == "token_type"

    @pytest.mark.parametrize("value", [0, -1, True, "90", 90.5, [], {}, 10**400, 366 * 86400 + 1])
    def test_an_absurd_heartbeat_is_none(self, value: object) -> None:
        """Only a whole number of seconds within a year is a time to refresh."""
        assert parse_tokens(json_response({"nextRefreshSeconds": value})).next_refresh_seconds == 0

    @pytest.mark.parametrize("value", [1, "true", "false", [], {}])
    def test_first_seen_must_be_true_itself(self, value: object) -> None:
        """A truthy value is not True: an app may create a user because of it."""
        assert parse_tokens(json_response({"firstSeen": value})).first_seen is False

    @pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
    @pytest.mark.parametrize("read", [parse_tokens, parse_login_url, parse_profile, parse_tenant_names])
    def test_no_object_is_nonsense(self, body: bytes, read: Callable[[ApiResponse], object]) -> None:
        """A success whose body is no JSON object is nobody's answer, for every reader."""
        with pytest.raises(InvalidUpstreamResponse) as caught:
            read(ApiResponse(200, body))
        assert caught.value.reason == "not_json"

    def test_tokens_stay_out_of_repr(self) -> None:
        """Neither the answer nor the reply shows a token."""
        source = json_response({"sessionJwt": SESSION, "refreshJwt": REFRESH}, f"DSR={REFRESH}")
        shown = repr(source) + repr(parse_tokens(source))
        assert "seal" not in shown


class TestCookieMode:
    """A project may hand out its tokens as cookies (wire contract, section 4)."""

    def test_tokens_come_from_cookies_when_the_body_has_none(self) -> None:
        """``DS`` and ``DSR`` stand in for empty fields."""
        response = parse_tokens(
            json_response(
                {"sessionJwt": "", "refreshJwt": ""},
                f"DS={SESSION}; Path=/; HttpOnly; Secure",
                f"DSR={REFRESH}; Path=/; HttpOnly; Secure; SameSite=None",
            )
        )
        assert (response.session_jwt, response.refresh_jwt) == (SESSION, REFRESH)

    def test_the_body_wins(self) -> None:
        """A cookie never replaces a token that the body names."""
        response = parse_tokens(json_response({"refreshJwt": REFRESH}, "DSR=other.other.other"))
        assert response.refresh_jwt == REFRESH

    def test_announced_names_are_used(self) -> None:
        """``cookieName`` and ``sessionCookieName`` say where the tokens are."""
        names = {"cookieName": "__Host-r", "sessionCookieName": "s"}
        response = parse_tokens(
            json_response(names, f"s={SESSION}", f"__Host-r={REFRESH}", "DS=a.b.c", "DSR=a.b.c")
        )
        assert (response.session_jwt, response.refresh_jwt) == (SESSION, REFRESH)

    @pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "é", "a\n", "n" * 65, 1, ["DSR"], None])
    def test_an_odd_announced_name_is_ignored(self, name: object) -> None:
        """What cannot name a cookie leaves the default in force."""
        assert parse_tokens(json_response({"cookieName": name}, f"DSR={REFRESH}")).refresh_jwt == REFRESH

    @pytest.mark.parametrize(
        "cookie",
        ["DSR=", "DSR", "DSR=a.b", "DSR=a.b.c.d", 'DSR="a.b.c"', "DSR=a..c", "DSRX=a.b.c", "dsr=a.b.c"],
    )
    def test_what_is_no_jwt_is_no_token(self, cookie: str) -> None:
        """A cookie that is cleared, of another name or not spelt like a JWT is passed over."""
        assert parse_tokens(json_response({}, cookie)).refresh_jwt is None

    def test_the_last_cookie_of_a_name_counts(self) -> None:
        """As in a browser; a clearing for an old domain beside it changes nothing."""
        cookies = ("DSR=a.b.c", f" DSR = {REFRESH} ; Path=/", "DSR=; Max-Age=0; Domain=old.example")
        assert parse_tokens(json_response({}, *cookies)).refresh_jwt == REFRESH

    def test_ck06_cookie_attributes_of_the_answer_are_ignored(self) -> None:
        """Domain, path and age of the answer reach no field of the value."""
        fields = {
            "cookieDomain": "x.com; Path=/evil",
            "cookiePath": "/evil",
            "cookieMaxAge": -1,
            "cookieExpiration": 10**30,
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
bodies = st.binary() | st.dictionaries(field_names, json_values).map(lambda value: json.dumps(value).encode())
responses = st.builds(
    ApiResponse,
    st.integers(100, 599),
    st.none() | bodies,
    retry_after=st.text(),
    cache_control=st.text(),
    set_cookies=st.lists(st.text() | st.text().map("DSR={}".format)).map(tuple),
)


@given(
    reply=responses, read=st.sampled_from([raise_for_status, parse_tokens, parse_login_url, parse_profile])
)
def test_any_reply_gives_a_value_or_an_upstream_error(
    reply: ApiResponse, read: Callable[[ApiResponse], object]
) -> None:
    """No reply, however hostile, lets another exception out."""
    assert parse_outcome(read, reply) in {"value", "nonsense", "refused", "unavailable"}


@given(reply=responses)
def test_any_reply_has_tenant_names_or_is_nonsense(reply: ApiResponse) -> None:
    """The tenant list is no different, and a cache header is read or ignored."""
    assert parse_outcome(parse_tenant_names, reply) in {"value", "nonsense"}
    assert parse_outcome(parse_max_age, reply) == "value"


def parse_outcome(read: Callable[[ApiResponse], object], reply: ApiResponse) -> str:
    """What came of reading ``reply``, in one word."""
    try:
        read(reply)
    except InvalidUpstreamResponse:
        return "nonsense"
    except UpstreamRejected:
        return "refused"
    except UpstreamUnavailable:
        return "unavailable"
    return "value"
