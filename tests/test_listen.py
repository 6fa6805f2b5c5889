"""Where the exporter listens, and what it says when it cannot."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from exporter.web import listen as listen_module
from exporter.web.listen import Address, ListenError, address_of, listen

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10184", Address("", 10184)),
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:10184", Address("::1", 10184)),
        ("[]:1", Address("", 1)),
    ],
)
def test_an_address_is_read_as_elsewhere_in_the_field(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["10184", "", "host", "::1:10184", ":65536", ":x", "a:b:1"])
def test_what_is_not_an_address_is_answered_with_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address: write host:port, as in 127\.0\."):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        (":0", ["127.0.0.1", "::1"]),
        ("127.0.0.1:0", ["127.0.0.1"]),
        ("localhost:0", ["localhost"]),
        ("[::1]:0", ["::1"]),
    ],
)
def test_a_socket_answers_where_it_was_asked_to(text: str, hosts: list[str]) -> None:
    with listen(Address.parse(text)) as sock:
        port = address_of(sock).port
        assert port > 0
        for host in hosts:
            socket.create_connection((host, port), timeout=1).close()


def test_without_ipv6_every_interface_means_every_ipv4_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listen(Address("", 0)) as sock:
        assert str(address_of(sock)).startswith("0.0.0.0:")


def test_a_taken_port_is_named_and_another_one_offered() -> None:
    with listen(Address("127.0.0.1", 0)) as sock:
        taken = address_of(sock)
        with pytest.raises(ListenError) as caught:
            listen(taken)

    assert str(caught.value) == (
        f"cannot listen on {taken}: the port is taken; see who has it with "
        f"`ss -ltnp 'sport = :{taken.port}'`, or choose another with "
        "--web.listen-address=127.0.0.1:10184"
    )


def test_the_default_port_is_not_offered_in_place_of_itself() -> None:
    error = OSError(errno.EADDRINUSE, "in use")

    advice = listen_module._advice(error, Address("", 10184))

    assert advice.endswith("--web.listen-address=:10185")


def test_an_address_of_another_machine_is_said_to_be_so() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:1: no interface of this machine"):
        listen(Address("192.0.2.1", 1))


@pytest.mark.parametrize("host", ["not a name", "no..such..name"])
def test_a_name_that_nobody_knows_is_said_to_be_so(host: str) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on .*: no such name"):
        listen(Address(host, 1))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "no"), "ports below 1024 need privileges"),
        (OSError(errno.ENOBUFS, "No buffer space available"), "No buffer space available"),
        (OSError("without a number"), "without a number"),
    ],
)
def test_other_errors_are_put_into_words_too(
    monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    """Tests may run as root, who may listen on any port: the error has to be made."""
    monkeypatch.setattr(socket, "create_server", _raising(error))

    with pytest.raises(ListenError, match=words):
        listen(Address("127.0.0.1", 80))


def _raising(error: OSError) -> Callable[..., None]:
    def create_server(*_args: object, **_more: object) -> None:
        raise error

    return create_server
