"""The `Content-Encoding` of an answer, member by member (RFC 9110 8.4 and 5.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# IANA's registry of HTTP content codings.
_REGISTERED = frozenset(
    {
        "aes128gcm",
        "br",
        "compress",
        "dcb",
        "dcz",
        "deflate",
        "exi",
        "gzip",
        "pack200-gzip",
        "x-compress",
        "x-gzip",
        "zstd",
    }
)


def applied(lines: Sequence[str]) -> tuple[str, ...]:
    """The codings that *lines* of the header name, in the order in which they were applied."""
    return tuple(coding for coding in _members(lines) if coding in _REGISTERED)


def unknown(lines: Sequence[str]) -> tuple[str, ...]:
    """What stands there and is no coding: `utf-8`, `aws-chunked`, `none`.

    Stores write such words beside a plain body, and clients pass over them.
    """
    return tuple(coding for coding in _members(lines) if coding not in _REGISTERED)


def _members(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        for member in line.split(","):
            coding = member.strip(" \t").lower()
            # An empty member of a list counts for nothing, and so does `identity`.
            if coding not in ("", "identity"):
                yield coding
