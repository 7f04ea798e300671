"""What Redis runs for the refresh store: one script for each operation, so that each is one round trip.

Every script gets the two keys of one refresh token, its result and its lease, and answers with a word and
a text. They are sent whole, in each packet once, so there is nothing to load first and nothing that a restart
could lose.

``pcall`` turns a key of a wrong type into an error table, which counts as absent; ``SET`` and ``DEL`` put
it right. A value is a mark, which tells the end of a session from the rest, and a sealed result. One is told
from another by its edition: the mark and the nonce that the sealed result begins with. Nothing is ever
written without an end, and with a value goes how long it has left, or nobody could tell later whether it was
over or was lost.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1

from .encryption import NONCE_BYTES

__all__ = [
    "ACQUIRE",
    "COMPLETE",
    "FORCE_SET",
    "GET",
    "NORMAL",
    "PROBE",
    "REDUCE_TTL",
    "RENEW",
    "TERMINAL",
    "Script",
    "ScriptReply",
    "StoredValue",
]

TERMINAL, NORMAL = b"!", b"."
"""The marks: of the end of a session, which is not to be shortened, and of any other result.

They are all that Redis can read. Whoever could forge one could as well delete the value.
"""


ScriptReply = tuple[bytes, bytes]
"""A word and a text."""

_LEFT_DIGITS = 10


@dataclass(frozen=True, slots=True)
class StoredValue:
    """What stands under a token: ``sealed`` is empty if nothing does; for how many ``seconds`` more."""

    sealed: bytes
    seconds: float

    @classmethod
    def of(cls, text: bytes) -> "StoredValue":
        """The text of an answer, whatever it is: what has no end of ours will stand for ever."""
        left, sealed = text[:_LEFT_DIGITS], text[_LEFT_DIGITS + len(NORMAL) :]
        return cls(sealed, int(left) / 1000 if left.isdigit() else math.inf)


@dataclass(frozen=True)
class Script:
    """A Lua script, and the words that it may answer with: any other is not Redis speaking.

    ``urgent``: what comes late costs a session, so it does not queue behind the rest.
    """

    text: str
    replies: frozenset[bytes]
    urgent: bool = False

    @cached_property
    def sha1(self) -> str:
        """What Redis calls it once it has seen it."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_PRELUDE = f"""
local function text(key)
  local found = redis.pcall('GET', key)
  return type(found) == 'string' and found or ''
end
local function value() return text(KEYS[1]) end
local function holder() return text(KEYS[2]) end
local function standing()
  return string.format('%0{_LEFT_DIGITS}d', redis.call('PTTL', KEYS[1])) .. value()
end
local function edition() return string.sub(value(), 1, {1 + NONCE_BYTES}) end
local function remember(sealed, milliseconds)
  if tonumber(milliseconds) > 0 then redis.call('SET', KEYS[1], sealed, 'PX', milliseconds)
  else redis.call('DEL', KEYS[1]) end
end
"""


def _script(body: str, *words: bytes, urgent: bool = False) -> Script:
    return Script(_PRELUDE + body, frozenset(words), urgent)


GET = _script("return {'remembered', standing()}", b"remembered")
"""What stands."""

ACQUIRE = _script(
    """
local id, lease, longest, anew = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
if not anew and value() ~= '' then return {'remembered', standing()} end
local left = redis.call('PTTL', KEYS[2])
if holder() ~= '' and left >= 0 and left <= longest then return {'busy', ''} end
redis.call('SET', KEYS[2], id, 'PX', lease)
return {'granted', edition()}
""",
    b"remembered",
    b"busy",
    b"granted",
)
"""``remembered`` and what stands, ``busy``, or ``granted`` and the edition that stands.

Arguments: the holder's id, the lease in milliseconds, the longest that any lease lasts, 1 for anew. A
lease without an end, or with one further off than any of ours, is not ours and blocks nobody.
"""

COMPLETE = _script(
    """
local id, known, sealed, milliseconds = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local other, standing = holder(), edition()
if other ~= id and (other ~= '' or (standing ~= '' and standing ~= known)) then return {'lost', ''} end
redis.call('DEL', KEYS[2])
if sealed ~= '' then remember(sealed, milliseconds) end
return {'done', ''}
""",
    b"lost",
    b"done",
    urgent=True,
)
"""``done``, or ``lost`` if another holds the lease or brought a newer result.

Arguments: the holder's id, the edition it began with, the sealed result or an empty text, milliseconds. A
lease that is gone without a successor was evicted, flushed or too slow to be renewed: its holder has done
the work, and what it brings is kept (RD-05).
"""

RENEW = _script(
    """
if holder() ~= ARGV[1] then return {'lost', ''} end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {'done', ''}
""",
    b"lost",
    b"done",
    urgent=True,
)
"""``done``, or ``lost`` if the lease is not the holder's. Arguments: the holder's id, milliseconds."""

FORCE_SET = _script(
    """
local replaced = standing()
redis.call('DEL', KEYS[2])
remember(ARGV[1], ARGV[2])
return {'done', replaced}
""",
    b"done",
    urgent=True,
)
"""``done`` and what stood. Arguments: the sealed result, milliseconds."""

REDUCE_TTL = _script(
    f"""
local left, milliseconds = redis.call('PTTL', KEYS[1]), tonumber(ARGV[1])
if string.sub(value(), 1, 1) ~= '{TERMINAL.decode()}' and (left == -1 or left > milliseconds) then
  redis.call('PEXPIRE', KEYS[1], milliseconds)
end
return {{'done', ''}}
""",
    b"done",
)
"""``done``; the end of a session stays as it is. Arguments: milliseconds."""

PROBE = _script(
    """
remember('', '1000')
redis.call('PEXPIRE', KEYS[1], redis.call('PTTL', KEYS[1]))
redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return {'done', ''}
""",
    b"done",
)
"""``done`` if Redis runs every command of ours: a replica or a full one answers a ``PING`` and is of no use.

Neither is one whose rules let us write but not, say, look at an end.
"""
