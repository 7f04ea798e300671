"""What a person at the console, or a script through its API, does to a running emulator."""

from .api_errors import ApiError
from .auth_server import AuthServer
from .clock import Clock
from .fault_order import FaultOrder
from .faults import Faults

__all__ = ["Controls"]

_MOST_SECONDS = 10 * 366 * 24 * 3600


class Controls:
    """The levers. Each does its work before it returns, and raises ApiError for what cannot be done."""

    def __init__(self, authority: AuthServer, faults: Faults, clock: Clock) -> None:
        self._authority = authority
        self._faults = faults
        self._clock = clock

    def add_fault(self, order: FaultOrder) -> None:
        """Let calls fail."""
        order.placed_with(self._faults)

    def clear_faults(self) -> None:
        """Let no more calls fail, and those that wait go on."""
        self._faults.clear()

    def rotate_keys(self) -> None:
        """Sign with a new key; what the old one signed stays good."""
        self._authority.keys.rotate()

    def drop_old_keys(self) -> None:
        """Void what any key but the newest signed."""
        self._authority.keys.drop_old()

    def revoke_session(self, session: str) -> None:
        """End one session. Its session JWTs stay good until they expire, as in Descope."""
        if not self._authority.end(session):
            raise ApiError.unacceptable("There is no such session", 404)

    def revoke_user(self, user: str) -> None:
        """End every session of a user (login id or user id)."""
        person = self._authority.project.user(user)
        if person is None:
            raise ApiError.unacceptable("The project has no such user", 404)
        self._authority.revoke(person)

    def move_clock(self, seconds: float) -> None:
        """Move the emulator's time, for ten years at the most from the real one."""
        near = abs(seconds) <= _MOST_SECONDS and abs(self._clock.offset + seconds) <= _MOST_SECONDS
        if not near:  # nor is NaN
            raise ApiError.invalid("The clock can be at most ten years off")
        self._clock.advance(seconds)
