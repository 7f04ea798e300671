"""The variables of .env.example configure the app."""

from pathlib import Path

import pytest

from example_app import app as module

ENV = Path(__file__).parents[1] / ".env.example"


def test_every_variable_of_the_example_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are commented out too."""
    lines = ENV.read_text(encoding="utf-8").splitlines()
    assignments = [line.removeprefix("#") for line in lines if "=" in line.partition(" ")[0]]
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL")  # its server does not run

    settings = module.app.state.descope.settings

    assert len(assignments) == 8
    assert settings.login_methods == ("sso", "google", "github", "magiclink")
    assert settings.sign_up is True
    assert str(settings.public_url) == "http://localhost:8000"
    assert module.app.state.member_directory is not None
