"""Fixtures of the tests of hostile input: a token factory and apps under attack."""

from collections.abc import Callable

import pytest

from tests.helpers.attack_target_app import AttackTargetApp
from tests.helpers.tampering import Forge


@pytest.fixture(scope="session")
def forge() -> Forge:
    """Return one token factory for the whole run, so that each key is generated once."""
    return Forge()


@pytest.fixture
def make_target(forge: Forge) -> Callable[..., AttackTargetApp]:
    """Return a function that builds an app which accepts the tokens of the factory; keywords are settings."""

    def build(**settings: object) -> AttackTargetApp:
        return AttackTargetApp(forge, **settings)

    return build
