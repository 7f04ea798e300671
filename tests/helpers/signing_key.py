"""One RSA key for the emulators of a run: to make one costs more than most tests do."""

from functools import cache

from fastapi_descope.emulator import SigningKey

__all__ = ["signing_key"]


def signing_key() -> SigningKey:
    """The key under an id of its own, so that no emulator takes what another one signed."""
    return _made_once().with_new_kid()


@cache
def _made_once() -> SigningKey:
    return SigningKey.generate()
