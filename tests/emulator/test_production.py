"""Whether environment variables mean production (EM-01)."""

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
        "FLASK_ENV",
        "DJANGO_ENV",
        "VERCEL_ENV",
        "RAILWAY_ENVIRONMENT_NAME",
        "ASPNETCORE_ENVIRONMENT",
        "app_env",
    ],
)
def test_first_production_variable_is_returned(name: str) -> None:
    """The first of the usual variables that means production is returned."""
    assert production_variable({"HOME": "/root", name: "production"}) == name


@pytest.mark.parametrize(
    "value",
    [
        "prod",
        "PRODUCTION",
        " Live ",
        "prod-eu",
        "production_2",
        "live.eu",
        "prod\n",
        "eu-production",
        "prd",
        "eu_prd_1",
        "PROD2",
    ],
)
def test_values_that_mean_production(value: str) -> None:
    """All spellings are recognised, also with a suffix."""
    assert production_variable({"ENV": "development", "APP_ENV": value}) == "APP_ENV"


@pytest.mark.parametrize(
    "value", ["", "development", "test", "preprod", "product", "nonprod", "staging", "pre-prod", "non_prod"]
)
def test_values_that_do_not_mean_production(value: str) -> None:
    """Other values, and values that only contain the word, do not mean production."""
    assert production_variable({"ENVIRONMENT": value}) is None


@pytest.mark.parametrize("name", ["HOME", "VIRTUAL_ENV", "ENVOY", "STAGES", "PRODUCT_ENV_FILE"])
def test_other_variables_do_not_count(name: str) -> None:
    """Neither by their name nor by a path in them."""
    assert production_variable({name: "/srv/prod/venv"}) is None
