"""The parts put together, in this process: what reloads, signals and shutdown do."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from exporter import app
from exporter.app import Daemon, Options
from exporter.book import Book
from exporter.config import ConfigError, digest, load
from exporter.deadlines import offset_seconds
from exporter.reasons import SkipCause
from exporter.sharding import Shard, home
from exporter.store import Store
from exporter.web.listen import Address, ListenError, address_of, listen
from tests import builders
from tests.authority import root
from tests.probing import URL as ISSUER_URL
from tests.servers import answering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.probing import Bench

PATIENCE_SECONDS = 60.0
LOOPBACK = Address("127.0.0.1", 0)


def early_names(count: int) -> list[str]:
    """Names whose place is in the first hundredth of the interval."""
    names = (f"n{number}" for number in range(100_000))
    early = (n for n in names if offset_seconds(builders.issuer(name=n)) < 0.6)
    return [next(early) for _ in range(count)]


FIRST, SECOND, THIRD = early_names(3)


def entry(name: str, port: int = 1, **more: Any) -> dict[str, Any]:
    return {"url": f"https://127.0.0.1:{port}", "name": name, **more}


class Site:
    """A daemon under test, its configuration file, and what it answers."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.config = folder / "config.yaml"
        self.options = Options(
            **{"config_files": (self.config,), "listen_addresses": (LOOPBACK,), **options}
        )
        self.base = ""

    def write(self, *issuers: dict[str, Any], interval: str = "30s", **more: Any) -> None:
        """As JSON, which is YAML as well."""
        content = {"defaults": {"interval": interval}, "issuers": issuers, **more}
        self.config.write_text(json.dumps(content), encoding="utf-8")

    async def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.base + path) as response,
        ):
            return response.status, await response.text()

    async def value(self, series: str) -> float | None:
        _, text = await self.ask("/metrics")
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        sock = listen(LOOPBACK)
        self.base = f"http://{address_of(sock)}"
        daemon = Daemon(self.options, load(self.options.config_files))
        task = asyncio.create_task(daemon.run([sock]))
        try:
            await until(lambda: self.is_up(task))
            yield daemon
        finally:
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(task, PATIENCE_SECONDS)

    async def is_up(self, task: asyncio.Task[None]) -> bool:
        assert not task.done()
        return (await self.ask("/-/healthy"))[0] == 200


async def until(what: Callable[[], Awaitable[object]]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await what()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return found


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, enable_lifecycle=True)


def probes(name: str) -> str:
    return f'oidc_probes_total{{issuer="{name}"}}'


async def test_sighup_follows_the_new_configuration(site: Site) -> None:
    """What is unchanged keeps its counters, what is removed leaves no series."""
    site.write(entry(FIRST), entry(SECOND))
    async with site.running():
        await until(lambda: site.value(probes(FIRST)))
        await until(lambda: site.value(probes(SECOND)))
        site.write(entry(FIRST), entry(THIRD))

        with capture_logs() as logs:
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: site.value(f'oidc_issuer_info{{issuer="{THIRD}",{url(1)}}}'))

        assert await site.value(probes(FIRST)) == 1
        assert SECOND not in (await site.ask("/metrics"))[1]
        assert await site.value("oidc_exporter_issuers") == 2
        reloaded = next(line for line in logs if line["event"] == "config.reloaded")
        assert (reloaded["issuers"], reloaded["unchanged"]) == (2, 1)


def url(port: int) -> str:
    return f'url="https://127.0.0.1:{port}"'


async def test_a_bad_file_changes_nothing_and_is_visible_until_it_is_mended(site: Site) -> None:
    site.write(entry(FIRST))
    successful = "oidc_exporter_config_last_reload_successful"
    loaded = "oidc_exporter_config_last_reload_success_timestamp_seconds"
    async with site.running():
        before = await site.value(loaded)
        site.config.write_text("issuers: [{nmae: x}]", encoding="utf-8")
        with capture_logs() as logs:
            status, text = await site.ask("/-/reload", "POST")

        assert status == 500
        assert "did you mean name?" in text
        assert [line["log_level"] for line in logs if line["event"] == "config.rejected"]
        assert (await site.value(successful), await site.value(loaded)) == (0, before)
        assert await site.value("oidc_exporter_issuers") == 1

        site.write(entry(FIRST))
        assert await site.ask("/-/reload", "POST") == (200, "reloaded\n")
        assert await site.value(successful) == 1
        assert (await site.value(loaded) or 0) > (before or 0)


