"""One session in two processes that share a store: what may happen to it, one turn of the loop at a time.

Nothing here runs by itself. ``turn`` and ``wait`` are all that lets anything happen, so that the same calls
make the same run on any machine.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fastapi_descope._refresh.coordinator import RefreshCoordinator
from fastapi_descope._refresh.outcome import Ended, Outcome, Renewed
from fastapi_descope.errors import SessionEnded, UpstreamError, UpstreamRejected
from fastapi_descope.events import EventBus
from fastapi_descope.session import RefreshToken, TokenPair
from tests.helpers.event_loop import VirtualTimeLoop
from tests.helpers.faulty_upstream import FaultyDescope
from tests.helpers.strict_upstream import DistantStore

_GRACE = 30.0

_MARGIN = 15.0
"""Nobody comes with a token this close to the end of its grace: it may have to wait behind two calls."""

_LONGEST_FLIGHT = 10.0
"""What was asked of Descope before that is in the store, or will never be."""

_LOGOUT_SECONDS = 2.0
"""As in ``_auth/login.py``."""


class Fate(Enum):
    """What becomes of a response."""

    ARRIVES = "arrives"
    LOST = "is sent, and nobody receives it"
    UNSENT = "gives way to an error page without cookies"


@dataclass(frozen=True, slots=True)
class _Certain:
    """What had become final before somebody began: it may not be undone for them."""

    signed_out: bool = False
    switches: int = 0
    retired: frozenset[str] = frozenset()


class _Process:
    """A process: the one thing that ends with it is its ``RefreshCoordinator``."""

    def __init__(self, descope: FaultyDescope, store: DistantStore) -> None:
        self.refresher = RefreshCoordinator(
            store=store,
            exchange=descope.asks(self),
            verify=descope.verify,
            events=EventBus(),
            clock=descope.clock,
            grace=_GRACE,
        )


class FleetSession:
    """The session of one user, the tokens that browsers have of it, and the two processes.

    Whoever is told something checks that it may be so; ``turn`` and ``wait`` raise what they found.
    """

    def __init__(self, *, rotates: bool = True, reuse_grace: float = 0.0, lifetime: int = 600) -> None:
        self.loop = VirtualTimeLoop()
        self.descope = FaultyDescope(self.loop, rotates=rotates, reuse_grace=reuse_grace, lifetime=lifetime)
        self._store = DistantStore(self.descope.clock)
        self._processes = [self._process(), self._process()]
        self._handed_out = {(first := self.descope.sign_in()).text: first}
        self._forgotten_at: dict[str, float] = {}
        self._signed_out = False
        self._sign_out_begun = False
        self._certain = _Certain()
        self._visits: dict[asyncio.Task[None], _Process] = {}
        self._gates: list[asyncio.Event] = []

    # ------------------------------------------------------------------ time

    @property
    def elapsed(self) -> float:
        """Seconds since the sign-in."""
        return self.loop.time()

    def turn(self, times: int) -> None:
        """Let the event loop go round so many times; no time passes."""
        for _ in range(times):
            self.loop.stop()
            self.loop.run_forever()
        self._check()

    def wait(self, seconds: float) -> None:
        """Let everything happen that happens within so many seconds."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self._check()

    # ------------------------------------------------------------------ what people do

    @property
    def tokens(self) -> list[RefreshToken]:
        """Those that somebody may come with: the newest, and those within their grace.

        With any other RF-04 promises nothing.
        """
        now, retired = self.descope.clock(), self.descope.retired
        return [
            token
            for token in self._handed_out.values()
            if token.text not in retired or now < self._forgotten_at.get(token.text, now + 60) - _MARGIN
        ]

    @property
    def knows_of_a_logout(self) -> bool:
        """Whether one is complete."""
        return self._signed_out

    def request(self, process: int, held: RefreshToken, fate: Fate = Fate.ARRIVES) -> None:
        """Begin a request with a dead session."""
        of = self._processes[process]
        self._begin(of, self._request(of.refresher, held, fate))

    def switch(self, process: int, held: RefreshToken, tenant: str) -> None:
        """Begin a tenant switch."""
        of = self._processes[process]
        self._begin(of, self._switch(of, held, tenant))

    def sign_out(self, process: int, held: RefreshToken, *, reaches_descope: bool) -> None:
        """Begin a logout."""
        self._sign_out_begun = True
        of = self._processes[process]
        self._begin(of, self._sign_out(of.refresher, held, reaches_descope=reaches_descope))

    def hang_up(self, number: int) -> None:
        """Cancel one of those who wait, if anybody does."""
        waiting = [visit for visit in self._visits if not visit.done()]
        if waiting:
            waiting[number % len(waiting)].cancel()

    # ------------------------------------------------------------------ what machines do

    def crash(self, process: int) -> None:
        """Cut off whatever a process has in flight; another takes its place, with the store's memory only."""
        dying, self._processes[process] = self._processes[process], self._process()
        for visit, of in self._visits.items():
            if of is dying:  # or whoever waits there would begin something new after its end
                visit.cancel()
        self.loop.create_task(self._bury(dying))

    def hold(self) -> None:
        """Hold back the answers to what is asked of Descope from now on."""
        self._gates.append(self.descope.hold())

    def release(self) -> None:
        """Hand out what was held back, and what comes from now on."""
        self.descope.serve()
        while self._gates:
            self._gates.pop().set()

    # ------------------------------------------------------------------ the end

    def check_end(self) -> None:
        """Without further trouble everybody is told something, and the session is where it has to be."""
        self.descope.faults.clear()
        self.descope.keys_known = True
        self.release()
        self.wait(100)  # the longest pause and the longest lease are over
        assert asyncio.all_tasks(self.loop) == set()
        for process in self._processes:
            for held in self.tokens:
                self._check_settled(process.refresher, held)
        self._check()

    def close(self) -> None:
        """Close the loop; what a failed check has left in it is cancelled first."""
        assert all(task.cancel() for task in asyncio.all_tasks(self.loop))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _check_settled(self, refresher: RefreshCoordinator, held: RefreshToken) -> None:
        outcome = self.loop.run_until_complete(refresher.refresh(held))
        if self._signed_out:
            assert outcome == Ended(), held.text
        elif not (self._sign_out_begun or self.descope.family_is_over):
            assert isinstance(outcome, Renewed), (held.text, outcome)
            assert outcome.pair.session.tenant_id == self.descope.tenants()[-1], held.text
            self._hand_out(outcome.pair)

    # ------------------------------------------------------------------ how it goes

    def _process(self) -> _Process:
        return _Process(self.descope, self._store)

    def _begin(self, process: _Process, visit: Coroutine[Any, Any, None]) -> None:
        self._visits[self.loop.create_task(visit)] = process

    async def _request(self, refresher: RefreshCoordinator, held: RefreshToken, fate: Fate) -> None:
        certain = self._now_certain()
        outcome = await refresher.refresh(held)
        self._may_be_told(outcome, certain)
        if not isinstance(outcome, Renewed):
            return
        certain = self._now_certain()
        latest = await refresher.outcome(held)  # as a response does when it starts
        self._may_be_told(latest, certain)
        if not isinstance(latest, Renewed) or fate is Fate.UNSENT:
            return
        self._begin_grace()
        await refresher.mark_delivered(held)
        if fate is Fate.ARRIVES:
            self._hand_out(latest.pair)

    async def _switch(self, process: _Process, held: RefreshToken, tenant: str) -> None:
        certain, call = self._now_certain(), self.descope.asks(process, tenant)
        try:
            pair = await process.refresher.switch(held, call, self.descope.verify)
        except (SessionEnded, UpstreamRejected):
            self._may_be_told(Ended(), certain)
        except UpstreamError:
            return
        else:
            assert pair.session.tenant_id == tenant
            assert not certain.signed_out, f"{held.text} was traded after the logout"
            self._begin_grace()
            self._hand_out(pair)

    async def _sign_out(
        self, refresher: RefreshCoordinator, held: RefreshToken, *, reaches_descope: bool
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOGOUT_SECONDS):
                newest = await refresher.revoke(held, wait_timeout=_LOGOUT_SECONDS / 2)
                if reaches_descope:
                    self.descope.log_out(newest)
        self._signed_out = True

    async def _bury(self, process: _Process) -> None:
        begun = self.descope.clock() - _LONGEST_FLIGHT
        await process.refresher.drain(0)
        for trade in self.descope.trades:
            if trade.process is process and trade.at > begun:
                remembered = await self._store.get(trade.text)
                trade.lost = remembered is None or remembered.refresh_jwt != trade.issued

    def _begin_grace(self) -> None:
        """A response is carrying a newer pair than whoever has a spent token: RF-04 counts from now."""
        for text in self.descope.retired:
            self._forgotten_at.setdefault(text, self.descope.clock() + _GRACE)

    def _hand_out(self, pair: TokenPair) -> None:
        self._handed_out[pair.refresh.text] = pair.refresh

    # ------------------------------------------------------------------ what may be

    def _now_certain(self) -> _Certain:
        return _Certain(self._signed_out, self._certain.switches, self._certain.retired)

    def _may_be_told(self, outcome: Outcome | None, certain: _Certain) -> None:
        match outcome:
            case Ended():
                assert self._sign_out_begun or self.descope.family_is_over, "a good session ended"
            case Renewed(pair):
                assert not certain.signed_out, f"{pair.refresh.text} was handed out after the logout"
                assert pair.refresh.text not in certain.retired, f"{pair.refresh.text} is spent"
                assert pair.session.tenant_id in self.descope.tenants(certain.switches), (
                    "the switch is undone"
                )
            case _:
                pass

    def _check(self) -> None:
        for visit in self._visits:
            if visit.done() and not visit.cancelled():
                visit.result()
        self._visits = {visit: process for visit, process in self._visits.items() if not visit.done()}
        assert self.descope.presented_twice == []
        assert self.descope.most_under_way <= 1
        if not asyncio.all_tasks(self.loop):
            switches = len(self.descope.tenants()) - 1
            self._certain = _Certain(self._signed_out, switches, self.descope.retired)
