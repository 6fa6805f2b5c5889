"""Where the time goes: servers that are slow in exactly one phase, and a loop that is held."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
import time
from pathlib import Path

import pytest
import uvloop

from exporter.clock import Stopwatch, connected_ago, read_stamped, stamp
from exporter.model import Phases
from exporter.probe import Prober
from tests.authority import server_context
from tests.probing import KEYS, discovery, verdict
from tests.servers import Handler, answering, dns_hosts, http
from tests.stack import until

SLOW = 0.25


def named(phases: Phases) -> dict[str, float]:
    """The phases that happened."""
    every = {name: getattr(phases, name) for name in Phases.__dataclass_fields__}
    return {name: seconds for name, seconds in every.items() if seconds is not None}


def slowest(phases: Phases) -> str:
    happened = named(phases)
    return max(happened, key=lambda name: happened[name])


async def undisturbed(attempt, is_true):
    """What *attempt* (a coroutine function) returned, made again while a wish does not hold.

    A starved machine makes the far end or ourselves late, and so the truth longer. Five times
    in a row it does not; time that is told of the wrong phase is told so every time.
    """
    for _ in range(5):
        result = await attempt()
        if is_true(result):
            break
    return result


async def slow_resolver(bench, farm):
    port = bench.serve()
    server = farm.nameserver(dns_hosts("127.0.0.1"), delay=SLOW)
    return bench.issuer(
        port, url=f"https://issuer.test:{port}", connect_to=None, nameservers=(server,)
    )


def knocking(port: int) -> int:
    """How many have sent a SYN to *port* and wait for an answer, by the kernel's own list."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    sockets = (line.split() for line in lines)
    return sum(to.endswith(f":{port:04X}") and state == "02" for _, _, to, state, *_ in sockets)


async def slow_accept(bench, farm):
    """A full queue drops the SYN; the kernel sends the next one a second later."""
    port, listener = farm.full_backlog()
    context = server_context(bench.pki)
    before = knocking(port)

    def drain():
        until(lambda: knocking(port) > before)
        listener.settimeout(5)
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=answer, args=(sock,), daemon=True).start()

    def answer(sock):
        sock.settimeout(2)
        with (
            sock,
            contextlib.suppress(OSError),
            context.wrap_socket(sock, server_side=True) as session,
        ):
            session.recv(4096)
            session.sendall(http("no", "404 Not Found"))

    threading.Thread(target=drain, daemon=True).start()
    return bench.issuer(port, timeout_seconds=5.0)


async def slow_handshake(bench, farm):
    inner = bench.serve()

    async def late(reader, writer):
        await asyncio.sleep(SLOW)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", inner)

        async def pump(source, sink):
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    return bench.issuer(farm.serve(late))


async def slow_first_byte(bench, _farm):
    return bench.issuer(bench.serve(answering(SLOW, http(discovery()))))


async def slow_body(bench, _farm):
    whole = http(discovery())
    return bench.issuer(bench.serve(answering(whole[:90], SLOW, whole[90:])))


