"""A name server that knows one name, so that no lookup of the demo leaves the machine."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

#: Every demo issuer is dialled under this name, by `connect_to`; it means loopback.
KNOWN_NAME = "issuers.demo.example"

_HEADER = struct.Struct("!6H")
_TYPE_A = 1
_NXDOMAIN = 3
# Response, authoritative, recursion desired and available: RFC 1035 section 4.1.1.
_FLAGS = 0x8580
# A pointer to the question's name, type A, class IN, not to be cached, 127.0.0.1.
_LOOPBACK = struct.pack("!HHHIH4B", 0xC00C, _TYPE_A, 1, 0, 4, 127, 0, 0, 1)


def answer(query: bytes) -> bytes | None:
    """The response to one DNS *query*; None for what is no query.

    The known name has one A record and no other; every other name does not exist. EDNS
    records are left out of the answer, as RFC 6891 section 7 allows.
    """
    try:
        name, end = _name(query)
        (kind,) = struct.unpack_from("!H", query, end)
        query_id, flags, *_ = _HEADER.unpack_from(query)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if flags & 0x8000:
        return None
    is_known = name.lower() == KNOWN_NAME
    records = _LOOPBACK if is_known and kind == _TYPE_A else b""
    header = _HEADER.pack(
        query_id, _FLAGS | (0 if is_known else _NXDOMAIN), 1, 1 if records else 0, 0, 0
    )
    return header + query[_HEADER.size : end + 4] + records


def _name(query: bytes) -> tuple[str, int]:
    """The question's name, and where in *query* it ends."""
    labels = []
    position = _HEADER.size
    while length := query[position]:
        labels.append(query[position + 1 : position + 1 + length].decode("ascii"))
        position += 1 + length
    return ".".join(labels), position + 1


class _Protocol(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if response := answer(data):
            self._transport.sendto(response, addr)


async def start() -> asyncio.DatagramTransport:
    """Answer on a free UDP port of 127.0.0.1 until the transport is closed."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        _Protocol, local_addr=("127.0.0.1", 0)
    )
    return transport
