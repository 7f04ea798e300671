"""The ways to sign in that an app offers: the items of ``DESCOPE_LOGIN_METHODS``."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["PROVIDERS", "is_login_method", "social_providers"]

PROVIDERS = ("apple", "discord", "facebook", "github", "gitlab", "google", "linkedin", "microsoft", "slack")
"""The providers of social logins that each project of Descope can use (wire contract, section 2.4)."""

_OTHERS = frozenset({"sso", "magiclink", "notp", "flow"})

_CUSTOM = re.compile(r"oauth:([A-Za-z0-9][A-Za-z0-9_-]{0,63})")
"""A custom provider of the project. Its name needs a mark, or each misspelt method would be one."""


def is_login_method(item: str) -> bool:
    """Return whether ``item`` is a way to sign in."""
    return item in _OTHERS or item in PROVIDERS or _CUSTOM.fullmatch(item) is not None


def social_providers(methods: Iterable[str]) -> Sequence[str]:
    """Return the names of the providers among ``methods``, in their order and without repetitions."""
    customs = ((method, _CUSTOM.fullmatch(method)) for method in methods)
    names = (custom[1] if custom else method for method, custom in customs if method not in _OTHERS)
    return tuple(dict.fromkeys(names))
