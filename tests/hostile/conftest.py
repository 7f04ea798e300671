"""What the tests of hostile input share: one forge, and apps under siege."""

from collections.abc import Callable

import pytest

from tests.helpers.attack_target_app import AttackTargetApp
from tests.helpers.tampering import Forge


@pytest.fixture(scope="session")
def forge() -> Forge:
    """The one forge of the run, so that its keys are made once."""
    return Forge()


@pytest.fixture
def besieged(forge: Forge) -> Callable[..., AttackTargetApp]:
    """Builds an app that takes the tokens of the forge; keywords are settings."""

    def build(**settings: object) -> AttackTargetApp:
        return AttackTargetApp(forge, **settings)

    return build
