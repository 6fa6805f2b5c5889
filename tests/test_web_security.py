"""Who is answered, who is not, and that nobody holds what others need."""

from __future__ import annotations

import asyncio
import base64
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import bcrypt
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from exporter import __version__
from exporter.web import connection, security, users
from exporter.web.config import Rate
from exporter.web.security import Bucket
from exporter.web.users import CrowdError, Users, credentials
from tests.web import PASSWORD, USERS, hashed, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.web import Served

HEALTH = ("/-/healthy", "/healthz", "/-/ready", "/readyz")
ALICE = ("--user", f"alice:{PASSWORD}")


async def raw(port: int, request: bytes) -> bytes:
    """What comes back until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(1_000_000):
        pass


async def until(is_so) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.01)


async def test_who_has_the_password_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path, USERS) as served:
        for path in ("/metrics", "/", "/api/v1/issuers"):
            assert (await served.curl(path, *ALICE)).status == 200


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--user", "alice:wrong"),
        ("--user", f"mallory:{PASSWORD}"),
        ("--user", f":{PASSWORD}"),
        ("--user", "alice:"),
        ("--header", "Authorization: Basic !!!"),
        ("--header", "Authorization: Basic é"),
        ("--header", "Authorization: Basic YWxpY2U="),
        ("--header", f"Authorization: Bearer {PASSWORD}"),
    ],
)
async def test_who_has_not_is_asked_for_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    async with serving(tmp_path, USERS) as served:
        for path in ("/metrics", "/", "/nowhere", "/-/healthy/../../metrics"):
            answer = await served.curl(path, "--path-as-is", *options)
            assert (answer.status, "# HELP" in answer.text) == (401, False)
            asked = 'Basic realm="oidc-issuer-exporter", charset="UTF-8"'
            assert answer.header("WWW-Authenticate") == asked


async def test_paths_of_health_ask_for_nothing(tmp_path: Path) -> None:
    """The kubelet has no password; below a proxy's path it is the same."""
    async with serving(tmp_path, USERS, prefix="/oidc") as served:
        for path in HEALTH:
            assert (await served.curl(path)).status == 200
            assert (await served.curl(f"/oidc{path}", "--head")).status == 200
        assert (await served.curl("/oidc/metrics")).status == 401
        assert (await served.curl("/-/healthy/")).status == 401
        assert (await served.curl("/-/reload", "--request", "POST")).status == 401


async def test_a_right_password_is_checked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = count_checks(monkeypatch)
    async with serving(tmp_path, USERS) as served:
        answers = await asyncio.gather(*(served.curl("/metrics", *ALICE) for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        assert len(checks) == 1
        for _ in range(2):
            assert (await served.curl("/metrics", "--user", "alice:wrong")).status == 401

    assert len(checks) == 3


def count_checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    checks: list[bytes] = []
    check = bcrypt.checkpw

    def counting(password: bytes, hash_: bytes) -> bool:
        checks.append(hash_)
        return check(password, hash_)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    return checks


async def test_an_unknown_user_costs_what_a_known_one_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each unknown name gets a known one's hash, always the same: its cost is the time."""
    checks = count_checks(monkeypatch)
    hashes = {name.encode(): hashed(name).encode() for name in ("a", "b", "c")}
    asked = Users(hashes)
    for name in range(50):
        for _ in range(2):
            assert not await asked.admit(b"%d" % name, b"a")

    assert len(checks) == 100
    assert checks[::2] == checks[1::2]
    assert set(checks) == set(hashes.values())


async def test_a_known_hash_lends_an_unknown_user_no_password() -> None:
    """Whose hash it is that an unknown name is checked against, its password stays its own."""
    asked = Users({b"alice": hashed().encode()})

    assert not await asked.admit(b"mallory", PASSWORD.encode())
    assert await asked.admit(b"alice", PASSWORD.encode())
    assert not await asked.admit(b"mallory", PASSWORD.encode())


async def test_what_bcrypt_does_not_look_at_is_cut_as_others_cut_it() -> None:
    long = "x" * 80
    asked = Users({b"alice": bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4))})

    assert await asked.admit(b"alice", long.encode())
    assert not await asked.admit(b"alice", b"x" * 71)
    assert not await asked.admit(b"alice", b"x\0x")