async def test_a_flood_of_problems_does_not_flood_the_log(site: Site) -> None:
    site.write(entry(FIRST))
    async with site.running() as daemon:
        site.write(*({"url": "nonsense"} for _ in range(100)))
        with capture_logs() as logs, pytest.raises(ConfigError) as caught:
            await daemon.reload()

    assert len(caught.value.problems) == 100
    assert len([line for line in logs if line["event"] == "config.rejected"]) == 20


async def test_the_content_of_the_files_decides_about_a_reload(tmp_path: Path) -> None:
    """A file that is only touched changes nothing; a refused one is refused once."""
    site = Site(tmp_path, auto_reload_seconds=0.05)
    site.write(entry(FIRST))
    with capture_logs() as logs:
        async with site.running():
            os.utime(site.config, (1, 1))
            await asyncio.sleep(0.2)
            assert not [line for line in logs if line["event"].startswith("config.")]

            site.write(entry(FIRST), entry(SECOND))
            await until(lambda: site.value("oidc_exporter_issuers"))
            await until(lambda: events(logs, "config.reloaded"))
            site.config.write_text("issuers: 5", encoding="utf-8")
            await until(lambda: events(logs, "config.rejected"))
            await asyncio.sleep(0.2)
            site.config.unlink()
            await until(lambda: events(logs, "config.rejected", 2))
            site.write(entry(FIRST), entry(SECOND))
            await until(lambda: events(logs, "config.reloaded", 2))

            assert await site.value("oidc_exporter_config_last_reload_successful") == 1

    assert len([line for line in logs if line["event"] == "config.rejected"]) == 2


async def events(logs: list[Any], name: str, count: int = 1) -> bool:
    return len([line for line in logs if line["event"] == name]) >= count


async def test_a_reload_by_hand_is_not_repeated_by_the_watch(tmp_path: Path) -> None:
    site = Site(tmp_path, auto_reload_seconds=0.2, enable_lifecycle=True)
    site.write(entry(FIRST))
    with capture_logs() as logs:
        async with site.running():
            site.write(entry(SECOND))
            await site.ask("/-/reload", "POST")
            await asyncio.sleep(0.2)
            await asyncio.sleep(0.2)

    assert len([line for line in logs if line["event"] == "config.reloaded"]) == 1


async def test_what_was_refused_is_tried_again_and_told_of_once(tmp_path: Path) -> None:
    """A secret may be mounted after the configuration that names a file of it."""
    site = Site(tmp_path, auto_reload_seconds=0.05)
    ca_file = tmp_path / "late.pem"
    site.write(entry(FIRST))
    with capture_logs() as logs:
        async with site.running():
            site.write(entry(FIRST), entry(SECOND) | {"ca_file": str(ca_file)})
            await until(lambda: events(logs, "config.rejected"))
            await asyncio.sleep(0.3)
            assert await site.value("oidc_exporter_config_last_reload_successful") == 0

            put(ca_file, root().certificate.public_bytes(Encoding.PEM))
            await until(lambda: events(logs, "config.reloaded"))
            assert await site.value("oidc_exporter_issuers") == 2
            assert await site.value("oidc_exporter_config_last_reload_successful") == 1

    assert len([line for line in logs if line["event"] == "config.rejected"]) == 1


async def test_a_file_put_back_after_a_reload_by_hand_counts_as_loaded(tmp_path: Path) -> None:
    """The watch never sees the bad one, and would leave the alert standing."""
    site = Site(tmp_path, auto_reload_seconds=0.2, enable_lifecycle=True)
    site.write(entry(FIRST))
    good = site.config.read_bytes()
    async with site.running():
        site.config.write_text("issuers: 5", encoding="utf-8")
        assert (await site.ask("/-/reload", "POST"))[0] == 500
        site.config.write_bytes(good)

        await until(lambda: is_loaded(site))