@pytest.mark.parametrize(
    ("make", "phase"),
    [
        (slow_resolver, "resolve"),
        (slow_accept, "connect"),
        (slow_handshake, "tls"),
        (slow_first_byte, "processing"),
        (slow_body, "transfer"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_the_slow_phase_is_named(bench, farm, make, phase):
    async def first():
        report = await Prober().probe(await make(bench, farm))
        return report.fetches[0].phases

    phases = await undisturbed(first, lambda phases: slowest(phases) == phase)

    assert slowest(phases) == phase
    assert named(phases)[phase] >= SLOW * 0.95


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


@pytest.mark.parametrize(
    "steps",
    [
        (HINTS, SLOW, http(KEYS)),
        (HINTS[:20], SLOW, HINTS[20:] + http(KEYS)),
        (HINTS, SLOW / 2, HINTS, SLOW / 2, http(KEYS)),
    ],
    ids=["at once", "with the answer", "twice"],
)
async def test_an_interim_response_is_no_answer_yet(bench, steps):
    """Until the final response begins, the issuer still thinks; its `Date` is of then."""
    port = bench.serve(None, answering(*steps))

    report = await undisturbed(
        lambda: bench.probe(port),
        lambda report: slowest(report.fetches[1].phases) == "processing",
    )
    second = report.fetches[1]

    assert verdict(report) == "usable"
    assert slowest(second.phases) == "processing"
    assert second.phases.processing >= SLOW * 0.95
    assert second.first_byte_seconds == pytest.approx(second.phases.processing)
    assert sum(named(second.phases).values()) == pytest.approx(second.duration_seconds)


async def test_the_phases_add_up(bench):
    """Disjoint and complete: their sum is the fetch's duration, and both make the probe's."""
    report = await bench.probe(bench.serve())
    first, second = report.fetches

    for fetch in report.fetches:
        assert sum(named(fetch.phases).values()) == pytest.approx(fetch.duration_seconds)
    assert first.duration_seconds + second.duration_seconds <= report.duration_seconds
    assert first.first_byte_seconds == pytest.approx(
        first.duration_seconds - first.phases.transfer
    )


async def test_a_reused_connection_has_no_phases_of_its_own(bench):
    report = await bench.probe(bench.serve())

    assert report.fetches[1].is_reused
    assert set(named(report.fetches[1].phases)) == {"processing", "transfer"}
    assert report.fetches[1].tls == report.fetches[0].tls


async def test_reuse_can_be_switched_off(bench):
    report = await bench.probe(bench.serve(), reuse_connection=False)

    assert set(named(report.fetches[1].phases)) == {"connect", "tls", "processing", "transfer"}


@pytest.mark.parametrize("uri", ["https://keys.test/jwks", "https://issuer.test:8443/jwks"])
async def test_another_origin_gets_a_connection_of_its_own(bench, uri):
    """Google's key set lies on another host; the certificate there must fit that host."""
    report = await bench.probe(bench.serve(http(discovery(jwks_uri=uri))))

    assert not report.fetches[1].is_reused


async def test_a_connection_that_the_server_closes_is_not_reused(bench):
    closing = http(discovery(), headers="Connection: close\r\n")
    report = await bench.probe(bench.serve(answering(closing, "close")))

    assert (verdict(report), report.fetches[1].is_reused) == ("usable", False)


async def test_a_connection_that_dies_between_the_fetches_is_made_anew(bench):
    """A keep-alive that the server ends unsaid is no fault; any client asks again."""
    silent_close = answering(http(discovery()), "close")
    report = await bench.probe(bench.serve(silent_close))

    assert (verdict(report), report.fetches[1].is_reused) == ("usable", False)


async def test_the_time_lost_on_a_connection_that_dies_is_the_key_sets(bench):
    """The server takes the second request, thinks, and hangs up: STS would have waited."""
    requests = 0

    async def tired(reader, writer):
        nonlocal requests
        while True:
            await reader.readuntil(b"\r\n\r\n")
            requests += 1
            if requests == 2:
                await asyncio.sleep(SLOW)
                return
            writer.write(http(discovery() if requests == 1 else KEYS))

    report = await bench.probe(bench.serve(tired, tired))
    first, second = report.fetches

    assert (verdict(report), second.is_reused) == ("usable", False)
    assert second.phases.processing >= SLOW * 0.95
    assert sum(named(second.phases).values()) == pytest.approx(second.duration_seconds)
    assert second.first_byte_seconds == pytest.approx(
        second.duration_seconds - second.phases.transfer
    )
    # It began before the lost try, not with the second one: it would last beyond the end.
    ended = second.started_timestamp_seconds + second.duration_seconds
    assert ended < report.ended_timestamp_seconds + SLOW / 2
    assert first.duration_seconds + second.duration_seconds <= report.duration_seconds


@pytest.mark.parametrize("seconds", [0.25, 0.4])
async def test_the_timeout_is_that_timeout(bench, seconds):
    """Never earlier, and no rounding up to a whole second, which aiohttp's own would do."""
    port = bench.serve(answering("stall"))
    bound = seconds + 0.5

    report = await undisturbed(
        lambda: bench.probe(port, timeout_seconds=seconds),
        lambda report: report.duration_seconds < bound,
    )

    assert verdict(report) == "discovery/http/timeout"
    assert seconds * 0.98 <= report.duration_seconds < bound


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ("Content-Encoding: gzip\r\n", gzip.compress(b"") * 5_000),
        ("Transfer-Encoding: chunked\r\n", b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
    ],
    ids=["empty members", "long extensions"],
)
async def test_a_peer_that_always_has_more_does_not_outrun_the_timeout(bench, headers, more):
    """Nothing of this adds to the body's size, so no limit but the time ends it."""

    async def flood(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode())
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(0)  # to learn that nobody listens any more

    report = await bench.probe(bench.serve(flood), timeout_seconds=SLOW)

    assert verdict(report) == "discovery/body/timeout"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine on a loop of either kind."""
    if request.param == "asyncio":
        return asyncio.run
    return uvloop.run


HELD = 0.6
ANSWER = 0.2


class Holder:
    """Holds the prober's loop for a while as soon as the far end has been asked."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seconds = 0.0

    def arm(self, seconds: float) -> None:
        self._loop, self._seconds = asyncio.get_running_loop(), seconds

    def fire(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(time.sleep, self._seconds)

    def before(self, handler: Handler) -> Handler:
        async def handle(reader, writer):
            self.fire()
            await handler(reader, writer)

        return handle


def probe_held(run, issuer, holder, seconds, is_true):
    """The first fetch of a probe whose loop is held for *seconds*."""

    async def first():
        prober = Prober()
        await prober.probe(issuer)
        holder.arm(seconds)
        return (await prober.probe(issuer)).fetches[0]

    fetch = run(
        undisturbed(first, lambda fetch: fetch.failure is None and is_true(fetch.phases))
    )
    assert fetch.failure is None
    return fetch


def test_a_held_loop_does_not_falsify_the_first_byte(bench, run):
    """The answer comes after 0.2 s, while the loop is held until 0.6 s have passed."""
    holder = Holder()
    port = bench.serve(holder.before(answering(ANSWER, http(discovery()))))
    bound = ANSWER + HELD / 3
    issuer = bench.issuer(port)
    first = probe_held(run, issuer, holder, HELD, lambda phases: phases.processing < bound)

    assert ANSWER * 0.95 <= first.phases.processing < bound
    assert first.correction_seconds > HELD / 3
    assert first.is_corrected


def test_a_late_look_at_one_arrival_takes_nothing_off_the_next(bench, run):
    """The rest of a body (or an answer behind session tickets) does not wait for our look."""
    whole, holder = http(discovery()), Holder()
    steps = answering(ANSWER, whole[:-10], 2 * ANSWER, whole[-10:])
    issuer = bench.issuer(bench.serve(holder.before(steps)))

    def is_true(phases):
        return phases.processing < ANSWER * 1.5 and phases.transfer < 2 * ANSWER * 1.5

    first = probe_held(run, issuer, holder, 2 * ANSWER, is_true)

    assert is_true(first.phases)
    assert first.phases.processing >= ANSWER * 0.95
    assert first.phases.transfer >= 2 * ANSWER * 0.95


def test_a_held_loop_does_not_falsify_a_lookup(bench, farm, run):
    port, holder = bench.serve(), Holder()

    def answer(question, kind):
        holder.fire()
        return dns_hosts("127.0.0.1")(question, kind)

    issuer = bench.issuer(
        port,
        url=f"https://issuer.test:{port}",
        connect_to=None,
        nameservers=(farm.nameserver(answer, delay=ANSWER),),
    )
    bound = ANSWER + HELD / 3
    first = probe_held(run, issuer, holder, HELD, lambda phases: phases.resolve < bound)

    assert ANSWER * 0.95 <= first.phases.resolve < bound


def test_a_held_loop_is_no_timeout(bench, run):
    """The answer was there in time; only the loop came late to it."""
    holder = Holder()
    port = bench.serve(holder.before(answering(0.05, http(discovery()))))
    issuer = bench.issuer(port, timeout_seconds=0.5, budget_seconds=0.5)

    first = probe_held(run, issuer, holder, HELD, lambda phases: phases.processing < HELD)

    assert first.phases.processing < HELD


def test_a_held_loop_is_no_timeout_for_a_body_of_many_reads(bench, run):
    """What did not fit the window comes once we read again, and is forgiven as well."""
    holder = Holder()
    long = http(discovery().ljust(900_000))
    port = bench.serve(holder.before(answering(0.05, long)))
    # Longer than others are held: a busy machine takes a while for the rest, too.
    timeout = 2.0
    issuer = bench.issuer(port, timeout_seconds=timeout, budget_seconds=timeout)
    first = probe_held(run, issuer, holder, timeout + 0.1, lambda _: True)

    assert first.size_bytes == 900_000


# --- the kernel's word -------------------------------------------------------------------


def pair() -> tuple[socket.socket, socket.socket]:
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    return near, far


def test_the_kernel_tells_when_bytes_came():
    near, far = pair()
    with near, far:
        stamp(near)
        time.sleep(0.05)  # the kernel begins to stamp a moment after the first wish
        far.send(b"x")
        time.sleep(0.1)
        data, lag = read_stamped(near, 10)

        assert data == b"x"
        assert lag is not None
        assert 0.09 < lag < 5


def test_the_end_of_a_stream_has_no_stamp():
    near, far = pair()
    with near:
        stamp(near)
        far.close()

        assert read_stamped(near, 10) == (b"", None)


def test_the_kernel_tells_when_a_connection_was_made():
    before = time.monotonic()
    near, far = pair()
    with near, far:
        fresh = connected_ago(near)
        at_most = time.monotonic() - before
        time.sleep(0.1)
        old = connected_ago(near)

        assert fresh is not None
        assert old is not None
        assert fresh <= at_most + 0.01  # it counts in jiffies
        assert old >= fresh + 0.09


async def test_no_more_is_taken_off_than_was_waited():
    """Bytes that came before we began to wait were late by our own work."""
    began = time.perf_counter()
    watch = Stopwatch(5)
    since = watch.now()
    await asyncio.sleep(0.02)
    watch.correct(since, 10.0)

    assert 0.015 < watch.correction_seconds <= time.perf_counter() - began


async def test_what_comes_unasked_is_late_for_itself_alone():
    """A body's second half is under way while we are late for its first."""
    watch = Stopwatch(5)
    since = watch.now()
    await asyncio.sleep(0.04)
    watch.correct(since, 0.03)
    await asyncio.sleep(0.04)
    watch.correct(watch.now() - 0.02, 0.0)

    assert watch.correction_seconds == 0.0


async def test_what_we_do_late_makes_all_that_follows_late():
    watch = Stopwatch(5)
    since = watch.now()
    await asyncio.sleep(0.04)
    watch.correct(since, 0.03)
    watch.act()
    since = watch.now()
    await asyncio.sleep(0.04)
    watch.correct(since, 0.01)

    assert watch.correction_seconds == pytest.approx(0.04)


async def test_a_wait_without_the_kernels_word_is_flagged():
    watch = Stopwatch(5)
    watch.correct(watch.now(), None)

    assert (watch.is_corrected, watch.correction_seconds) == (False, 0.0)


async def test_a_stamp_from_the_future_is_no_correction():
    """The wall clock may be set back between the arrival and our look at it."""
    watch = Stopwatch(5)
    watch.correct(watch.now(), -3.0)

    assert (watch.is_corrected, watch.correction_seconds) == (True, 0.0)
