"""Checks a scenario from outside: responses of browsers, Descope's counts, processes and logs.

It uses neither the plugin's API nor its events. The invariants are those of the security model:

- I1: no other 5xx than 502 and 503.
- I2: no user gets the identity of another user.
- I3: no session ends while its token family is valid.
- I4: one refresh per family and rotation.
- I5: no expired token is accepted.
- I6: no secret in the logs.
- I7: no lost task, no leaked resource.
"""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from .browsers import Browser, Response
from .testbed import ProcessStats, Testbed, wait_until

__all__ = ["Checker", "Report"]

_OK, _UNAVAILABLE = 200, 503
_LEEWAY_SECONDS = 5.0
_BASELINE_SECONDS = 60.0
_POOLED_CONNECTIONS = 48
"""Connections that the plugin keeps open: twenty to Descope, sixteen to Redis, and a few to Sentinels."""
_CACHES_KIB = 24_576
"""Allowed growth of the bounded caches and of the heap of a new process."""
_EXPECTED_STATUSES = frozenset({0, 200, 401, 502, 503})
_UVICORN_SHUTDOWN = re.compile(r"Traceback(?:(?!Traceback).)*?graceful shutdown exceeded\n", re.DOTALL)
"""uvicorn's log when it cancels requests at shutdown."""
_LOG_ERRORS = ("Traceback", "was never retrieved", "was destroyed but it is pending", "Unclosed", "Warning:")


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a scenario.

    ``revoked`` is how many of ``cookies_cleared`` belong to sessions that Descope had ended. ``measured`` is
    printed only: it has no fixed limit. ``logged`` is what the app has logged, if something was violated.
    """

    name: str
    fault: str
    upstream_calls: int
    wrongly_logged_out: int
    foreign_identities: int
    cookies_cleared: int
    revoked: int
    violations: tuple[str, ...] = ()
    measured: str = ""
    logged: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return the report as one line, with the app's log after it if something was violated."""
        columns = [
            f"{self.name:<5}{self.fault:<60}",
            f"upstream {self.upstream_calls:<5}",
            f"wrongly logged out {self.wrongly_logged_out}",
            f"foreign identities {self.foreign_identities}",
            f"cookies cleared {self.cookies_cleared} (revoked {self.revoked})",
            *([self.measured] if self.measured else []),
            f"FAILED: {'; '.join(self.violations)}" if self.violations else "ok",
        ]
        return "\n".join(["   ".join(columns), *([self.logged] if self.logged else [])])