async def test_a_crowd_with_one_password_pays_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = count_checks(monkeypatch)
    asked = Users({b"alice": hashed().encode()})
    answers = await asyncio.gather(
        *(asked.admit(b"alice", PASSWORD.encode()) for _ in range(5)),
        *(asked.admit(b"alice", b"wrong") for _ in range(2)),
    )

    assert answers == [True] * 5 + [False] * 2
    assert len(checks) == 3


async def test_the_loop_goes_on_while_a_password_is_checked() -> None:
    """Latencies are measured on it. Without a thread not one turn would come between."""
    asked = Users({b"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(10))})
    check = asyncio.create_task(asked.admit(b"alice", b"right"))
    turns = 0
    while not check.done():
        await asyncio.sleep(0)
        turns += 1

    assert await check
    assert turns > 100


async def test_passwords_do_not_queue_up_without_end(tmp_path: Path) -> None:
    asked = Users({b"alice": hashed().encode()})
    await asked._turn.acquire()
    waiting = [
        asyncio.create_task(asked.admit(b"alice", b"%d" % n)) for n in range(users.MOST_WAITING)
    ]
    await asyncio.sleep(0)

    with pytest.raises(CrowdError):
        await asyncio.wait_for(asked.admit(b"alice", b"one more"), 5)
    asked._turn.release()
    assert await asyncio.gather(*waiting) == [False] * users.MOST_WAITING
    assert await asked.admit(b"alice", PASSWORD.encode())

    async with serving(tmp_path, USERS) as served:
        assert served.guard._users is not None
        served.guard._users._waiting = users.MOST_WAITING
        answer = await served.curl("/metrics", *ALICE)
    assert (answer.status, answer.header("Retry-After")) == (503, "1")


def basic(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Basic {basic(b'a:b')}", (b"a", b"b")),
        (f"bAsIc  {basic(b'a:b')} ", (b"a", b"b")),
        (f"Basic {basic('a:ä:ö'.encode())}", (b"a", "ä:ö".encode())),
        (f"Basic {basic(b'a')}", None),
        (f"Bearer {basic(b'a:b')}", None),
        ("Basic", None),
        ("", None),
        ("Basic a:b", None),
        ("Basic \udcff", None),
    ],
)
def test_credentials_are_read_as_they_are_written(
    header: str, expected: tuple[bytes, bytes] | None
) -> None:
    assert credentials(header) == expected


class Gate:
    """A route that answers when it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.inside = 0

    async def answer(self, _request: web.Request) -> web.Response:
        self.inside += 1
        await self.opened.wait()
        self.inside -= 1
        return web.Response(text="through\n")


@asynccontextmanager
async def crowded(folder: Path, text: str | None = None) -> AsyncIterator[Served]:
    """A server that is allowed two requests at once, and has them."""
    gate = Gate()
    async with serving(
        folder, text, routes=(web.get("/gate", gate.answer),), max_requests=2
    ) as served:
        held = [asyncio.create_task(served.curl("/gate")) for _ in range(2)]
        await until(lambda: gate.inside == 2)
        yield served
        gate.opened.set()
        assert [answer.status for answer in await asyncio.gather(*held)] == [200, 200]
        assert (await served.curl("/metrics")).status == 200


async def test_one_scrape_too_many_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    async with crowded(tmp_path) as served:
        answer = await served.curl("/metrics")
        assert (answer.status, answer.header("Retry-After")) == (503, "1")
        assert "--web.max-requests" in answer.body


async def test_a_crowd_keeps_neither_health_nor_a_reload_from_being_answered(
    tmp_path: Path,
) -> None:
    async with crowded(tmp_path) as served:
        for path in HEALTH:
            assert (await served.curl(path)).status == 200
        assert (await served.curl("/-/reload", "--request", "POST")).status == 403


async def test_without_a_limit_there_is_none(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(
        tmp_path, routes=(web.get("/gate", gate.answer),), max_requests=0
    ) as served:
        held = [asyncio.create_task(served.curl("/gate")) for _ in range(5)]
        await until(lambda: gate.inside == 5)
        gate.opened.set()
        await asyncio.gather(*held)


async def test_who_does_not_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A scrape that nobody reads would hold its place, and the text, for ever."""
    monkeypatch.setattr(security, "MOST_SECONDS", 0.1)
    caplog.set_level("ERROR")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 1_000_000)

    async with serving(tmp_path, routes=(web.get("/endless", endless),)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: served.guard._under_way == 1)
        await until(lambda: served.guard._under_way == 0)
        await until(lambda: connections(served) == 0)
        await read_all(reader)
        writer.close()

    assert caplog.text == ""