def put(path: Path, content: bytes) -> None:
    """In one step, so that nobody reads half of it."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


async def is_loaded(site: Site) -> bool:
    return await site.value("oidc_exporter_config_last_reload_successful") == 1


async def test_the_watch_waits_until_nobody_writes_any_more(tmp_path: Path) -> None:
    """Half a list is a whole one to YAML: the other half would lose its counters."""
    site = Site(tmp_path, auto_reload_seconds=0.2)
    site.write(entry(FIRST), entry(SECOND))
    with capture_logs() as logs:
        async with site.running():
            for number in range(50):
                site.write(entry(FIRST) | {"labels": {"written": str(number)}})
                await asyncio.sleep(0.02)
            site.write(entry(FIRST), entry(SECOND), entry(THIRD))
            await until(lambda: events(logs, "config.reloaded"))

    assert [line["issuers"] for line in logs if line["event"] == "config.reloaded"] == [3]


async def test_a_retry_does_not_follow_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who mends a file that was refused writes it between a look and the next."""
    site = Site(tmp_path, auto_reload_seconds=0.05)
    site.write(entry(FIRST), entry(SECOND))
    written = threading.Event()

    def racing_load(paths: Any) -> Any:
        if written.is_set():
            return load(paths)
        site.write(entry(FIRST))
        half = load(paths)
        site.write(entry(FIRST), entry(SECOND), entry(THIRD))
        written.set()
        return half

    with capture_logs() as logs:
        async with site.running():
            site.write(entry(FIRST) | {"ca_file": "none.pem"})
            await until(lambda: events(logs, "config.rejected"))
            monkeypatch.setattr(app, "load", racing_load)
            await until(lambda: events(logs, "config.reloaded"))

    assert [line["issuers"] for line in logs if line["event"] == "config.reloaded"] == [3]


async def test_reloads_come_one_after_the_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0

    def slow_load(paths: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return load(paths)

    site.write(entry(FIRST))
    async with site.running() as daemon:
        monkeypatch.setattr(app, "load", slow_load)
        await asyncio.gather(*(daemon.reload() for _ in range(4)))

    assert most == 1


async def test_a_reload_that_takes_long_is_told_once_and_does_not_count_as_one_that_worked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system that has gone may hold it, and all that come after it, for good."""
    is_over = threading.Event()

    def slow_load(paths: Any) -> Any:
        is_over.wait(PATIENCE_SECONDS)
        return load(paths)

    monkeypatch.setattr(app, "_SLOW_SECONDS", 0.05)
    monkeypatch.setattr(app, "load", slow_load)
    site.write(entry(FIRST))
    with capture_logs() as logs:
        async with site.running() as daemon:
            reload = asyncio.create_task(daemon.reload())
            await until(lambda: events(logs, "config.slow"))
            assert await site.value("oidc_exporter_config_last_reload_successful") == 0

            is_over.set()
            await reload
            assert await site.value("oidc_exporter_config_last_reload_successful") == 1

    slow = [line for line in logs if line["event"] == "config.slow"]
    assert [line["log_level"] for line in slow] == ["warning"]


async def test_a_look_at_the_files_that_takes_long_is_told_and_followed_by_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else would say that the files are watched no longer."""
    site = Site(tmp_path, auto_reload_seconds=0.05)
    is_over = threading.Event()

    def slow_digest(paths: Any) -> str:
        is_over.wait(PATIENCE_SECONDS)
        return digest(paths)

    monkeypatch.setattr(app, "_SLOW_SECONDS", 0.05)
    monkeypatch.setattr(app, "digest", slow_digest)
    site.write(entry(FIRST))
    with capture_logs() as logs:
        async with site.running():
            await until(lambda: events(logs, "config.slow"))
            assert await site.value("oidc_exporter_config_last_reload_successful") == 0

            monkeypatch.undo()
            is_over.set()
            await until(lambda: events(logs, "config.reloaded"))
            assert await site.value("oidc_exporter_config_last_reload_successful") == 1


async def test_a_bug_in_loading_ends_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(entry(FIRST))
    async with site.running():
        monkeypatch.setattr(app, "load", lambda _: 1 / 0)
        with capture_logs() as logs:
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: events(logs, "config.panicked"))
        assert await site.value("oidc_exporter_config_last_reload_successful") == 0
        monkeypatch.undo()

        assert (await site.ask("/-/reload", "POST"))[0] == 200


