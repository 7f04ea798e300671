"""The Lua scripts of the refresh store: one per operation, so each operation is one round trip.

Every script gets keys of one refresh token, which are in one slot, and replies with a status and a value. A
stored value is a marker, which tells the end of a session from other results, and a ciphertext. Its version
is the nonce at the start of the ciphertext.

Every script is idempotent: a client that has lost the reply runs it again with the same arguments and gets
the same reply. A lease is recognised by its id, a value by its version.
"""

from dataclasses import dataclass

from .encryption import NONCE_BYTES

__all__ = [
    "ACQUIRE",
    "COMPLETE",
    "DELIVERED",
    "FORCE_SET",
    "GET",
    "GET_PREDECESSOR",
    "MARK_PRESENTED",
    "MEMORY_INFO",
    "NORMAL",
    "PROBE",
    "RENEW",
    "SET_PREDECESSOR",
    "TERMINAL",
    "TTL_DIGITS",
    "Script",
    "ScriptReply",
]

TERMINAL, NORMAL, DELIVERED = b"!", b".", b","
"""The markers: TERMINAL for the end of a session, whose TTL is never reduced; NORMAL for other results.

DELIVERED replaces NORMAL when a browser has presented the new refresh token. A marker is the only part of a
value that Redis can read. An attacker who can forge one can also delete the value.
"""

ScriptReply = tuple[bytes, bytes]
"""A status and a value."""

TTL_DIGITS = 10
"""A returned value begins with its TTL in milliseconds, in this many digits."""


@dataclass(frozen=True)
class Script:
    """A Lua script, the statuses that it can reply with, and the kinds of keys that it gets."""

    text: str
    statuses: frozenset[bytes]
    keys: tuple[str, ...] = ("refresh", "lease")


# ``pcall`` turns a key of a wrong type into an error table, which counts as absent. ``SET`` and ``DEL`` then
# repair the key. A value is returned with its TTL, so that a reader can tell later whether it expired or was
# lost. No key is written without a TTL.
_PRELUDE = f"""
local function text(key)
  local found = redis.pcall('GET', key)
  return type(found) == 'string' and found or ''
end
local function value() return text(KEYS[1]) end
local function holder() return text(KEYS[2]) end
local function value_with_ttl()
  return string.format('%0{TTL_DIGITS}d', redis.call('PTTL', KEYS[1])) .. value()
end
local function marker() return string.sub(value(), 1, 1) end
local function version(value) return string.sub(value, 2, {1 + NONCE_BYTES}) end
local function store(new_value, ttl)
  if tonumber(ttl) > 0 then redis.call('SET', KEYS[1], new_value, 'PX', ttl)
  else redis.call('DEL', KEYS[1]) end
end
"""


def _script(body: str, *statuses: bytes, keys: tuple[str, ...] = ("refresh", "lease")) -> Script:
    return Script(_PRELUDE + body, frozenset(statuses), keys)


GET = _script("return {'cached', value_with_ttl()}", b"cached")
"""Replies ``cached`` and the stored value."""

ACQUIRE = _script(
    """
local id, lease_ttl, max_lease_ttl, ignore_cached = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
if not ignore_cached and value() ~= '' then return {'cached', value_with_ttl()} end
local ttl, other = redis.call('PTTL', KEYS[2]), holder()
if other ~= '' and other ~= id and ttl >= 0 and ttl <= max_lease_ttl then return {'busy', ''} end
redis.call('SET', KEYS[2], id, 'PX', lease_ttl)
return {'granted', version(value())}
""",
    b"cached",
    b"busy",
    b"granted",
)
"""Replies ``cached`` and the stored value; ``busy``; or ``granted`` and the version of the stored value.

Arguments: the lease id, its TTL and the longest TTL of any lease in milliseconds, 1 to ignore a cached
result. A lease without a TTL, or with a longer one, was not written by this package and is overwritten.
"""

COMPLETE = _script(
    """
local id, known_version, new_value, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local other, current = holder(), version(value())
if new_value ~= '' and current == version(new_value) then return {'ok', ''} end
if other ~= id and (other ~= '' or (current ~= '' and current ~= known_version)) then return {'lost', ''} end
redis.call('DEL', KEYS[2])
if new_value ~= '' then store(new_value, ttl) end
return {'ok', ''}
""",
    b"lost",
    b"ok",
)
"""Replies ``ok``, or ``lost`` if another process holds the lease or has stored a newer result.

Arguments: the lease id, the version that ACQUIRE replied with, the new value or an empty text, its TTL in
milliseconds. A lease that is absent without a newer value was evicted, flushed or renewed too late. Its
holder has made the call to Descope, so the result is stored (RD-05). A repetition finds the new value stored.
"""

