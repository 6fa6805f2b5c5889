"""The daemon under everything at once, for minutes: `python -m bench.soak`.

200 issuers in every state of the demo, and meanwhile scrapes, pages, probes on demand and
reloads that take issuers away and bring them back. What must not grow is looked at every few
seconds: memory, file descriptors, threads, tasks. The first quarter is for warming up; then
the second quarter is held against the last one.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench import figures
from bench.daemon import samples, scrape, wait_for_metrics
from bench.figures import Row
from bench.process import HOST, BenchError, running
from exporter.demo.process import issuers
from exporter.demo.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.process import Process
    from exporter.demo.process import Running

ISSUERS = 200
#: The slowest of the demo takes six seconds, and has seven like it on its host.
INTERVAL = "20s"
#: How many issuers a reload takes away, and the next one brings back.
LEAVING = 20
SAMPLE_SECONDS = 5.0
MEMORY_GROWTH = 1.03
#: Sockets and tasks come and go; what stays is the fewest that are ever seen.
MORE = 2
_REPORT = Path(__file__).parent.parent / ".bench" / "soak.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the process holds at one moment."""

    at: float
    resident_bytes: int
    descriptors: int
    threads: int
    tasks: int


@dataclass(slots=True, kw_only=True)
class Soak:
    """A daemon, what was asked of it, and what was seen."""

    process: Process
    port: int
    config: Path
    tasks_file: Path
    entries: list[dict[str, Any]]
    head: Mapping[str, Any]
    samples: list[Sample] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def ask(self, what: str, path: str, *, method: str = "GET", want: int = 200) -> bytes:
        """One request; an answer other than *want* is kept as wrong."""
        self.asked[what] = self.asked.get(what, 0) + 1
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request(method, path, headers={"Accept-Encoding": "identity"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(f"{method} {path}: {error!r}")
            return b""
        finally:
            connection.close()
        if response.status != want:
            self.wrong.append(f"{method} {path}: {response.status} {body[:200]!r}")
        return body

    def look(self) -> None:
        """Take a sample."""
        self.process.check_alive()
        home = Path(f"/proc/{self.process.pid}")
        self.tasks_file.unlink(missing_ok=True)
        os.kill(self.process.pid, signal.SIGUSR1)
        _until(self.tasks_file.exists, f"{self.process.popen.args!r} does not tell its tasks")
        status = dict(line.split(":", 1) for line in (home / "status").read_text().splitlines())
        self.samples.append(
            Sample(
                at=time.monotonic(),
                resident_bytes=self.process.resident_bytes(),
                descriptors=len(list((home / "fd").iterdir())),
                threads=int(status["Threads"]),
                tasks=int(self.tasks_file.read_text()),
            )
        )

    def reload(self, leaving: int) -> None:
        """Take the first *leaving* issuers away, or bring all back; by HTTP or by signal."""
        version = self.asked.get("reloads", 0) + 1
        kept = [dict(entry) for entry in self.entries[leaving:]]
        # A label that changes makes an issuer another one, without losing what it counted.
        kept[-1]["labels"] = {"version": str(version)}
        content = yaml.safe_dump({**self.head, "issuers": kept}, sort_keys=False)
        fresh = self.config.with_suffix(".new")
        fresh.write_text(content)
        fresh.replace(self.config)
        if version % 2:
            self.ask("reloads", "/-/reload", method="POST")
        else:
            self.asked["reloads"] = version
            os.kill(self.process.pid, signal.SIGHUP)


def soak(seconds: float) -> list[Row]:
    """Run it for so long, and judge."""
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        issuers() as far,
        _started(Path(name), far) as one,
    ):
        _work(one, seconds)
        text = scrape(one.port)
        stopped = _stop_seconds(one.process)
        log = one.process.log.read_text(errors="replace")
    for line in one.wrong[:20]:
        print(line, file=sys.stderr)
    return [
        *_steady_rows(one.samples),
        *_count_rows(one, text),
        Row(
            what="complaints in the log beyond those about issuers",
            measured=str(len(_complaints(log))),
            target="none",
            is_met=not _complaints(log),
        ),
        Row(
            what="SIGTERM to the end",
            measured=f"{stopped:.2f} s, exit code {one.process.popen.returncode}",
            target="code 0",
            is_met=one.process.popen.returncode == 0,
        ),
    ]


@contextmanager
def _started(directory: Path, far: Running) -> Iterator[Soak]:
    head = yaml.safe_load(far.config(INTERVAL))
    entries = list(_entries(head.pop("issuers")))
    config = directory / "config.yaml"
    config.write_text(yaml.safe_dump({**head, "issuers": entries}, sort_keys=False))
    port, tasks_file = free_port(), directory / "tasks"
    os.environ["SOAK_TASKS"] = str(tasks_file)
    command = [
        *(sys.executable, "-m", "bench.soaked", f"--config.file={config}"),
        *(f"--web.listen-address={HOST}:{port}", "--web.enable-lifecycle"),
        *("--log.level=warning", "--log.format=json"),
    ]
    with running(command, directory / "log") as process:
        wait_for_metrics(process, port)
        yield Soak(
            process=process,
            port=port,
            config=config,
            tasks_file=tasks_file,
            entries=entries,
            head=head,
        )


def _entries(catalogue: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every issuer of the demo several times over, under as many names."""
    for number, entry in zip(range(ISSUERS), itertools.cycle(catalogue), strict=False):
        yield {**entry, "name": f"{entry['name']}-{number // len(catalogue)}"}


def _work(one: Soak, seconds: float) -> None:
    """Ask for everything, again and again, each at its own pace."""
    names = [entry["name"] for entry in one.entries[LEAVING:]]
    pick = random.Random(1)  # noqa: S311 - the same soak every time
    leaving = itertools.cycle((LEAVING, 0))

    def name() -> str:
        return urllib.parse.quote(pick.choice(names), safe="")

    paces: list[tuple[float, Callable[[], object]]] = [
        (SAMPLE_SECONDS, one.look),
        (5, lambda: one.ask("scrapes", "/metrics")),
        (1, lambda: one.ask("pages of an issuer", f"/issuers/{name()}")),
        (2, lambda: one.ask("pages of all issuers", "/?sort=duration&state=unusable")),
        (3, lambda: one.ask("answers of the API", f"/api/v1/issuers/{name()}")),
        (7, lambda: one.ask("answers of the API", "/api/v1/issuers")),
        (4, lambda: one.ask("probes on demand", f"/probe?target={name()}")),
        (30, lambda: one.reload(next(leaving))),
    ]
    begun = time.monotonic()
    due = [begun + pace for pace, _ in paces]
    while (now := min(due)) < begun + seconds:
        time.sleep(max(0.0, now - time.monotonic()))
        which = due.index(now)
        pace, work = paces[which]
        work()
        due[which] = max(now + pace, time.monotonic())


def _steady_rows(seen: Sequence[Sample]) -> Iterator[Row]:
    quarter = len(seen) // 4
    if not quarter:
        raise BenchError("too short to compare its quarters")
    early, late = seen[quarter : 2 * quarter], seen[-quarter:]
    before, after = (
        statistics.median(s.resident_bytes for s in part) for part in (early, late)
    )
    yield Row(
        what="resident memory, median of the second quarter and of the last",
        measured=f"{before / 2**20:.1f} MiB, {after / 2**20:.1f} MiB",
        target=f"at most {MEMORY_GROWTH:.2f} of it",
        is_met=after <= before * MEMORY_GROWTH,
    )
    for what in ("descriptors", "threads", "tasks"):
        fewest = [min(getattr(s, what) for s in part) for part in (early, late)]
        most = max(getattr(s, what) for s in seen)
        yield Row(
            what=f"{what}, fewest of the second quarter and of the last; most ever",
            measured=f"{fewest[0]}, {fewest[1]}; {most}",
            target=f"at most {MORE} more",
            is_met=fewest[1] <= fewest[0] + MORE,
        )


def _count_rows(one: Soak, text: bytes) -> Iterator[Row]:
    asked = ", ".join(f"{count} {what}" for what, count in sorted(one.asked.items()))
    yield Row(
        what="asked for meanwhile",
        measured=f"{asked}; {len(one.wrong)} wrong answers",
        target="none wrong",
        is_met=not one.wrong,
    )
    yield Row(
        what="probes of the issuers that are still there",
        measured=f"{_sum(text, 'oidc_probes_total'):.0f}, of which "
        f"{_sum(text, 'oidc_probe_failures_total'):.0f} failed",
    )
    issuers_there = len({labels["issuer"] for labels, _ in samples(text, "oidc_probes_total")})
    wanted = {len(one.entries), len(one.entries) - LEAVING}
    yield Row(
        what="issuers at the end",
        measured=str(issuers_there),
        target="those configured",
        is_met=issuers_there in wanted,
    )
    for what, family, labels in (
        ("deadlines missed", "oidc_exporter_probes_skipped_total", {"cause": "overrun"}),
        ("panics", "oidc_exporter_probe_panics_total", {}),
    ):
        count = _sum(text, family, **labels)
        yield Row(what=what, measured=f"{count:.0f}", target="none", is_met=count == 0)


def _sum(text: bytes, family: str, **wanted: str) -> float:
    return sum(
        value for labels, value in samples(text, family) if wanted.items() <= labels.items()
    )


def _complaints(log: str) -> list[str]:
    """Lines of the log that are about the exporter, not about an issuer."""
    return [line for line in log.splitlines() if '"event": "issuer.' not in line]


def _stop_seconds(process: Process) -> float:
    begun = time.monotonic()
    process.popen.terminate()
    process.popen.wait(10)
    return time.monotonic() - begun


def _until(is_true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 10
    while not is_true():
        if time.monotonic() > deadline:
            raise BenchError(otherwise)
        time.sleep(0.01)


def main() -> None:
    """Soak for the minutes that are asked for; exit code 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="(default: %(default)s)")
    minutes = parser.parse_args().minutes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("soak: terminated"))
    machine = figures.machine()
    try:
        rows = soak(60 * minutes)
    except BenchError as error:
        sys.exit(f"soak: {error}")
    text = f"{minutes:g} minutes, {ISSUERS} issuers. {machine}\n\n{figures.table(rows)}"
    _REPORT.parent.mkdir(exist_ok=True)
    _REPORT.write_text(text)
    print(text)
    sys.exit(any(row.is_met is False for row in rows))


if __name__ == "__main__":
    main()
