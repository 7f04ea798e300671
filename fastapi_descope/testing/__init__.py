"""For the tests of an app: the app as it is, with an emulator in the place of Descope.

    with emulated(app) as emulation:
        assert emulation.sign_in(roles=["viewer"]).get("/reports").status_code == 403

The app keeps its settings, cookies and middleware. Its calls to Descope go to an emulator in the same
process, which plays the app's own project, and both go by the emulator's clock. The tokens are signed by
the emulator's key and verified by the app: nothing of security is switched off.

Needs the extra ``testing``. With pytest, the fixtures of ``pytest_plugin`` say the same in fewer words.
"""

try:
    from .harness import TestHarness, emulated_descope
    from .sign_in_options import SignInOptions
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"fastapi_descope.testing needs {missing.name}: pip install 'fastapi-descope[testing]'",
        name=missing.name,
    ) from None

__all__ = ["SignInOptions", "TestHarness", "emulated_descope"]