RENEW = _script(
    """
if holder() ~= ARGV[1] then return {'lost', ''} end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {'ok', ''}
""",
    b"lost",
    b"ok",
)
"""Replies ``ok``, or ``lost`` if another process holds the lease. Arguments: the lease id, milliseconds."""

FORCE_SET = _script(
    f"""
local new_value, ttl, earlier = ARGV[1], ARGV[2], text(KEYS[3])
if version(earlier) == version(new_value) then return {{'ok', string.sub(earlier, {2 + NONCE_BYTES})}} end
if version(value()) == version(new_value) then return {{'ok', ''}} end
local replaced = value() ~= '' and value_with_ttl() or ''
if replaced ~= '' and marker() ~= '{TERMINAL.decode()}' and tonumber(ttl) > 0 then
  redis.call('SET', KEYS[3], '{NORMAL.decode()}' .. version(new_value) .. replaced, 'PX', ttl)
end
store(new_value, ttl)
redis.call('DEL', KEYS[2])
return {{'ok', replaced}}
""",
    b"ok",
    keys=("refresh", "lease", "replaced"),
)
"""Replies ``ok`` and the value that it replaced, or an empty text. Arguments: the new value, milliseconds.

Its third key keeps the replaced value, which may hold the only copy of the newest token, for a repetition. It
is written only if such a value was replaced, and neither nothing nor the end of a session: a repetition then
replies with an empty text. So two ends in a row leave the key of the first alone, which may still be
repeated. A full Redis refuses the first write of a script and no later one, so ``DEL`` comes last.
"""

SET_PREDECESSOR = _script(
    f"""
if text(KEYS[1]) == '' then redis.call('SET', KEYS[1], '{NORMAL.decode()}' .. ARGV[1], 'PX', ARGV[2]) end
return {{'ok', ''}}
""",
    b"ok",
    keys=("predecessor",),
)
"""Replies ``ok``. Arguments: the hash of the token that this one replaced, milliseconds.

A command of its own, because the result is in the slot of the other token.
"""

MARK_PRESENTED = _script(
    f"""
local max_ttl, predecessor = tonumber(ARGV[1]), text(KEYS[2])
if max_ttl then
  if value() == '' then return {{'ok', ''}} end
  local ttl = redis.call('PTTL', KEYS[1])
  if marker() == '{NORMAL.decode()}' then redis.call('SETRANGE', KEYS[1], 0, '{DELIVERED.decode()}') end
  if marker() ~= '{TERMINAL.decode()}' and (ttl == -1 or ttl > max_ttl) then
    redis.call('PEXPIRE', KEYS[1], max_ttl)
  end
end
if predecessor ~= '' then redis.call('SETRANGE', KEYS[2], 0, '{DELIVERED.decode()}') end
return {{'ok', string.sub(predecessor, 2)}}
""",
    b"ok",
    keys=("refresh", "predecessor"),
)
"""Replies ``ok`` and the hash of the token that this one replaced, or an empty text.

Argument: the longest TTL of the token's own result in milliseconds, or an empty text for the token that a
browser has presented, whose own result is not affected. Replies with an empty text too if the result has
expired: those before it have expired as well.
"""

GET_PREDECESSOR = _script("return {'ok', text(KEYS[1])}", b"ok", keys=("predecessor",))
"""Replies ``ok`` and what SET_PREDECESSOR has stored, with the marker DELIVERED once a browser has it."""

PROBE = _script(
    """
store('', '1000')
redis.call('SETRANGE', KEYS[1], 0, '.')
redis.call('PEXPIRE', KEYS[1], redis.call('PTTL', KEYS[1]))
redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return {'ok', ''}
""",
    b"ok",
)
"""Replies ``ok`` if Redis runs every command that the other scripts use.

A replica, or a Redis that is out of memory, replies to a ``PING`` but rejects writes. An ACL can allow some
of the commands only.
"""

MEMORY_INFO = _script(
    """
local info = redis.pcall('INFO', 'memory')
return {'ok', type(info) == 'string' and info or ''}
""",
    b"ok",
)
"""Replies ``ok`` and the section ``memory`` of ``INFO``; an empty text if an ACL denies the command."""
