"""Whether an environment calls itself production (EM-01)."""

import pytest

from fastapi_descope.emulator.security import production_variable


@pytest.mark.parametrize(
    "name",
    [
        "ENVIRONMENT",
        "ENV",
        "APP_ENV",
        "APP_ENVIRONMENT",
        "DEPLOY_ENV",
        "DEPLOYMENT_ENVIRONMENT",
        "STAGE",
        "FASTAPI_ENV",
        "PYTHON_ENV",
        "NODE_ENV",
    ],
)
def test_each_of_the_names(name: str) -> None:
    """The variables that people use for this; the first that says so is named."""
    assert production_variable({"HOME": "/root", name: "production"}) == name


@pytest.mark.parametrize(
    "value", ["prod", "PRODUCTION", " Live ", "prod-eu", "production_2", "live.eu", "prod\n"]
)
def test_production(value: str) -> None:
    """Spellings of it, also with a place behind it."""
    assert production_variable({"ENV": "development", "APP_ENV": value}) == "APP_ENV"


@pytest.mark.parametrize("value", ["", "development", "test", "preprod", "product", "nonprod", "staging"])
def test_not_production(value: str) -> None:
    """Other names, and names in which the word is but a part, are none of our business."""
    assert production_variable({"ENVIRONMENT": value}) is None