async def test_a_probe_in_flight_does_not_hold_the_end_up(site: Site, bench: Bench) -> None:
    is_asked = threading.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_asked.set()
        await answering("stall")(reader, writer)

    port = bench.serve(stall)
    hanging = {
        "url": ISSUER_URL,
        "name": FIRST,
        "connect_to": f"127.0.0.1:{port}",
        "ca_file": str(bench.pki / "root.pem"),
        "timeout": "60s",
    }
    site.write(hanging)
    with capture_logs() as logs:
        async with site.running():
            assert await asyncio.to_thread(is_asked.wait, PATIENCE_SECONDS)
            assert await site.value("oidc_exporter_probes_in_flight") == 1
            began = time.monotonic()

    assert not [t for t in asyncio.all_tasks() if t.get_name() == f"probe {FIRST}"]
    # Against a timeout of 60 s; what shutdown promises is a second.
    assert time.monotonic() - began < 5
    assert [
        line["probes_in_flight"] for line in logs if line["event"] == "exporter.stopping"
    ] == [1]
    assert logs[-1]["event"] == "exporter.stopped"


async def test_a_request_under_way_does_not_hold_the_end_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()
    site.write(entry(FIRST))
    try:
        async with site.running() as daemon:
            monkeypatch.setattr(app, "load", lambda _: is_over.wait(PATIENCE_SECONDS))
            request = asyncio.create_task(site.ask("/-/reload", "POST"))
            await until(lambda: is_locked(daemon))
            began = time.monotonic()

        assert time.monotonic() - began < 5
    finally:
        is_over.set()
    with pytest.raises(aiohttp.ClientError):
        await request


async def is_locked(daemon: Daemon) -> bool:
    return daemon._reloading.locked()


async def test_reloading_over_http_is_off_unless_it_was_asked_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write(entry(FIRST))
    async with site.running():
        assert (await site.ask("/-/reload", "POST"))[0] == 403


async def test_it_becomes_ready_and_watches_its_own_loop(site: Site) -> None:
    late = next(
        name
        for number in range(10_000)
        if offset_seconds(builders.issuer(name=(name := f"late{number}"))) > 50
    )
    site.write(entry(FIRST), entry(late), interval="1s")
    async with site.running():
        status, text = await site.ask("/-/ready")
        assert (status, late in text) == (503, True)
        await until(lambda: has_frozen_more(0))
        frozen = gc.get_freeze_count()
        assert await until(lambda: is_ready(site))

        # What the first round has left for good is spared by the garbage collector.
        await until(lambda: has_frozen_more(frozen))
        await until(lambda: site.value("oidc_exporter_event_loop_lag_seconds_count"))
        await until(lambda: site.value("oidc_exporter_schedule_delay_seconds_count"))


async def has_frozen_more(before: int) -> bool:
    return gc.get_freeze_count() > before


async def is_ready(site: Site) -> bool:
    return (await site.ask("/-/ready"))[0] == 200


async def test_issuers_named_by_two_files_are_one_configuration(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps({"issuers": [entry(SECOND)]}), encoding="utf-8")
    site = Site(tmp_path, config_files=(tmp_path / "config.yaml", other))
    site.write(entry(FIRST), vantage="here")
    async with site.running():
        text = (await site.ask("/metrics"))[1]

    assert count_of(text, "oidc_issuer_info{") == 2
    assert 'vantage="here"' in text


def count_of(text: str, start: str) -> int:
    return len([line for line in text.splitlines() if line.startswith(start)])


