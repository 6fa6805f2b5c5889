"""Who may ask: passwords against their bcrypt hashes, at no cost to the event loop."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Passwords that wait for their turn. A check takes some 0.1 s, one is made at a time, and
#: whoever guesses passwords should find the queue full rather than memory.
MOST_WAITING = 32

# bcrypt looks no further, and Python's raises where Go's and Apache's cut.
_LONGEST_PASSWORD = 72


class CrowdError(Exception):
    """More passwords wait for their check than is sensible."""


class Users:
    """Users and their hashes.

    A password that was right is remembered by a keyed digest, one for each user: whoever
    scrapes pays for bcrypt once. Wrong ones are not: a list of them could only grow, and an
    attacker is welcome to the price.
    """

    def __init__(self, hashes: Mapping[bytes, bytes]) -> None:
        self.hashes = hashes
        self._names = sorted(hashes)
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, bytes] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def admit(self, user: bytes, password: bytes) -> bool:
        """Whether *user* is known and has this *password*.

        An unknown user takes as long as a known one whose password is wrong.

        Raises:
            CrowdError: Too many are waiting for an answer.
        """
        digest = self._digest(user, password)
        if self._is_right(user, digest):
            return True
        if self._waiting >= MOST_WAITING:
            raise CrowdError
        self._waiting += 1
        try:
            async with self._turn:
                return await self._check(user, password, digest)
        finally:
            self._waiting -= 1

    async def _check(self, user: bytes, password: bytes, digest: bytes) -> bool:
        # Whoever waited before us may have asked the same: Prometheus comes in crowds.
        if self._is_right(user, digest):
            return True
        is_match = await asyncio.to_thread(_matches, password, self._hash_for(user))
        if not is_match or user not in self.hashes:
            return False
        self._right[user] = digest
        return True

    def _is_right(self, user: bytes, digest: bytes) -> bool:
        return hmac.compare_digest(self._right.get(user, b""), digest)

    def _hash_for(self, user: bytes) -> bytes:
        """The hash of *user*; of another user, always the same one, for an unknown name.

        Hashes differ in cost, and a fixed one would give away who is unknown.
        """
        if user in self.hashes:
            return self.hashes[user]
        place = int.from_bytes(self._digest(user, b"")[:8], "big") % len(self._names)
        return self.hashes[self._names[place]]

    def _digest(self, user: bytes, password: bytes) -> bytes:
        return hmac.digest(self._key, b"%b:%b" % (user, password), "sha256")


def credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """User and password of an `Authorization` header, None if they cannot be read.

    Source: RFC 7617 section 2.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):  # not base64; not even ASCII
        return None
    user, colon, password = text.partition(b":")
    return (user, password) if colon else None


def _matches(password: bytes, hashed: bytes) -> bool:
    return bcrypt.checkpw(password[:_LONGEST_PASSWORD], hashed)
