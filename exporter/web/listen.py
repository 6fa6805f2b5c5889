"""Where the exporter listens: the only place that opens a listening socket."""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import dataclass

DEFAULT_PORT = 10184

_FORM = re.compile(r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<plain>[^\[\]:]*)):(?P<port>\d{1,5})")
_HIGHEST_PORT = 65535


class ListenError(Exception):
    """An address cannot be listened on; the message says why, and what to do."""

    def __init__(self, address: Address, why: str) -> None:
        super().__init__(f"cannot listen on {address}: {why}")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; an empty host means every interface, port 0 any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `:10184`, `127.0.0.1:10184` or `[::1]:10184`.

        Raises:
            ValueError: It has another form; the message shows the right ones.
        """
        match = _FORM.fullmatch(text)
        if match is None or int(match["port"]) > _HIGHEST_PORT:
            raise ValueError(
                f"{text!r} is not an address: write host:port, as in 127.0.0.1:{DEFAULT_PORT}, "
                f"[::1]:{DEFAULT_PORT}, or :{DEFAULT_PORT} for every interface"
            )
        return cls(match["bracketed"] or match["plain"] or "", int(match["port"]))


def listen(address: Address) -> socket.socket:
    """A socket that listens on *address*; an empty host serves IPv4 and IPv6.

    Raises:
        ListenError: The operator has to choose or free something.
    """
    try:
        return _open(address)
    except (socket.gaierror, UnicodeError):  # a label that is empty or too long
        why = "no such name; write an address of this machine, or none for every interface"
    except OSError as error:
        why = _advice(error, address)
    raise ListenError(address, why)


def address_of(sock: socket.socket) -> Address:
    """Where *sock* listens, with the port that was chosen for port 0."""
    host, port = sock.getsockname()[:2]
    return Address(host, port)


def _open(address: Address) -> socket.socket:
    if not address.host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", address.port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    (family, _, _, _, place), *_ = socket.getaddrinfo(
        address.host or "0.0.0.0",  # noqa: S104 - asked for by leaving the host out
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    return socket.create_server(place[:2], family=family)


def _advice(error: OSError, address: Address) -> str:
    other = Address(address.host, DEFAULT_PORT if address.port != DEFAULT_PORT else 10185)
    choose = f"--web.listen-address={other}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"the port is taken; see who has it with `ss -ltnp 'sport = :{address.port}'`, "
            f"or choose another with {choose}"
        )
    if error.errno == errno.EACCES:
        return f"ports below 1024 need privileges; choose a higher one with {choose}"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            "no interface of this machine has this address; see `ip addr`, or listen on every "
            f"interface with --web.listen-address=:{address.port}"
        )
    return f"{error.strerror or error}"
