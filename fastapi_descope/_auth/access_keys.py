"""The machines whose access keys this process has exchanged."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from .._concurrency import SingleFlight
from .._lru_dict import LruDict
from .._tokens.verifier import TokenVerifier
from .._upstream.api import DescopeApi
from ..callers import Machine
from ..errors import InvalidAccessKey, TooManyAttempts, UpstreamError, UpstreamRejected, UpstreamUnavailable
from ..events import AccessKeyExchanged, AccessKeyRefused, AccessKeysLimited, EventBus
from .attempt_limits import Attempt, AttemptLimits
from .token_service import TokenService

__all__ = ["AccessKeys", "KnownMachine", "looks_like_access_key"]

_CACHE_SIZE = 4096
_REFUSED_SECONDS = 30.0
_NO_VERDICT_SECONDS = 5
"""How long a failure without a ``Retry-After`` counts, which is also what clients are asked to wait."""

_DOTS_OF_A_JWT = 2

# Visible ASCII without the comma and the colon: the one separates values of a header, the other the parts of
# the bearer that Descope gets.
_ACCESS_KEY = re.compile(r"[!-+\--9;-~]{8,512}")


# AK-01
def looks_like_access_key(bearer: str) -> bool:
    """Return whether a bearer may be an access key: 8 to 512 characters without the form of a JWT."""
    return bearer.count(".") < _DOTS_OF_A_JWT and _ACCESS_KEY.fullmatch(bearer) is not None


@dataclass(frozen=True, slots=True)
class KnownMachine:
    """A machine, with the digest of its session's token.

    Attributes:
        machine: The machine.
        session: The SHA-256 of the session token in hex, for verdicts about this session.
        epoch: The keys with which the token was verified.
    """

    machine: Machine
    session: str
    epoch: object


@dataclass(frozen=True, slots=True)
class _Failure:
    """The result of an exchange without a machine, until ``until`` (monotonic seconds).

    It is no exception, whose traceback would keep the key.
    """

    is_refusal: bool
    until: float

    def error(self, now: float) -> InvalidAccessKey | UpstreamUnavailable:
        """Return a new error."""
        return InvalidAccessKey() if self.is_refusal else UpstreamUnavailable(math.ceil(self.until - now))


class AccessKeys:
    """Exchanges access keys for machines, and caches the results by the SHA-256 digest of the key.

    A machine is cached until its session ends, less the leeway, or until Descope's keys change. There is at
    most one exchange at a time for each key. A refusal is cached for 30 seconds, and any other failure for
    the time that clients are asked to wait. No key is kept.

    Args:
        api: Exchanges a key.
        tokens: Verifies the session of a key.
        verifier: Holds the keys in force.
        events: Receives ``AccessKeyExchanged``, ``AccessKeyRefused`` and ``AccessKeysLimited``.
        clock: Returns epoch seconds.
        monotonic: Returns seconds, which failures and limits are measured in.
        leeway: Seconds by which the clocks of Descope and the app may differ.
        cache_size: How many machines are cached, and how many failures.
    """

    # AK-02, AK-03, AK-04

    def __init__(
        self,
        api: DescopeApi,
        tokens: TokenService,
        verifier: TokenVerifier,
        *,
        events: EventBus,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        leeway: float,
        cache_size: int = _CACHE_SIZE,
    ) -> None:
        self._api = api
        self._tokens = tokens
        self._verifier = verifier
        self._events = events
        self._clock = clock
        self._monotonic = monotonic
        self._leeway = leeway
        self._machines = LruDict[bytes, KnownMachine](cache_size)
        self._failures = LruDict[bytes, _Failure](cache_size)
        self._exchanges: SingleFlight[bytes, KnownMachine | _Failure] = SingleFlight()
        self._limits = AttemptLimits(monotonic)

    async def machine(self, key: str, address: str | None) -> KnownMachine:
        """Return the machine of an access key.

        Costs one SHA-256 for a known key, and one call to Descope for any other. Cancelling a caller does not
        cancel the call.

        Args:
            key: The access key, whose form ``looks_like_access_key`` has checked.
            address: The address of the client, or None if it is not known.

        Raises:
            InvalidAccessKey: Descope refuses the key.
            TooManyAttempts: Too many keys from this address were refused.
            UpstreamUnavailable: There is no verdict on the key.
        """
        digest = sha256(key.encode()).digest()
        result = self._known_machine(digest) or self._known_failure(digest)
        if result is None:
            if self._exchanges.current(digest) is None:  # such a call would wait for a connection in vain
                self._limited(digest, self._limits.check, self._limits.attempt(address))
            result = await self._exchanges.run(digest, lambda: self._exchange(digest, key, address))
        if isinstance(result, _Failure):
            raise result.error(self._monotonic())
        return result

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for running exchanges, then cancel them."""
        await self._exchanges.drain(seconds)

    def _known_machine(self, digest: bytes) -> KnownMachine | None:
        known = self._machines.get(digest)
        if known is None or known.epoch is not self._verifier.epoch or not self._verifier.has_keys():
            return None
        if self._clock() >= known.machine.expires_at - self._leeway:
            return None
        self._machines.move_to_end(digest)
        return known

    def _known_failure(self, digest: bytes) -> _Failure | None:
        failure = self._failures.get(digest)
        return failure if failure is not None and self._monotonic() < failure.until else None

    async def _exchange(self, digest: bytes, key: str, address: str | None) -> KnownMachine | _Failure:
        attempt = self._limits.attempt(address)

        def start() -> None:
            """Count the attempt when the call is sent."""
            self._limited(digest, self._limits.start, attempt)

        try:
            response = await self._api.exchange_access_key(key, before_send=start)
            self._limits.withdraw(attempt)  # before the next call is sent: a burst of valid keys is none
            machine, session = await self._tokens.verify_access_key(response)
        except UpstreamRejected as error:
            self._events.emit(AccessKeyRefused(error.upstream_status, error.upstream_code))
            self._machines.pop(digest, None)
            return self._remember_failure(digest, is_refusal=True, seconds=_REFUSED_SECONDS)
        except UpstreamError as error:
            self._limits.withdraw(attempt)
            seconds = error.retry_after if isinstance(error, UpstreamUnavailable) else _NO_VERDICT_SECONDS
            return self._remember_failure(digest, is_refusal=False, seconds=seconds)
        self._events.emit(AccessKeyExchanged(machine.id, machine.subject, machine.tenant_id))
        known = KnownMachine(machine, session, self._verifier.epoch)
        self._machines.put(digest, known)
        return known

    def _remember_failure(self, digest: bytes, *, is_refusal: bool, seconds: float) -> _Failure:
        failure = _Failure(is_refusal, self._monotonic() + seconds)
        self._failures.put(digest, failure)
        return failure

    # AK-05: otherwise a hundred wrong keys in a minute would stop every machine when its session ends.
    def _limited(self, digest: bytes, limit: Callable[[Attempt], None], attempt: Attempt) -> None:
        """Apply a limit unless the last exchange of the key succeeded, and emit an event if it is reached."""
        if digest in self._machines:
            return
        try:
            limit(attempt)
        except (TooManyAttempts, UpstreamUnavailable) as error:
            self._events.emit(AccessKeysLimited("client" if isinstance(error, TooManyAttempts) else "app"))
            raise