class Checker:
    """Checks the browsers of one scenario. ``violations`` are those that the scenario itself has found."""

    def __init__(self, testbed: Testbed, name: str, fault: str, before: dict[int, ProcessStats]) -> None:
        self._testbed = testbed
        self._name = name
        self._thrown = fault
        self._before = before
        self._logged = len(testbed.app.logged)
        self._revoked: set[str] = set()
        self.violations: list[str] = []

    @classmethod
    async def start(cls, testbed: Testbed, name: str, fault: str) -> Self:
        """Reset the testbed and return a checker for a new scenario."""
        await testbed.reset()
        return cls(testbed, name, fault, await testbed.app.stats())

    def expect(self, condition: bool, violation: str) -> None:
        """Record ``violation`` if the condition is false. The scenario continues."""
        if not condition:
            self.violations.append(violation)

    def expect_ok(self, responses: Iterable[Response], violation: str) -> None:
        """Record ``violation`` with the failed responses if a response is not 200."""
        failed = [response.summary for response in responses if response.status != _OK]
        self.expect(not failed, f"{violation}: {', '.join(failed)}")

    async def expect_soon(self, condition: Callable[[], Awaitable[bool]], violation: str) -> None:
        """Wait for a condition, and record ``violation`` if it does not become true."""
        try:
            await wait_until(condition)
        except TimeoutError:
            self.violations.append(violation)

    async def revoke(self, browser: Browser) -> None:
        """Revoke the session of a browser at Descope."""
        self._revoked.add(browser.user.user_id)
        await self._testbed.upstream.revoke(browser.user.user_id)

    def expect_end_of_session(self, browser: Browser) -> None:
        """Mark the session of a browser as one that the fault ends at Descope."""
        self._revoked.add(browser.user.user_id)

    async def report(
        self, browsers: Iterable[Browser], *, calls_per_family: int = 1, measured: str = ""
    ) -> Report:
        """End all faults, send one more request per browser, and check all invariants.

        ``calls_per_family`` is how many refreshes the scenario may cost one browser.
        """
        all_browsers = list(browsers)
        counts = await self._testbed.upstream.counts()
        await self._testbed.recover()
        valid = {b.user.user_id: await self._is_valid(b) for b in all_browsers}
        last = {b.user.user_id: await _last_answer(b) for b in all_browsers}
        lost = [user for user, response in last.items() if valid[user] and response.status != _OK]
        responses = [(browser, response) for browser in all_browsers for response in browser.responses]
        foreign = [text for browser, response in responses for text in _foreign(browser, response)]
        cleared = [browser for browser, response in responses if response.clears]
        busy = [user for user, calls in counts.users.items() if calls > calls_per_family]
        ends = [user for user in self._revoked if last[user].status == _OK]
        violations = [
            *self.violations,
            *sorted(
                {
                    f"I1: {a.path} returned {a.status}"
                    for _, a in responses
                    if a.status not in _EXPECTED_STATUSES
                }
            ),
            *foreign[:3],
            *[f"I3: {user} has a valid family and got {last[user].status}" for user in lost[:3]],
            *[
                f"I3: {b.user.user_id} lost its cookies"
                for b in cleared
                if b.user.user_id not in self._revoked
            ][:3],
            *[f"I4: {counts.users[user]} refreshes of {user}" for user in busy[:3]],
            *[
                f"I5: {b.user.user_id} succeeded with an expired token"
                for b, a in responses
                if _is_expired_session_accepted(a)
            ][:3],
            *[f"I5: {user} succeeds although revoked" for user in ends],
            *self._log_violations(responses),
            *await self._leaks(),
        ]
        return Report(
            name=self._name,
            fault=self._thrown,
            upstream_calls=counts.refreshes,
            wrongly_logged_out=len(lost),
            foreign_identities=len(foreign),
            cookies_cleared=len(cleared),
            revoked=sum(b.user.user_id in self._revoked for b in cleared),
            violations=tuple(violations),
            measured=measured,
            logged=self._testbed.app.logged[self._logged :] if violations else "",
        )

    async def _is_valid(self, browser: Browser) -> bool:
        """Return whether Descope would still accept any refresh token that the browser ever had."""
        received = [response.written.get("DSR", "") for response in browser.responses]
        for token in {browser.user.refresh, *received} - {""}:
            if await self._testbed.upstream.is_valid(token):
                return True
        return False

    async def _leaks(self) -> list[str]:
        """Return resources that leaked: more tasks, files or memory than before (I7)."""
        await self._testbed.client.aclose()
        leaks = ["no stats"]

        async def no_leaks() -> bool:
            leaks[:] = self._compare_with_before(await self._testbed.app.stats())
            return not leaks

        with suppress(TimeoutError):
            await wait_until(no_leaks, _BASELINE_SECONDS)
        return [f"I7: {text}" for text in leaks]

    def _compare_with_before(self, now: dict[int, ProcessStats]) -> list[str]:
        pairs = [(self._before[pid], stats) for pid, stats in now.items() if pid in self._before]
        tasks = [f"{a.tasks} tasks, {b.tasks} afterwards" for a, b in pairs if b.tasks > a.tasks]
        files = [
            f"{a.files} files, {b.files} afterwards"
            for a, b in pairs
            if b.files > a.files + _POOLED_CONNECTIONS
        ]
        grown = [
            f"{a.resident} KiB, {b.resident} afterwards"
            for a, b in pairs
            if b.resident > a.resident * 1.05 + _CACHES_KIB
        ]
        return tasks + files + grown

    def _log_violations(self, responses: list[tuple[Browser, Response]]) -> list[str]:
        logged = self._testbed.app.logged[self._logged :]
        tokens = {value for _, a in responses for value in (*a.written.values(), *a.sent.values()) if value}
        # The signature identifies the token. The value of a login cookie has none.
        signatures = {token.rpartition(".")[2] for token in tokens} - {""}
        leaked = [signature for signature in signatures if signature in logged]
        ours = _UVICORN_SHUTDOWN.sub("", logged)
        errors = [line for line in ours.splitlines() if any(word in line for word in _LOG_ERRORS)]
        return [
            *([f"I6: {len(leaked)} tokens in the log"] if leaked else []),
            *[f"I7: the log contains {line!r}" for line in errors[:3]],
        ]


async def _last_answer(browser: Browser) -> Response:
    """Return the response of a browser after the app has recovered, which takes a probe."""

    async def is_available() -> bool:
        return (await browser.get()).status != _UNAVAILABLE

    with suppress(TimeoutError):
        await wait_until(is_available)
    return browser.responses[-1]


def _foreign(browser: Browser, response: Response) -> list[str]:
    """Return identities in a response that are not those of the browser's user."""
    user, found = browser.user, set[tuple[object, object]]()
    if response.status == _OK:
        found.add((response.json["user"], response.json["tenant"]))
    written = response.written
    if written.get("DS"):
        claims = _claims(written["DS"])
        found.add((claims["sub"], claims.get("dct")))
    if written.get("DSR"):
        found.add((_claims(written["DSR"])["sub"], user.tenant))
    return [
        f"I2: {user.user_id} got the identity {who}" for who in found if who != (user.user_id, user.tenant)
    ]


def _is_expired_session_accepted(response: Response) -> bool:
    """Return whether a request with an expired session succeeded without a refresh.

    Requests without cookies are skipped: a scenario that sends bearer tokens checks them itself.
    """
    sent = response.sent.get("DS")
    if response.status != _OK or not response.sent:
        return False
    alive = sent is not None and _claims(sent)["exp"] + _LEEWAY_SECONDS >= response.at
    return not alive and not response.written.get("DS")


def _claims(token: str) -> dict[str, Any]:
    """Return the claims of a token, without verification."""
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims
