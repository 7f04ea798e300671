"""Every scenario, and the rig that each wants."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from .clock_scenarios import wrong_clock
from .crash_scenarios import crash
from .fleet import LEAVING, PATIENT, Fleet, running_fleet
from .fleet_scenarios import call_longer_than_the_lease, crowd, deploy, hang_ups, impatient_deploy
from .interleaving_scenarios import interleavings
from .key_scenarios import key_rotation
from .observer import Report
from .redis_scenarios import REDIS_FAULTS, REDIS_LOSSES, redis_fails, redis_loses
from .rig import Rig, Scale, Setup, running_rig
from .upstream_scenarios import IMPATIENT, flapping, garbage, many_tabs, outage, rate_limits, slowness

__all__ = ["Stand", "stands"]

Rigged = TypeVar("Rigged")


@dataclass(frozen=True, slots=True)
class Stand(Generic[Rigged]):
    """Scenarios that take turns on one rig; ``opened`` starts it, with its files in a directory."""

    opened: Callable[[Path], AbstractAsyncContextManager[Rigged]]
    scenarios: Sequence[Callable[[Rigged, Scale], Awaitable[Report]]]

    async def reports(self, scale: Scale) -> AsyncIterator[Report]:
        """Start the rig, and run one scenario after the other."""
        with TemporaryDirectory() as directory:
            async with self.opened(Path(directory)) as rigged:
                for scenario in self.scenarios:
                    yield await scenario(rigged, scale)


def stands(scale: Scale) -> Sequence[Stand[Rig] | Stand[Fleet] | Stand[None]]:
    """All there are, in an order that keeps like with like."""
    patience = Setup() if scale is Scale.LONG else IMPATIENT
    return [*_rigs(patience), *_fleets(), Stand(lambda _: nullcontext(), [interleavings])]


def _rigs(patience: Setup) -> list[Stand[Rig]]:
    return [
        _rig(Setup(), outage, flapping, garbage, rate_limits, key_rotation, many_tabs),
        _rig(patience, slowness),
        _rig(Setup(workers=4), flapping, many_tabs),
        _rig(Setup(clock="machine"), wrong_clock),
    ]


def _fleets() -> list[Stand[Fleet]]:
    redis = [partial(redis_fails, name=name) for name in REDIS_FAULTS]
    losses = [partial(redis_loses, name=name) for name in REDIS_LOSSES]
    kept = [partial(crash, step=step, calls=1) for step in ("leased", "remembered", "delivered")]
    saved = [partial(crash, step=step, calls=2, reuse_grace=10) for step in ("sent", "answered")]
    alone = partial(crash, step="delivered", calls=2, reuse_grace=10)
    return [
        _fleet(partial(running_fleet, workers=4, variables=PATIENT), crowd, hang_ups, *losses, *kept, *saved),
        _fleet(
            partial(running_fleet, workers=2, variables=LEAVING),
            call_longer_than_the_lease,
            deploy,
            impatient_deploy,
        ),
        _fleet(partial(running_fleet, workers=4), crowd),
        _fleet(partial(running_fleet, workers=2, redis="behind proxy"), *redis),
        _fleet(partial(running_fleet, workers=2, redis="none"), alone),
    ]


def _rig(setup: Setup, *scenarios: Callable[[Rig, Scale], Awaitable[Report]]) -> Stand[Rig]:
    return Stand(partial(running_rig, setup), scenarios)


def _fleet(
    opened: Callable[[Path], AbstractAsyncContextManager[Fleet]],
    *scenarios: Callable[[Fleet, Scale], Awaitable[Report]],
) -> Stand[Fleet]:
    return Stand(opened, scenarios)
