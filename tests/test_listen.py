"""Where the exporter listens, and what it says when it cannot."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.web import listen as listen_module
from exporter.web.listen import (
    Address,
    ListenError,
    UnixAddress,
    activated,
    address_of,
    listen,
    listening,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def bound(sock: socket.socket) -> Address:
    address = address_of(sock)
    assert isinstance(address, Address)
    return address


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
        port = bound(sock).port
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
        taken = bound(sock)
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


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x.sock", UnixAddress(Path("/run/x.sock"))),
        ("unix:x.sock", UnixAddress(Path("x.sock"))),
        ("unix:/run/x.sock?mode=0600", UnixAddress(Path("/run/x.sock"), 0o600)),
        ("unix:/run/x.sock?mode=666", UnixAddress(Path("/run/x.sock"), 0o666)),
        (":80", Address("", 80)),
    ],
)
def test_a_unix_socket_is_written_as_its_path(text: str, address: object) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["unix:", "unix:/a?mode=", "unix:/a?mode=8", "unix:/a?x=1", f"unix:/{'a' * 107}"],
)
def test_what_is_no_unix_socket_is_answered_with_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a Unix socket: write unix:PATH or unix:PATH"):
        parse(text)


@pytest.mark.parametrize(("suffix", "mode"), [("", 0o660), ("?mode=0600", 0o600)])
def test_a_unix_socket_is_there_for_whom_it_is_meant_and_goes_in_the_end(
    tmp_path: Path, suffix: str, mode: int
) -> None:
    path = tmp_path / "x.sock"
    before = os.umask(0o022)
    try:
        with listening(parse(f"unix:{path}{suffix}")) as sock:
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert str(address_of(sock)) == f"unix:{path}"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
        assert not path.exists()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_what_a_dead_process_left_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    with listening(UnixAddress(path)) as sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        sock.accept()[0].close()


def test_what_a_living_one_uses_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(UnixAddress(path)) as first:
        # Even when its queue is full.
        first.listen(0)
        with ExitStack() as stack:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
            with pytest.raises(ListenError, match="another process listens there"):
                listen(UnixAddress(path))
        assert path.exists()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.write_text("precious")

    with pytest.raises(ListenError, match="a file that is no socket stands there"):
        listen(UnixAddress(path))
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=r"x\.sock: No such file or directory"):
        listen(UnixAddress(tmp_path / "none" / "x.sock"))


def test_the_file_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(UnixAddress(path)):
        path.unlink()
        successor = listen(UnixAddress(path))
    with successor:
        assert path.exists()


def test_a_file_that_is_gone_already_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(UnixAddress(path)):
        path.unlink()


def test_a_port_is_free_again_in_the_end() -> None:
    with listening(Address("127.0.0.1", 0)) as sock:
        address = bound(sock)
    with listening(address):
        pass


def test_a_name_that_is_no_files_is_shown_as_elsewhere() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0exporter-test-{os.getpid()}")

        assert str(address_of(sock)) == f"unix:@exporter-test-{os.getpid()}"


def handed_over(**changes: str) -> dict[str, str]:
    return {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "HOME": "/", **changes}


def test_what_systemd_hands_over_is_taken_and_its_note_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its descriptors begin at 3, which a test cannot have: they are here."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        number = os.dup(opened.fileno())
        os.set_inheritable(number, True)  # noqa: FBT003
        monkeypatch.setattr(listen_module, "_FIRST_FD", number)
        environment = handed_over(LISTEN_FDNAMES="web")
        (sock,) = activated(environment)
        with sock:
            assert address_of(sock) == address_of(opened)
            assert not os.get_inheritable(number)

    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        handed_over(LISTEN_PID="1"),
        handed_over(LISTEN_FDS="0"),
        handed_over(LISTEN_FDS="x"),
        {"LISTEN_PID": str(os.getpid())},
    ],
)
def test_without_a_socket_unit_there_is_nothing_to_take(environment: dict[str, str]) -> None:
    with pytest.raises(ListenError, match=r"none was passed to this process; start it by a"):
        activated(dict(environment))


def test_what_does_not_listen_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        number = os.dup(opened.fileno())
        monkeypatch.setattr(listen_module, "_FIRST_FD", number)
        with pytest.raises(ListenError, match=r"does not listen; want ListenStream="):
            activated(handed_over())
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setattr(listen_module, "_FIRST_FD", file.fileno())
        with pytest.raises(ListenError, match=r"is no socket: Socket operation on non-socket"):
            activated(handed_over())