async def test_who_hangs_up_is_no_fault_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Prometheus does so with every scrape that takes too long."""
    is_over = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 1_000_000)
        finally:
            is_over.set()

    async with serving(tmp_path, routes=(web.get("/endless", endless),)) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: served.guard._under_way == 1)
        writer.transport.abort()
        await asyncio.wait_for(is_over.wait(), 20)
        await until(lambda: connections(served) == 0)

    assert caplog.text == ""


async def test_an_answer_that_is_not_read_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its handler has returned it holds no place, but still a connection."""
    monkeypatch.setattr(connection, "WRITE_SECONDS", 0.1)

    async def much(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 50_000_000)

    async with serving(tmp_path, routes=(web.get("/much", much),)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1)
        writer.write(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: connections(served) == 1)
        await until(lambda: connections(served) == 0)
        await read_all(reader)
        writer.close()


def connections(served: Served) -> int:
    runner = served.server._runner
    assert runner.server is not None
    return len(runner.server.connections)


@pytest.mark.parametrize("start", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: "])
async def test_half_a_request_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """Nor does another byte now and then buy time."""
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.2)
    async with serving(tmp_path) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(start)
        end = asyncio.create_task(reader.read())
        async with asyncio.timeout(20):
            while not end.done():
                await asyncio.sleep(0.02)
                if start and not writer.is_closing():
                    writer.write(b"x")
        writer.close()
        await until(lambda: connections(served) == 0)


async def test_connections_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a file from the probes."""
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 2)
    async with serving(tmp_path) as served:
        held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
        await until(lambda: connections(served) == 2)
        refused = await served.curl("/-/healthy")
        for _, writer in held:
            writer.close()
        await until(lambda: connections(served) == 0)
        answered = await served.curl("/-/healthy")

    assert (refused.code in {52, 56}, refused.status) == (True, 0)
    assert answered.status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", b"431 "),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400 Bad Request"),
        (b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", b"413 "),
    ],
)
async def test_what_is_too_large_or_nonsense_is_refused_without_a_fuss(
    tmp_path: Path, request_: bytes, status: bytes
) -> None:
    async with serving(tmp_path) as served:
        with capture_logs() as logs:
            answer = await raw(served.port, request_)

    head = answer.partition(b"\r\n\r\n")[0]
    assert head[9:].startswith(status)
    assert f"Server: oidc-issuer-exporter/{__version__}".encode() in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"aaaa" not in answer
    assert {line["log_level"] for line in logs} <= {"debug"}


async def test_a_fault_of_ours_is_told_in_the_log_and_not_to_the_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise ZeroDivisionError("secret")

    async with serving(tmp_path, routes=(web.get("/broken", broken),)) as served:
        answer = await served.curl("/broken")

    assert (answer.status, "secret" in answer.text) == (500, False)
    assert "ZeroDivisionError: secret" in caplog.text


async def test_a_rate_is_kept_whoever_asks_and_health_is_not_rationed(tmp_path: Path) -> None:
    async with serving(tmp_path, "rate_limit: {interval: 1h, burst: 3}") as served:
        statuses = [(await served.curl("/metrics")).status for _ in range(5)]
        healthy = [(await served.curl("/-/healthy")).status for _ in range(5)]

    assert statuses == [200] * 3 + [429] * 2
    assert healthy == [200] * 5


def test_a_bucket_fills_with_time_and_runs_not_over() -> None:
    bucket = Bucket(Rate(interval_seconds=2.0, burst=2), 100.0)

    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(now) for now in (101.9, 102.0, 102.1, 104.1)] == [
        False,
        True,
        False,
        True,
    ]
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


async def test_every_answer_is_guarded(tmp_path: Path) -> None:
    async with serving(tmp_path, USERS) as served:
        answers = [
            await served.curl(path, *options)
            for path, options in (("/", ALICE), ("/metrics", ALICE), ("/x", ALICE), ("/", ()))
        ]

    assert [answer.status for answer in answers] == [200, 200, 404, 401]
    for answer in answers:
        assert answer.header("Server") == f"oidc-issuer-exporter/{__version__}"
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("X-Frame-Options") == "deny"
        assert answer.header("Referrer-Policy") == "no-referrer"
        policy = answer.header("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.header("Strict-Transport-Security") is None


async def test_the_operators_headers_go_before_ours(tmp_path: Path) -> None:
    text = """
