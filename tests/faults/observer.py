"""Looks at a scenario from outside: at what browsers were told, at Descope's counts, at processes and logs.

It asks nothing of the plugin and believes none of its events. The invariants are those of the
security model: I1 no other 5xx than 502 and 503; I2 nobody sees another one; I3 nobody is logged out whose
family is valid; I4 one refresh per family and rotation; I5 no dead token passes; I6 no secret in the logs;
I7 no task lost, and nothing left behind.
"""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from .browsers import Answer, Browser
from .rig import Rig, Vitals, until

__all__ = ["Observer", "Report"]

_OK, _LATER = 200, 503
_LEEWAY_SECONDS = 5.0
_BASELINE_SECONDS = 60.0
_KEPT_CONNECTIONS = 28
"""What the plugin keeps open between calls: twenty to Descope, eight to Redis."""
_CACHES_KIB = 24_576
"""What its caches, which are bounded, and the heap of a process that has just started may grow by."""
_MEANT = frozenset({0, 200, 401, 502, 503})
_SERVERS_OWN = re.compile(r"Traceback(?:(?!Traceback).)*?graceful shutdown exceeded\n", re.DOTALL)
"""What uvicorn says when it ends and has to cut off requests."""
_LAMENTS = ("Traceback", "was never retrieved", "was destroyed but it is pending", "Unclosed", "Warning:")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a scenario. ``revoked``: how many of ``cookies_cleared`` Descope had ended.

    ``measured`` is for what has no fixed limit; it is printed, and nothing depends on it.
    """

    name: str
    thrown: str
    upstream_calls: int
    wrongly_logged_out: int
    foreign_identities: int
    cookies_cleared: int
    revoked: int
    violations: tuple[str, ...] = ()
    measured: str = ""

    def __str__(self) -> str:
        """One line."""
        columns = [
            f"{self.name:<5}{self.thrown:<60}",
            f"upstream {self.upstream_calls:<5}",
            f"wrongly logged out {self.wrongly_logged_out}",
            f"foreign identities {self.foreign_identities}",
            f"cookies cleared {self.cookies_cleared} (revoked {self.revoked})",
            *([self.measured] if self.measured else []),
            f"BROKEN: {'; '.join(self.violations)}" if self.violations else "ok",
        ]
        return "   ".join(columns)


class Observer:
    """Watches the browsers of one scenario, which ``watching`` begins.

    ``broken`` takes what the scenario itself finds wrong.
    """

    def __init__(self, rig: Rig, name: str, thrown: str, before: dict[int, Vitals]) -> None:
        self._rig = rig
        self._name = name
        self._thrown = thrown
        self._before = before
        self._logged = len(rig.app.logged)
        self._revoked: set[str] = set()
        self.broken: list[str] = []

    @classmethod
    async def watching(cls, rig: Rig, name: str, thrown: str) -> Self:
        """An observer of a scenario that begins now: nothing is wrong, nobody is there."""
        await rig.fresh()
        return cls(rig, name, thrown, await rig.app.vitals())

    def expect(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion does
        """Note that something did not hold; the scenario goes on."""
        if not holds:
            self.broken.append(otherwise)

    async def expect_soon(self, condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        """As ``expect``, of what the app comes to by itself."""
        try:
            await until(condition)
        except TimeoutError:
            self.broken.append(otherwise)

    async def revoke(self, browser: Browser) -> None:
        """Have Descope end the session of one of the browsers."""
        self._revoked.add(browser.guest.user)
        await self._rig.upstream.revoke(browser.guest.user)

    def give_up(self, browser: Browser) -> None:
        """Say of one of the browsers that Descope has ended its session, because of what was thrown."""
        self._revoked.add(browser.guest.user)

    async def report(
        self, browsers: Iterable[Browser], *, calls_per_family: int = 1, measured: str = ""
    ) -> Report:
        """The end: all is well again, everybody comes once more, and the record is gone through.

        ``calls_per_family`` is how many refreshes the scenario may have cost one browser.
        """
        everybody = list(browsers)
        counts = await self._rig.upstream.counts()
        await self._rig.heal()
        valid = {b.guest.user: await self._is_valid(b) for b in everybody}
        last = {b.guest.user: await _last_answer(b) for b in everybody}
        lost = [user for user, answer in last.items() if valid[user] and answer.status != _OK]
        answers = [(browser, answer) for browser in everybody for answer in browser.answers]
        foreign = [text for browser, answer in answers for text in _foreign(browser, answer)]
        cleared = [browser for browser, answer in answers if answer.clears]
        busy = [user for user, calls in counts.users.items() if calls > calls_per_family]
        ends = [user for user in self._revoked if last[user].status == _OK]
        violations = [
            *self.broken,
            *sorted({f"I1: {a.path} answered {a.status}" for _, a in answers if a.status not in _MEANT}),
            *foreign[:3],
            *[f"I3: {user} has a valid family and got {last[user].status}" for user in lost[:3]],
            *[f"I3: {b.guest.user} was cleared" for b in cleared if b.guest.user not in self._revoked][:3],
            *[f"I4: {counts.users[user]} refreshes of {user}" for user in busy[:3]],
            *[f"I5: {b.guest.user} passed with a dead token" for b, a in answers if _is_unearned(a)][:3],
            *[f"I5: {user} passes, and is revoked" for user in ends],
            *self._log_violations(answers),
            *await self._left_behind(),
        ]
        return Report(
            name=self._name,
            thrown=self._thrown,
            upstream_calls=counts.refreshes,
            wrongly_logged_out=len(lost),
            foreign_identities=len(foreign),
            cookies_cleared=len(cleared),
            revoked=sum(b.guest.user in self._revoked for b in cleared),
            violations=tuple(violations),
            measured=measured,
        )

    async def _is_valid(self, browser: Browser) -> bool:
        """Whether Descope would still renew any token that the browser ever had."""
        told = [answer.written.get("DSR", "") for answer in browser.answers]
        for token in {browser.guest.refresh, *told} - {""}:
            if await self._rig.upstream.is_valid(token):
                return True
        return False

    async def _left_behind(self) -> list[str]:
        """What a worker has more of than before, once everybody has hung up (I7)."""
        await self._rig.line.aclose()
        more = ["no vitals"]

        async def is_clean() -> bool:
            more[:] = self._more_than_before(await self._rig.app.vitals())
            return not more

        with suppress(TimeoutError):
            await until(is_clean, _BASELINE_SECONDS)
        return [f"I7: {text}" for text in more]

    def _more_than_before(self, now: dict[int, Vitals]) -> list[str]:
        pairs = [(self._before[pid], vitals) for pid, vitals in now.items() if pid in self._before]
        tasks = [f"{a.tasks} tasks, {b.tasks} after it" for a, b in pairs if b.tasks > a.tasks]
        files = [
            f"{a.files} files, {b.files} after it" for a, b in pairs if b.files > a.files + _KEPT_CONNECTIONS
        ]
        grown = [
            f"{a.resident} KiB, {b.resident} after it"
            for a, b in pairs
            if b.resident > a.resident * 1.05 + _CACHES_KIB
        ]
        return tasks + files + grown

    def _log_violations(self, answers: list[tuple[Browser, Answer]]) -> list[str]:
        logged = self._rig.app.logged[self._logged :]
        tokens = {value for _, a in answers for value in (*a.written.values(), *a.sent.values()) if value}
        # A signature alone would do to know the token by, and is in no other text.
        leaked = [token for token in tokens if token.rpartition(".")[2] in logged]
        ours = _SERVERS_OWN.sub("", logged)
        laments = [line for line in ours.splitlines() if any(word in line for word in _LAMENTS)]
        return [
            *([f"I6: {len(leaked)} tokens are in the log"] if leaked else []),
            *[f"I7: the log says {line!r}" for line in laments[:3]],
        ]


async def _last_answer(browser: Browser) -> Answer:
    """What a browser is told once the app has found out that all is well, which takes a trial."""

    async def has_been_decided() -> bool:
        return (await browser.get()).status != _LATER

    with suppress(TimeoutError):
        await until(has_been_decided, 10)
    return browser.answers[-1]


def _foreign(browser: Browser, answer: Answer) -> list[str]:
    """What of an answer is about somebody else than the browser's guest."""
    guest, found = browser.guest, set[tuple[object, object]]()
    if answer.status == _OK:
        found.add((answer.json["user"], answer.json["tenant"]))
    written = answer.written
    if written.get("DS"):
        claims = _claims(written["DS"])
        found.add((claims["sub"], claims.get("dct")))
    if written.get("DSR"):
        found.add((_claims(written["DSR"])["sub"], guest.tenant))
    return [f"I2: {guest.user} was told of {who}" for who in found if who != (guest.user, guest.tenant)]


def _is_unearned(answer: Answer) -> bool:
    """Whether an identity was given for a session that was over when asked, and is not renewed by this.

    What came without cookies is not judged here: a scenario that sends bearers knows what it sends.
    """
    sent = answer.sent.get("DS")
    if answer.status != _OK or not answer.sent:
        return False
    alive = sent is not None and _claims(sent)["exp"] + _LEEWAY_SECONDS >= answer.at
    return not alive and not answer.written.get("DS")


def _claims(token: str) -> dict[str, Any]:
    """The claims of a token, unverified."""
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims
