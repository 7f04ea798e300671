"""A model of one session in two processes that share a store, driven one event loop iteration at a time.

Only ``run_ready`` and ``wait`` let anything happen, so the same calls give the same run on every machine.
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
from tests.helpers.strict_upstream import RemoteStore

_GRACE = 30.0

_MARGIN = 15.0
"""No request uses a token this close to the end of its grace: it may have to wait for two calls."""

_MAX_FLIGHT_SECONDS = 10.0
"""The result of a call that started before that is in the store by now, or will never be."""

_LOGOUT_SECONDS = 2.0
"""The time limit of a logout in the package."""


class Delivery(Enum):
    """The fate of a response."""

    RECEIVED = "the browser receives it"
    LOST = "the browser does not receive it, or without its cookies"


@dataclass(frozen=True, slots=True)
class _Guarantees:
    """The final facts before a request started, which its outcome must respect."""

    logged_out: bool = False
    switches: int = 0
    replaced_tokens: frozenset[str] = frozenset()


class _Process:
    """A process. Its ``RefreshCoordinator`` is all that ends with it."""

    def __init__(self, descope: FaultyDescope, store: RemoteStore) -> None:
        self.coordinator = RefreshCoordinator(
            store=store,
            exchange=descope.exchange_for(self),
            verify=descope.verify,
            events=EventBus(),
            clock=descope.clock,
            grace=_GRACE,
        )


class FleetSession:
    """The session of one user, the tokens that its browsers have, and the two processes.

    Every outcome is checked when a request receives it. ``run_ready`` and ``wait`` raise the failures.
    """

    def __init__(self, *, rotates: bool = True, reuse_grace: float = 0.0, lifetime: int = 600) -> None:
        self.loop = VirtualTimeLoop()
        self.descope = FaultyDescope(self.loop, rotates=rotates, reuse_grace=reuse_grace, lifetime=lifetime)
        self._store = RemoteStore(self.descope.clock)
        self._processes = [self._process(), self._process()]
        self._delivered = {(first := self.descope.sign_in()).text: first}
        self._grace_ends_at: dict[str, float] = {}
        self._logged_out = False
        self._logout_started = False
        self._guarantees = _Guarantees()
        self._requests: dict[asyncio.Task[None], _Process] = {}
        self._gates: list[asyncio.Event] = []

    # ------------------------------------------------------------------ time

    @property
    def elapsed(self) -> float:
        """Seconds since the login."""
        return self.loop.time()

    def run_ready(self, times: int) -> None:
        """Run ``times`` iterations of the event loop. No time passes."""
        for _ in range(times):
            self.loop.stop()
            self.loop.run_forever()
        self._check()

    def wait(self, seconds: float) -> None:
        """Run everything that happens within ``seconds``."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self._check()

    # ------------------------------------------------------------------ users

    @property
    def tokens(self) -> list[RefreshToken]:
        """The tokens that a browser may still send.

        They are the current one, those whose successors no browser has presented, and those within their
        grace. RF-04 promises nothing for any other token.
        """
        now, replaced = self.descope.clock(), self.descope.replaced_tokens
        return [
            token
            for token in self._delivered.values()
            if token.text not in replaced or now < self._grace_ends_at.get(token.text, now + 60) - _MARGIN
        ]

    @property
    def is_logged_out(self) -> bool:
        """Whether a logout is complete."""
        return self._logged_out

    def request(
        self, process: int, refresh_token: RefreshToken, delivery: Delivery = Delivery.RECEIVED
    ) -> None:
        """Start a request with an expired session."""
        owner = self._processes[process]
        self._start(owner, self._request(owner.coordinator, refresh_token, delivery))

    def switch(
        self,
        process: int,
        refresh_token: RefreshToken,
        tenant: str,
        delivery: Delivery = Delivery.RECEIVED,
    ) -> None:
        """Start a tenant switch."""
        owner = self._processes[process]
        self._start(owner, self._switch(owner, refresh_token, tenant, delivery))

    def log_out(self, process: int, refresh_token: RefreshToken, *, reaches_descope: bool) -> None:
        """Start a logout."""
        self._logout_started = True
        owner = self._processes[process]
        self._start(owner, self._log_out(owner.coordinator, refresh_token, reaches_descope=reaches_descope))

    def cancel_request(self, number: int) -> None:
        """Cancel a request that is waiting, if there is one."""
        waiting = [task for task in self._requests if not task.done()]
        if waiting:
            waiting[number % len(waiting)].cancel()

    # ------------------------------------------------------------------ servers

    def crash(self, process: int) -> None:
        """Cancel everything that a process runs. A new process with the same store replaces it."""
        crashed, self._processes[process] = self._processes[process], self._process()
        for task, owner in self._requests.items():
            if owner is crashed:  # otherwise a request that waits there would start something new
                task.cancel()
        self.loop.create_task(self._mark_lost_exchanges(crashed))

    def hold_responses(self) -> None:
        """Hold back Descope's responses to calls from now on."""
        self._gates.append(self.descope.hold_responses())

    def release_responses(self) -> None:
        """Deliver the responses that were held back, and all later ones."""
        self.descope.stop_holding()
        while self._gates:
            self._gates.pop().set()

    # ------------------------------------------------------------------ the end

    def check_end(self) -> None:
        """Check that without further faults every request ends and the session is in the right state."""
        self.descope.faults.clear()
        self.descope.keys_available = True
        self.release_responses()
        self.wait(100)  # longer than any backoff and any lease
        assert asyncio.all_tasks(self.loop) == set()
        for process in self._processes:
            for refresh_token in self.tokens:
                self._check_final_outcome(process.coordinator, refresh_token)
        self._check()

    def close(self) -> None:
        """Close the loop, after cancelling the tasks that a failed check has left in it."""
        assert all(task.cancel() for task in asyncio.all_tasks(self.loop))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _check_final_outcome(self, coordinator: RefreshCoordinator, refresh_token: RefreshToken) -> None:
        outcome = self.loop.run_until_complete(coordinator.refresh(refresh_token))
        if self._logged_out:
            assert outcome == Ended(), refresh_token.text
        elif not (self._logout_started or self.descope.family_ended):
            assert isinstance(outcome, Renewed), (refresh_token.text, outcome)
            assert outcome.pair.session.tenant_id == self.descope.tenants()[-1], refresh_token.text
            self._record_delivery(outcome.pair)

    # ------------------------------------------------------------------ execution

    def _process(self) -> _Process:
        return _Process(self.descope, self._store)

    def _start(self, process: _Process, task: Coroutine[Any, Any, None]) -> None:
        self._requests[self.loop.create_task(task)] = process

    async def _request(
        self, coordinator: RefreshCoordinator, refresh_token: RefreshToken, delivery: Delivery
    ) -> None:
        self._present(coordinator, refresh_token)
        guarantees = self._current_guarantees()
        outcome = await coordinator.refresh(refresh_token)
        self._check_outcome(outcome, guarantees)
        if not isinstance(outcome, Renewed):
            return
        guarantees = self._current_guarantees()
        latest = await coordinator.outcome(refresh_token)  # as a response does when it starts
        self._check_outcome(latest, guarantees)
        if isinstance(latest, Renewed) and delivery is Delivery.RECEIVED:
            self._record_delivery(latest.pair)

    async def _switch(
        self, process: _Process, refresh_token: RefreshToken, tenant: str, delivery: Delivery
    ) -> None:
        self._present(process.coordinator, refresh_token)
        guarantees, exchange = self._current_guarantees(), self.descope.exchange_for(process, tenant)
        try:
            pair = await process.coordinator.switch(refresh_token, exchange, self.descope.verify)
        except (SessionEnded, UpstreamRejected):
            self._check_outcome(Ended(), guarantees)
        except UpstreamError:
            return
        else:
            assert pair.session.tenant_id == tenant
            assert not guarantees.logged_out, f"{refresh_token.text} was exchanged after the logout"
            if delivery is Delivery.RECEIVED:
                self._record_delivery(pair)

    async def _log_out(
        self, coordinator: RefreshCoordinator, refresh_token: RefreshToken, *, reaches_descope: bool
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOGOUT_SECONDS):
                current = await coordinator.revoke(refresh_token, wait_timeout=_LOGOUT_SECONDS / 2)
                if reaches_descope:
                    self.descope.end_session(current)
        self._logged_out = True

    async def _mark_lost_exchanges(self, process: _Process) -> None:
        earliest = self.descope.clock() - _MAX_FLIGHT_SECONDS
        await process.coordinator.drain(0)
        for record in self.descope.exchanges:
            if record.process is process and record.at > earliest:
                cached = await self._store.get(record.token)
                record.lost = cached is None or cached.refresh_jwt != record.issued

    def _present(self, coordinator: RefreshCoordinator, refresh_token: RefreshToken) -> None:
        """Present a token to a process. That starts the grace (RF-04) of the tokens that it replaced."""
        coordinator.mark_presented(refresh_token.text)
        exchanges = [record for record in self.descope.exchanges if record.issued != record.token]
        predecessors, token = {record.issued: record.token for record in exchanges}, refresh_token.text
        while token := predecessors.get(token, ""):
            self._grace_ends_at.setdefault(token, self.descope.clock() + _GRACE)

    def _record_delivery(self, pair: TokenPair) -> None:
        self._delivered[pair.refresh.text] = pair.refresh

    # ------------------------------------------------------------------ checks

    def _current_guarantees(self) -> _Guarantees:
        return _Guarantees(self._logged_out, self._guarantees.switches, self._guarantees.replaced_tokens)

    def _check_outcome(self, outcome: Outcome | None, guarantees: _Guarantees) -> None:
        match outcome:
            case Ended():
                assert self._logout_started or self.descope.family_ended, "a valid session ended"
            case Renewed(pair):
                assert not guarantees.logged_out, f"{pair.refresh.text} was returned after the logout"
                assert pair.refresh.text not in guarantees.replaced_tokens, (
                    f"{pair.refresh.text} was already replaced"
                )
                assert pair.session.tenant_id in self.descope.tenants(guarantees.switches), (
                    "the switch is undone"
                )
            case _:
                pass

    def _check(self) -> None:
        for task in self._requests:
            if task.done() and not task.cancelled():
                task.result()
        self._requests = {task: process for task, process in self._requests.items() if not task.done()}
        assert self.descope.reused_tokens == []
        assert self.descope.max_concurrent_calls <= 1
        if not asyncio.all_tasks(self.loop):
            switches = len(self.descope.tenants()) - 1
            self._guarantees = _Guarantees(self._logged_out, switches, self.descope.replaced_tokens)
