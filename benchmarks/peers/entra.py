"""fastapi-azure-auth: the single-tenant scheme, with its configuration in memory."""

from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Security
from fastapi_azure_auth import SingleTenantAzureAuthorizationCodeBearer  # type: ignore[import-not-found] # .tools/peers
from fastapi_azure_auth.user import User  # type: ignore[import-not-found] # .tools/peers

from .tokens import ENTRA_ISSUER, ENTRA_TENANT, PROJECT, Tokens

# fastapi-azure-auth is installed only where the benchmark runs.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

__all__ = ["single_tenant"]


def single_tenant(tokens: Tokens) -> FastAPI:
    """Return an app with the package's own security scheme."""
    scheme = SingleTenantAzureAuthorizationCodeBearer(app_client_id=PROJECT, tenant_id=ENTRA_TENANT)
    config = scheme.openid_config
    config.issuer = ENTRA_ISSUER
    config.authorization_endpoint = config.token_endpoint = ENTRA_ISSUER
    config._load_keys([dict(key) for key in tokens.keys])  # noqa: SLF001 - as if it had fetched them
    config._config_timestamp = datetime.now()  # noqa: SLF001, DTZ005 - it compares local times

    app = FastAPI(openapi_url=None)

    @app.get("/page")
    async def page(user: Annotated[User, Security(scheme)]) -> dict[str, str]:
        return {"page": str(user.sub)}

    return app
