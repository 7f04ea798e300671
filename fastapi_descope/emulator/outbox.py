"""The e-mails that the emulator would send."""

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Email", "Outbox"]

_MAX_EMAILS = 100


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail with a link.

    Attributes:
        to: The address.
        link: The link, with its token.
        sent_at: When it was sent, in epoch seconds by the emulator's clock.
    """

    to: str
    link: str = field(repr=False)
    sent_at: float


class Outbox:
    """The last 100 e-mails. None is really sent."""

    def __init__(self) -> None:
        self._emails: deque[Email] = deque(maxlen=_MAX_EMAILS)

    def add(self, email: Email) -> None:
        """Add an e-mail."""
        self._emails.append(email)

    def newest_first(self) -> tuple[Email, ...]:
        """Return the e-mails, the newest first."""
        return tuple(reversed(self._emails))

    def last(self, to: str) -> Email:
        """Return the newest e-mail to an address.

        Raises:
            LookupError: There is none.
        """
        for email in self.newest_first():
            if email.to.lower() == to.lower():
                return email
        raise LookupError("the emulator has sent no e-mail to this address")