def test_serving_ends_on_sigterm_and_frees_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the loop that is used in earnest; a SIGHUP that comes too early ends nothing."""
    dispositions = []

    def load_and_look(paths: Any) -> Any:
        dispositions.append(signal.getsignal(signal.SIGHUP))
        return load(paths)

    monkeypatch.setattr(app, "load", load_and_look)
    site = Site(tmp_path)
    site.write(entry(FIRST))
    with listen(LOOPBACK) as sock:
        address = address_of(sock)
    options = Options(config_files=(site.config,), listen_addresses=(address,), prefix="/oidc")
    outcome: list[Any] = []

    def visitor() -> None:
        site.base = f"http://{address}/oidc"
        try:
            asyncio.run(until(lambda: answers(site)))
            outcome.append("answered")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGHUP)
    thread = threading.Thread(target=visitor)
    thread.start()
    with capture_logs() as logs:
        app.serve(options)
    thread.join()
    signal.signal(signal.SIGHUP, before)

    assert (outcome, dispositions) == (["answered"], [signal.SIG_IGN])
    started = next(line for line in logs if line["event"] == "exporter.started")
    assert (started["listen_addresses"], started["issuers"]) == (str(address), 1)
    listen(address).close()


async def answers(site: Site) -> bool:
    try:
        return (await site.ask("/metrics"))[0] == 200
    except aiohttp.ClientError:
        return False


def test_a_bad_configuration_or_address_is_told_before_anything_starts(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        app.serve(site.options)
    site.write(entry(FIRST))
    with listen(LOOPBACK) as sock, pytest.raises(ListenError, match="the port is taken"):
        app.serve(Options(config_files=(site.config,), listen_addresses=(address_of(sock),)))


def test_the_book_keeps_and_tells_what_changes() -> None:
    store = Store()
    store.keep([builders.issuer()])
    book = Book(store)
    failing = builders.report(failure=builders.failure())
    with capture_logs() as logs:
        book.record(failing, is_final=False)
        book.record(failing, is_final=True)
        book.record(failing, is_final=True)
        book.record(builders.report(), is_final=True)
        book.skipped(builders.issuer(), SkipCause.OVERRUN, 3)

    assert [line["event"] for line in logs] == [
        *("probe.finished", "probe.finished", "issuer.failing"),
        "probe.finished",
        *("probe.finished", "issuer.recovered"),
        "probe.skipped",
    ]
    assert logs[5]["failing_seconds"] == 0
    state = store.state("acme")
    assert state is not None
    assert state.probes == 4


def test_a_report_of_a_removed_issuer_is_written_nowhere() -> None:
    book = Book(store := Store())
    with capture_logs() as logs:
        book.record(builders.report(), is_final=True)

    assert store.states() == ()
    assert [line["event"] for line in logs] == ["probe.finished"]


async def test_shards_divide_one_list_and_keep_to_it_on_a_reload(tmp_path: Path) -> None:
    """Each probes its own part, and all say that they run on the same files."""
    folders = [tmp_path / str(n) for n in range(3)]
    entries = [entry(f"n{n}", interval="1h") for n in range(12)]
    seen: list[set[str]] = []
    for ordinal, folder in enumerate(folders):
        folder.mkdir()
        site = Site(folder, enable_lifecycle=True, shard=Shard(ordinal, 3))
        site.write(*entries[:6])
        async with site.running():
            site.write(*entries)
            assert await site.ask("/-/reload", "POST") == (200, "reloaded\n")
            _, text = await site.ask("/metrics")
        seen.append(set(re.findall(r'^oidc_issuer_info{issuer="(\w+)"', text, re.MULTILINE)))
        assert f"oidc_exporter_issuers {len(seen[-1])}.0\n" in text
        assert f"oidc_exporter_shard_ordinal {ordinal}.0\n" in text
        assert "oidc_exporter_total_shards 3.0\n" in text
        assert load([site.config]).sha256 in text

    assert sorted(name for part in seen for name in part) == sorted(e["name"] for e in entries)
    assert all(seen)


async def test_a_shard_without_issuers_is_healthy_and_ready(tmp_path: Path) -> None:
    """Or a roll-out of more shards than issuers would never end."""
    only = builders.issuer(name=FIRST)
    site = Site(tmp_path, shard=Shard(1 - home(only, 2), 2))
    site.write(entry(FIRST))

    async with site.running():
        assert await site.ask("/-/ready") == (200, "ready\n")
        assert await site.ask("/-/healthy") == (200, "healthy\n")
        assert await site.value("oidc_exporter_issuers") == 0
