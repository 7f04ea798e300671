"""Test support for apps that use the plugin: run the app against an emulator instead of Descope.

    with emulated_descope(app) as harness:
        assert harness.sign_in(roles=["viewer"]).get("/reports").status_code == 403

The app keeps its settings, cookies and middleware. Its calls to Descope go to an emulator in the same
process, which plays the app's own project, and both use the emulator's clock. The emulator signs the tokens
and the app verifies them: no security check is switched off.

Needs the extra ``testing``. With pytest, use the fixtures of ``fastapi_descope.pytest_plugin``.
"""

try:
    from .client_sessions import SignInOptions
    from .harness import TestHarness, emulated_descope
    from .route_assertions import assert_all_routes_protected
    from .store_contract import RefreshStoreContract, StorePair
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"fastapi_descope.testing needs {missing.name}: pip install 'fastapi-descope[testing]'",
        name=missing.name,
    ) from None

__all__ = [
    "RefreshStoreContract",
    "SignInOptions",
    "StorePair",
    "TestHarness",
    "assert_all_routes_protected",
    "emulated_descope",
]
