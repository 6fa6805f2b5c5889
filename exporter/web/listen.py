"""Where the exporter listens: the only place that opens a listening socket."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

DEFAULT_PORT = 10184

_FORM = re.compile(r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<plain>[^\[\]:]*)):(?P<port>\d{1,5})")
_UNIX_FORM = re.compile(r"unix:(?P<path>[^?]+)(?:\?mode=(?P<mode>0?[0-7]{3}))?")
_HIGHEST_PORT = 65535
_ACTIVATION = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_FIRST_FD = 3
#: Linux has 108 bytes for it, the last of which is zero.
_LONGEST_PATH = 107


class ListenError(Exception):
    """An address cannot be listened on; the message says why, and what to do."""

    def __init__(self, address: object, why: str) -> None:
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


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The file of a Unix socket; unless told otherwise, its owner and group may connect."""

    path: Path
    mode: int = 0o660

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @classmethod
    def parse(cls, text: str) -> UnixAddress:
        """Read `unix:/run/x.sock` or `unix:/run/x.sock?mode=0666`.

        Raises:
            ValueError: It has another form; the message shows the right ones.
        """
        match = _UNIX_FORM.fullmatch(text)
        if match is None or len(os.fsencode(match["path"])) > _LONGEST_PATH:
            raise ValueError(
                f"{text!r} is not a Unix socket: write unix:PATH or unix:PATH?mode=0660, "
                f"with a path of at most {_LONGEST_PATH} bytes"
            )
        return cls(Path(match["path"]), int(match["mode"] or "660", 8))


def parse(text: str) -> Address | UnixAddress:
    """Read what a listener may be given. Raises ValueError, as the classes' own `parse` do."""
    return UnixAddress.parse(text) if text.startswith("unix:") else Address.parse(text)


def listen(address: Address | UnixAddress) -> socket.socket:
    """A socket that listens on *address*; an empty host serves IPv4 and IPv6.

    Raises:
        ListenError: The operator has to choose or free something.
    """
    if isinstance(address, UnixAddress):
        return _listen_unix(address)
    try:
        return _open(address)
    except (socket.gaierror, UnicodeError):  # a label that is empty or too long
        why = "no such name; write an address of this machine, or none for every interface"
    except OSError as error:
        why = _advice(error, address)
    raise ListenError(address, why)


def address_of(sock: socket.socket) -> Address | UnixAddress:
    """Where *sock* listens, with the port that was chosen for port 0."""
    if sock.family == socket.AF_UNIX:
        # Bytes stand for a name that is no file's: systemd may hand us one.
        name = sock.getsockname()
        return UnixAddress(Path(os.fsdecode(name).replace("\0", "@")))
    host, port = sock.getsockname()[:2]
    return Address(host, port)


@contextmanager
def listening(address: Address | UnixAddress) -> Iterator[socket.socket]:
    """What `listen` gives, closed in the end; a Unix socket's file is removed then.

    Raises:
        ListenError: As `listen` does.
    """
    with listen(address) as sock:
        made = _identity(address)
        try:
            yield sock
        finally:
            # Not the file of a successor, who may listen there by now.
            if isinstance(address, UnixAddress) and made == _identity(address):
                address.path.unlink(missing_ok=True)


def activated(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd has opened for us, told by *environment*, which forgets them.

    Raises:
        ListenError: There are none, or one of them does not listen.

    Source: sd_listen_fds(3).
    """
    told = {name: environment.pop(name, "") for name in _ACTIVATION}
    count = told["LISTEN_FDS"]
    # They may be meant for our parent, which handed its environment down.
    if told["LISTEN_PID"] != str(os.getpid()) or not count.isdecimal() or int(count) == 0:
        why = "none was passed to this process; start it by a .socket unit"
        raise ListenError("systemd's sockets", why)
    return [_activated(number) for number in range(_FIRST_FD, _FIRST_FD + int(count))]


def _activated(number: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        why = f"file descriptor {number} is no socket: {error.strerror}"
        raise ListenError("systemd's sockets", why) from None
    os.set_inheritable(number, False)  # noqa: FBT003
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        why = f"file descriptor {number} does not listen; want ListenStream= in the unit"
        raise ListenError("systemd's sockets", why)
    return sock


def _listen_unix(address: UnixAddress) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(address)
        # A mode set afterwards would come too late for who is quick.
        before = os.umask(0o777 & ~address.mode)
        try:
            sock.bind(os.fspath(address.path))
        finally:
            os.umask(before)
        sock.listen()
    except OSError as error:
        sock.close()
        raise ListenError(address, error.strerror or str(error)) from None
    except ListenError:
        sock.close()
        raise
    return sock


def _remove_stale(address: UnixAddress) -> None:
    """Remove the file of a process that has ended without doing so itself."""
    try:
        kind = address.path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ListenError(address, "a file that is no socket stands there; remove it yourself")
    with socket.socket(socket.AF_UNIX) as probe:
        # Without this, a queue that is full would hold us.
        probe.setblocking(False)  # noqa: FBT003
        if probe.connect_ex(os.fspath(address.path)) != errno.ECONNREFUSED:
            why = "another process listens there; choose another path, or stop it"
            raise ListenError(address, why)
    address.path.unlink()


def _identity(address: Address | UnixAddress) -> tuple[int, int] | None:
    if isinstance(address, Address):
        return None
    with suppress(FileNotFoundError):
        found = address.path.lstat()
        return found.st_dev, found.st_ino
    return None


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
