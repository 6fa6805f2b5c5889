"""Name to addresses: the only module that speaks DNS.

Each lookup has a c-ares channel of its own. A shared one would answer from c-ares's query
cache, which is on by default for up to an hour and cannot be switched off from Python, and
the probe must pay for every lookup as STS would. A channel costs about 0.13 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import select
import socket
from functools import lru_cache
from typing import TYPE_CHECKING

import pycares

from exporter.clock import Stopwatch, read_stamped, stamp
from exporter.faults import Stopped, from_dns, from_os
from exporter.reasons import Family, Reason, Scope, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAMILIES = {None: socket.AF_UNSPEC, Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
# NOSEARCH: the search list of resolv.conf would find names that STS cannot.
_FLAGS = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_EDNS
_NONE = pycares.ARES_SOCKET_BAD
# ARES_AI_ENVHOSTS, which pycares does not name: read the hosts file that CARES_HOSTS names,
# here an empty one. `Channel(lookups="b")` would say the same, but pycares 5.2 frees that
# string before c-ares copies it: one lookup in a thousand fails at once as "refused".
_NO_HOSTS = 1 << 8
os.environ["CARES_HOSTS"] = os.devnull

# IPv6 that leads to an IPv4 address, and how many bits follow that address: NAT64 (RFC 6052),
# 6to4 (RFC 3056), translated (RFC 2765), and mapped and compatible ones (RFC 4291 2.5.5).
_LEADING_TO_IPV4 = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
)
# Not for the internet either, which not every version of `ipaddress` knows: NAT64 for local
# use (RFC 8215), site-local (RFC 3879), documentation (RFC 9637), segments (RFC 9602).
_NOT_GLOBAL = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10", "3fff::/20", "5f00::/16"))
)


def family_of(ip: str) -> Family:
    """The address family of a literal."""
    return Family.IPV6 if ":" in ip else Family.IPV4


@lru_cache(maxsize=4096)
def scope_of(ip: str) -> Scope:
    """What kind of address *ip* is, by the IANA special-purpose registries."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _NOT_GLOBAL):
            return Scope.PRIVATE
        address = _led_to(address)
    if address.is_loopback:
        return Scope.LOOPBACK
    if address.is_link_local:
        return Scope.LINK_LOCAL
    if address.is_global and not address.is_multicast:
        return Scope.GLOBAL
    return Scope.PRIVATE if address.is_private else Scope.OTHER