http_server_config:
  headers:
    Strict-Transport-Security: max-age=60
    X-Frame-Options: sameorigin
    Content-Security-Policy: frame-ancestors https://grafana.example.com
"""
    async with serving(tmp_path, text) as served:
        answers = [await served.curl(path) for path in ("/", "/metrics", "/-/healthy", "/x")]

    for answer in answers:
        assert answer.header("Strict-Transport-Security") == "max-age=60"
        assert answer.header("X-Frame-Options") == "sameorigin"
        policy = "frame-ancestors https://grafana.example.com"
        assert answer.header("Content-Security-Policy") == policy
        assert answer.text.count("Content-Security-Policy") == 1
        assert answer.header("X-Content-Type-Options") == "nosniff"


async def test_each_request_has_its_line_for_who_looks(tmp_path: Path) -> None:
    async with serving(tmp_path, USERS) as served:
        with capture_logs() as logs:
            await served.curl("/x?q=1", "--user-agent", "\u202e" + "a" * 1000)

    (line,) = (line for line in logs if line["event"] == "request.finished")
    seconds = line.pop("duration_seconds")
    size, agent = line.pop("size_bytes"), line.pop("user_agent")
    assert line == {
        "event": "request.finished",
        "log_level": "debug",
        "method": "GET",
        "path": "/x?q=1",
        "status_code": 401,
        "remote": "127.0.0.1",
    }
    assert seconds >= 0
    assert size > len("want a user and a password\n")
    assert len(agent) == 256


async def test_nobody_looks_as_a_rule_and_nothing_is_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        connection._logger, "is_enabled_for", lambda _level: False, raising=False
    )
    async with serving(tmp_path) as served:
        with capture_logs() as logs:
            assert (await served.curl("/metrics")).status == 200

    assert logs == []


async def test_users_that_stay_need_not_be_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = count_checks(monkeypatch)
    async with serving(tmp_path, USERS) as served:
        assert (await served.curl("/metrics", *ALICE)).status == 200
        (tmp_path / "web.yaml").write_text(f"{USERS}rate_limit: {{interval: 1s, burst: 9}}\n")
        await served.server.reload()
        assert (await served.curl("/metrics", *ALICE)).status == 200
        assert len(checks) == 1

        (tmp_path / "web.yaml").write_text(USERS.replace("alice", "bob"))
        await served.server.reload()
        assert (await served.curl("/metrics", *ALICE)).status == 401
        (tmp_path / "web.yaml").write_text("")
        await served.server.reload()
        assert (await served.curl("/metrics")).status == 200


async def test_passwords_in_the_clear_are_warned_of(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with serving(tmp_path, USERS):
            pass

    assert [line["log_level"] for line in logs if line["event"] == "web_config.weak"] == [
        "warning"
    ]


async def test_a_socket_that_is_closed_at_once_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", served.port)).close()
        await until(lambda: connections(served) == 0)
        assert (await served.curl("/-/healthy")).status == 200
