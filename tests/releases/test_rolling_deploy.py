"""A rolling deploy: a process of the previous release and one of this tree serve the same browsers.

The emulator rotates refresh tokens and accepts none twice, so a second refresh of a family ends its session.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle
from pathlib import Path

import pytest

from fastapi_descope.emulator import Emulator, Grants, Project, SeedUser
from fastapi_descope.emulator.server import running
from tests.deployment.browser import Browser
from tests.faults.fleet import LONG_TIMEOUTS
from tests.helpers.ports import free_port
from tests.helpers.redis_server import RedisServer

from .releases import ROOT, previous_release, running_worker

pytestmark = [pytest.mark.redis, pytest.mark.slow]

_DIRECTIONS = pytest.mark.parametrize(("first", "then"), [("previous", "current"), ("current", "previous")])
_BROWSERS = 6
_REFRESHES = 4
_USERS = 30
_REVOKED_SECONDS = 20
"""A revocation takes milliseconds. A busy machine takes longer."""


class Deploy:
    """Two processes with one public URL, one Redis and one Descope.

    Args:
        emulator: Their Descope. Each user in it has sessions in one test only.
        urls: The URL of each process, by its release.
        start_previous: Runs another process of the previous release, and yields it with its URL.
    """

    def __init__(
        self,
        emulator: Emulator,
        urls: Mapping[str, str],
        start_previous: Callable[[], AbstractContextManager[tuple["subprocess.Popen[bytes]", str]]],
    ) -> None:
        self.emulator = emulator
        self.urls = urls
        self.start_previous = start_previous
        self.public_url = urls["current"]
        self._users = (user.login_id for user in emulator.project.users)

    def user(self) -> str:
        """Return a user who has not signed in yet."""
        return next(self._users)

    @contextmanager
    def browser(self, user: str, release: str, *, expired: bool = False) -> Generator[Browser]:
        """Yield a browser with a session of a user, whose requests go to a process of a release."""
        pair = self.emulator.issue(user, "acme", session_seconds=-60 if expired else None)
        with Browser(self.public_url, pair) as browser:
            if expired:
                browser.expire_session()
            browser.use(self.urls[release])
            yield browser

    @contextmanager
    def copy_of(self, browser: Browser, release: str) -> Generator[Browser]:
        """Yield a browser with a copy of the cookies of another one."""
        with Browser(self.public_url) as copy:
            copy.copy_cookies(browser)
            copy.use(self.urls[release])
            yield copy

    def calls(self, endpoint: str) -> int:
        """Return how often an endpoint of Descope was called since the last time."""
        count = self.emulator.requests.count(endpoint)
        self.emulator.requests.clear()
        return count


@pytest.fixture(scope="module")
def running_deploy(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """Run a process of each release."""
    previous, logs = previous_release(tmp_path_factory.mktemp("previous")), tmp_path_factory.mktemp("logs")
    tenants = {"acme": Grants(), "globex": Grants()}
    users = (SeedUser(f"user{number}@acme.example", tenants=tenants) for number in range(_USERS))
    emulator = Emulator(Project(rotate_refresh=True, users=tuple(users)))
    ports = {"previous": free_port(), "current": free_port()}
    urls = {release: f"http://127.0.0.1:{port}" for release, port in ports.items()}
    with running(emulator):
        variables = {
            "DESCOPE_PROJECT_ID": emulator.project_id,
            "DESCOPE_BASE_URL": emulator.base_url,
            "DESCOPE_PUBLIC_URL": urls["current"],
            "DESCOPE_REDIS_URL": shared_redis.url,
            **LONG_TIMEOUTS,
        }

        @contextmanager
        def start(release: Path, port: int) -> Generator["subprocess.Popen[bytes]"]:
            with running_worker(release, port, variables, logs / f"{port}.log") as process:
                yield process

        @contextmanager
        def start_previous() -> Generator[tuple["subprocess.Popen[bytes]", str]]:
            port = free_port()
            with start(previous, port) as process:
                yield process, f"http://127.0.0.1:{port}"

        with start(previous, ports["previous"]), start(ROOT, ports["current"]):
            yield Deploy(emulator, urls, start_previous)


@pytest.fixture
def deploy(running_deploy: Deploy) -> Deploy:
    """A process of each release, and a Descope that has received no call yet."""
    running_deploy.emulator.requests.clear()
    return running_deploy


@_DIRECTIONS
def test_login_starts_in_one_release_and_ends_in_the_other(deploy: Deploy, first: str, then: str) -> None:
    """The cookie of a login in progress has one form in both, and so has the memory of a completed one."""
    with Browser(deploy.public_url) as browser:
        browser.use(deploy.urls[first])
        callback = browser.open_callback("acme", deploy.user()).removeprefix(deploy.public_url)
        browser.use(deploy.urls[then])
        response = browser.navigate(callback)
        assert (response.status_code, response.headers["location"]) == (303, "/me")

        browser.use(deploy.urls[first])
        assert browser.get("/me").status_code == 200
        repeated = browser.navigate(callback)

        assert (repeated.status_code, repeated.headers["location"]) == (303, "/me")
        assert deploy.calls("exchange") == 1


def test_sessions_that_alternate_between_releases_are_refreshed_once_each_time(deploy: Deploy) -> None:
    """No user is signed out, and none gets the session of another."""
    for _ in range(_BROWSERS):
        with deploy.browser(deploy.user(), "current") as browser:
            user_id = browser.get("/me").json()["user"]
            for url, _ in zip(cycle(deploy.urls.values()), range(_REFRESHES), strict=False):
                browser.use(url)
                browser.expire_session()
                for _ in range(2):
                    response = browser.get("/me")
                    assert (response.status_code, response.json()["user"]) == (200, user_id)

    assert deploy.calls("refresh") == _BROWSERS * _REFRESHES


@_DIRECTIONS
def test_requests_at_both_releases_share_one_refresh(deploy: Deploy, first: str, then: str) -> None:
    """The lease counts in both, and so does the result for a request that is late."""
    user = deploy.user()
    deploy.emulator.faults.add("refresh", hold=True)
    with (
        deploy.browser(user, first, expired=True) as one,
        deploy.copy_of(one, then) as other,
        deploy.copy_of(one, then) as late,
        ThreadPoolExecutor(2) as executor,
    ):
        refreshing = executor.submit(one.get, "/me")
        asyncio.run(deploy.emulator.faults.wait_until_held())
        waiting = executor.submit(other.get, "/me")
        deploy.emulator.faults.release()
        assert [each.result().status_code for each in (refreshing, waiting)] == [200, 200]
        assert late.get("/me").status_code == 200

        assert one.cookies == other.cookies == late.cookies
        assert deploy.calls("refresh") == 1


@_DIRECTIONS
def test_logout_in_one_release_counts_in_the_other(deploy: Deploy, first: str, then: str) -> None:
    """For the session token and the refresh token. Another session of the user continues."""
    user = deploy.user()
    with (
        deploy.browser(user, first, expired=True) as browser,
        deploy.browser(user, then) as another,
    ):
        assert browser.get("/me").status_code == 200
        with deploy.copy_of(browser, then) as copy, deploy.copy_of(browser, then) as expired:
            assert copy.get("/me").status_code == 200
            assert browser.post("/logout").status_code == 204

            _wait_until_refused(copy)
            expired.expire_session()
            assert expired.get("/me").status_code == 401
        assert another.get("/me").status_code == 200


@_DIRECTIONS
def test_revocation_in_one_release_counts_in_the_other(deploy: Deploy, first: str, then: str) -> None:
    """For every session of the user, and for no other user."""
    user = deploy.user()
    with (
        deploy.browser(user, first) as browser,
        deploy.browser(user, then) as another,
        deploy.browser(deploy.user(), then) as hank,
    ):
        assert another.get("/me").status_code == 200
        assert browser.post("/logout/all").status_code == 204

        _wait_until_refused(another)
        assert hank.get("/me").status_code == 200


@_DIRECTIONS
def test_tenant_switch_in_one_release_counts_in_the_other(deploy: Deploy, first: str, then: str) -> None:
    """Also for a request that still has the former cookies."""
    with (
        deploy.browser(deploy.user(), first) as browser,
        deploy.copy_of(browser, then) as late,
    ):
        assert browser.post("/tenant/select", {"tenant": "globex"}).status_code == 200
        late.expire_session()

        assert late.get("/me").json()["tenant"] == "globex"
        browser.use(deploy.urls[then])
        assert browser.get("/me").json()["tenant"] == "globex"
        assert deploy.calls("refresh") == 0


def test_process_of_this_release_replaces_one_that_is_refreshing(deploy: Deploy) -> None:
    """The process that stops finishes the refresh, and leaves its result to the next."""
    with (
        deploy.start_previous() as (process, url),
        deploy.browser(deploy.user(), "current", expired=True) as browser,
        deploy.copy_of(browser, "current") as again,
        ThreadPoolExecutor(1) as executor,
    ):
        browser.use(url)
        deploy.emulator.faults.add("refresh", hold=True, when="after")
        request = executor.submit(browser.get, "/me")
        asyncio.run(deploy.emulator.faults.wait_until_held())
        process.terminate()
        deploy.emulator.faults.release()
        assert request.result().status_code == 200
        process.wait(30)

        assert again.get("/me").status_code == 200
        assert deploy.calls("refresh") == 1


def _wait_until_refused(browser: Browser) -> None:
    """Send requests until one is refused: a revocation reaches another process after some milliseconds."""
    cookies, deadline = dict(browser.cookies), time.monotonic() + _REVOKED_SECONDS
    while browser.get("/me").status_code == 200:
        assert time.monotonic() < deadline
        assert dict(browser.cookies) == cookies