def _led_to(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if address.is_loopback:
        return address
    for network, bits_after in _LEADING_TO_IPV4:
        if address in network:
            return ipaddress.IPv4Address(int(address) >> bits_after & 0xFFFFFFFF)
    return address


@lru_cache(maxsize=4096)
def literal(host: str) -> str | None:
    """*host* bare when it is an address already, else None.

    A dot at its end, which makes a name absolute, is passed over by resolvers and proxies.
    """
    try:
        return str(ipaddress.ip_address(host.strip("[]").removesuffix(".")))
    except ValueError:
        return None


def ascii_name(host: str) -> str:
    """*host* as it goes into a query, a handshake and a header: A-labels.

    Raises:
        Stopped: `dns/bad_name` when a label is empty or longer than 63 octets, or the
            whole longer than 253 (RFC 1035 2.3.4).
    """
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise Stopped(Stage.DNS, Reason.BAD_NAME, f"{host[:80]!r}: {error}") from None
    if len(name.rstrip(".")) > 253:  # noqa: PLR2004 - RFC 1035, less the length octets
        raise Stopped(Stage.DNS, Reason.BAD_NAME, f"{host[:80]!r}: over 253 octets")
    return name


async def resolve(
    host: str,
    *,
    family: Family | None,
    nameservers: Sequence[str],
    stopwatch: Stopwatch,
) -> tuple[str, ...]:
    """Look *host* (A-labels) up afresh, both families at once unless *family* says one.

    Returns:
        Addresses in the order in which to try them (RFC 6724, as c-ares sorts).

    Raises:
        Stopped: at stage `dns`.
    """
    stopwatch.act()
    since = stopwatch.now()
    lookup = _Lookup(nameservers)
    try:
        return await lookup.addresses(host, _FAMILIES[family], stopwatch.remaining())
    except TimeoutError:
        raise Stopped(Stage.DNS, Reason.TIMEOUT, f"{host}: no answer in time") from None
    finally:
        lookup.close()
        stopwatch.correct(since, lookup.lag)


def _refused(code: str, host: str, words: str) -> Stopped:
    """Name c-ares's error; "refused" is also what it says when it was given no socket."""
    if code == "ARES_ECONNREFUSED":
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
        except OSError as error:
            return from_os(error, Stage.DNS, host)
    return from_dns(code, host, words)


class _Lookup:
    """One question to the name servers, driven by the running loop.

    Attributes:
        lag: How long ago the last answer had arrived when it was read.
    """

    def __init__(self, nameservers: Sequence[str]) -> None:
        self.lag: float | None = 0.0
        self._loop = asyncio.get_running_loop()
        self._watched: dict[int, socket.socket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._channel = pycares.Channel(
            flags=_FLAGS,
            servers=list(nameservers) or None,
            sock_state_cb=self._watch,
        )

    async def addresses(
        self, host: str, family: socket.AddressFamily, timeout_seconds: float
    ) -> tuple[str, ...]:
        """Ask for *host*, once.

        Raises:
            Stopped: at stage `dns`. TimeoutError: no answer has come in time.
        """
        answer: asyncio.Future[pycares.AddrInfoResult] = self._loop.create_future()

        def answered(result: pycares.AddrInfoResult, code: int | None) -> None:
            if answer.done():
                return
            if code is None:
                answer.set_result(result)
            else:
                name = pycares.errno.errorcode.get(code, "")
                words = str(pycares.errno.strerror(code))
                answer.set_exception(_refused(name, host, words))

        self._channel.getaddrinfo(
            host,
            None,
            family=family,
            type=socket.SOCK_STREAM,
            flags=_NO_HOSTS,
            callback=answered,
        )
        self._rearm()
        try:
            # Not `asyncio.timeout`: what is there when the loop comes late came in time.
            await asyncio.wait((answer,), timeout=timeout_seconds)
            if not answer.done():
                self._catch_up()
            if not answer.done():
                raise TimeoutError
            nodes = answer.result().nodes
        finally:
            answer.cancel()
        if not nodes:
            raise Stopped(Stage.DNS, Reason.NODATA, f"{host}: no address")
        return tuple(dict.fromkeys(node.addr[0].decode("ascii") for node in nodes))

    def close(self) -> None:
        """End the question; what still comes is dropped."""
        self._channel.cancel()
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
        for fd in tuple(self._watched):
            self._unwatch(fd)
        self._channel.close()

    def _watch(self, fd: int, readable: bool, writable: bool) -> None:  # noqa: FBT001 - c-ares's call
        # After close() the channel is destroyed in pycares's thread, which calls us too.
        if self._is_closed:
            return
        if not (readable or writable):
            self._unwatch(fd)
            return
        if fd not in self._watched:
            # Only lent by c-ares, which closes it. A twin of our own (`os.dup`) would cost a
            # second descriptor, and an error here could not get past c-ares.
            self._watched[fd] = socket.socket(fileno=fd)
            with contextlib.suppress(OSError):
                stamp(self._watched[fd])
        if readable:
            self._loop.add_reader(fd, self._process, fd, _NONE)
        if writable:
            self._loop.add_writer(fd, self._process, _NONE, fd)
        else:
            self._loop.remove_writer(fd)

    def _unwatch(self, fd: int) -> None:
        lent = self._watched.pop(fd, None)
        if lent is not None:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            lent.detach()

    def _catch_up(self) -> None:
        poll = select.poll()
        for fd in self._watched:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(0):
            if fd in self._watched:
                self._process(fd, _NONE)

    def _process(self, readable_fd: int, writable_fd: int) -> None:
        if readable_fd != _NONE:
            self._note_arrival(self._watched[readable_fd])
        self._channel.process_fd(readable_fd, writable_fd)
        self._rearm()

    def _note_arrival(self, lent: socket.socket) -> None:
        try:
            _, self.lag = read_stamped(lent, 1, socket.MSG_PEEK)
        except OSError:
            # c-ares reads the same error a moment later and deals with it.
            self.lag = 0.0

    def _rearm(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._watched:
            wait: float = self._channel.timeout()  # type: ignore[no-untyped-call]
            # Zero means "now" as well as "never": c-ares is asked again a moment later.
            self._timer = self._loop.call_later(max(wait, 0.001), self._process, _NONE, _NONE)
