"""The nginx server of docs/how-to/behind-a-proxy.md works as it is written, apart from ports and TLS."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.nginx import LISTEN, nginx_with

from .browser import Browser
from .test_nginx_buffers import PAGE, ROWS, TENANTS, served_behind

_BLOCK = re.compile(r"^```nginx\n(.*?)^```", re.DOTALL | re.MULTILINE)
_TLS = re.compile(r"^ *(?:ssl_certificate\w*|server_name) .*\n", re.MULTILINE)


def documented(upstream: str, folder: Path) -> str:
    """Return the configuration of the page, with another upstream, its log in ``folder``, and without TLS."""
    (text,) = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert text.count("http://127.0.0.1:8000") == 2
    text = _TLS.sub("", text).replace("/var/log/nginx", str(folder))
    return text.replace("http://127.0.0.1:8000", upstream).replace("443 ssl", LISTEN)


@contextmanager
def served(folder: Path) -> Generator[str]:
    """Serve an app behind the nginx of the page, and yield the URL of nginx."""
    with served_behind(lambda upstream: nginx_with(documented(upstream, folder), folder)) as url:
        yield url


def test_the_server_of_the_page_passes_a_login_and_the_largest_cookies_on(tmp_path: Path) -> None:
    """The host of the browser arrives, so the login costs no redirect more; both buffers are large enough."""
    with served(tmp_path) as url, Browser(url) as browser:
        callback = browser.log_in(TENANTS[0].id, f"{ROWS[-1]}@example.com")

        assert callback.status_code == 303
        assert browser.get("/me").status_code == 200


def test_the_server_of_the_page_logs_no_code_of_a_callback(tmp_path: Path) -> None:
    """The access log has the path of the callback, without its query."""
    with served(tmp_path) as url, Browser(url) as browser:
        browser.log_in(TENANTS[0].id, f"{ROWS[0]}@example.com")

    log = (tmp_path / "app.log").read_text(encoding="utf-8")
    assert '"GET /callback" 303' in log
    assert "code=" not in log


def test_the_server_of_the_page_limits_the_rate_of_logins(tmp_path: Path) -> None:
    """After a burst of twenty, nginx answers itself."""
    with served(tmp_path) as url, Browser(url) as browser:
        statuses = [browser.get("/login/sso?tenant=unknown").status_code for _ in range(30)]

    assert 429 not in statuses[:20]
    assert statuses[-1] == 429
