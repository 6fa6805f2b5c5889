"""One report as a person reads it: the only place that prints one.

Most of what is shown comes from remote parties. It is never read as markup, and control
characters, escape sequences and bidi marks are made visible before they are printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from exporter.facts import certificate_facts, fetch_facts, moment
from exporter.reasons import Document, Level
from exporter.text import clean
from exporter.waterfall import bars, scale
from exporter.wording import (
    NAMES,
    cause,
    failure_advice,
    finding_advice,
    usable_keys,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from exporter.advice import Advice
    from exporter.facts import Fact
    from exporter.model import Key, KeySet, Report
    from exporter.waterfall import Bar, Scale

#: Wider lines are hard to read.
MOST_COLUMNS = 100
#: A key set may have hundreds of keys; the rest is counted.
MOST_KEYS = 12
#: Before the bars: document, phase and seconds.
_BAR_INDENT = 35

_VERDICTS = {"USABLE": "bold green", "NOT USABLE": "bold red", "UNKNOWN": "bold yellow"}
_LEVELS = {Level.FAILURE: "bold red", Level.WARNING: "yellow", Level.NOTICE: "cyan"}
_PHASES = {
    "resolve": "cyan",
    "connect": "blue",
    "tls": "magenta",
    "processing": "yellow",
    "transfer": "green",
}
_SHORT = {Document.DISCOVERY: "discovery", Document.JWKS: "key set"}


def render(report: Report, *, console: Console) -> None:
    """Print *report* to *console*, in plain ASCII where its encoding knows no more.

    Commands are printed on one line each, however long, so that they can be copied.
    """
    width = min(console.width, MOST_COLUMNS)
    for part in _parts(report, width - _BAR_INDENT - 1, is_ascii=console.options.ascii_only):
        is_command = isinstance(part, _Command)
        console.print(_Safe(part), width=None if is_command else width, soft_wrap=is_command)


class _Command(Text):
    """Something to copy: never broken into lines."""


class _Safe:
    """A renderable without trailing blanks, and in ASCII on a console that wants it."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in Segment.split_lines(console.render(self._inner, options)):
            for text, style, _ in _stripped(line):
                shown = _in_ascii(text) if options.ascii_only else text
                yield Segment(shown, style)
            yield Segment.line()


def _stripped(line: list[Segment]) -> list[Segment]:
    while line and not line[-1].text.strip():
        line = line[:-1]
    return [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)] if line else []


def _in_ascii(text: str) -> str:
    return text.replace("…", "~").encode("ascii", "backslashreplace").decode()


def _parts(report: Report, cells: int, *, is_ascii: bool) -> Iterator[RenderableType]:
    yield from _head(report)
    yield from _time(report, scale(report, cells, is_ascii=is_ascii))
    for fetch in report.fetches:
        yield _heading(NAMES[fetch.document].upper())
        yield _facts(fetch_facts(fetch, dict(report.caching).get(fetch.document)))
    for title, facts in certificate_facts(report):
        yield _heading(title)
        yield _facts(facts)
    if report.key_set is not None:
        yield from _keys(report.key_set)
    yield from _findings(report)
    yield from _what_to_do(report)
    yield Text(
        "\nOne probe, from this machine. STS asks from AWS's side, and may still hold a key "
        "set that it fetched before.",
        style="dim",
    )


def _heading(words: str) -> Text:
    return Text(f"\n{words}", style="bold")


def _indented(inner: RenderableType, by: int = 2) -> Padding:
    return Padding(inner, (0, 0, 0, by))


def _facts(facts: Iterable[Fact]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=10, style="dim")
    grid.add_column(overflow="fold")
    for fact in facts:
        grid.add_row(fact.name, Text(fact.words, style=fact.style))
    return _indented(grid)


def _head(report: Report) -> Iterator[RenderableType]:
    word, sentence = verdict(report)
    yield Text.assemble((word, _VERDICTS[word]), f": {sentence}")
    if report.failure is not None:
        stage = f"{report.failure.stage}/{report.failure.reason}"
        yield Text(f"{stage}: {clean(report.failure.detail, 400) or '-'}")
    yield Text(clean(report.issuer.url, 300), style="cyan")
    yield Text(f"probed {moment(report.started_timestamp_seconds)}", style="dim")
    if report.retry_after_timestamp_seconds is not None:
        until = moment(report.retry_after_timestamp_seconds)
        yield Text(f"It asks to be left alone until {until}.", style="yellow")


def _time(report: Report, ruler: Scale) -> Iterator[RenderableType]:
    yield _heading("WHERE THE TIME WENT")
    drawn = list(bars(report))
    if not drawn:
        yield Text("  Nothing was fetched.")
        return
    yield Text(" " * _BAR_INDENT + ruler.ruler(), style="dim")
    last = None
    for bar in drawn:
        name = _SHORT[bar.document] if bar.document is not last else ""
        last = bar.document
        yield _bar(bar, name, ruler)
    took = f"{report.duration_seconds:.3f} s"
    style = "red" if report.duration_seconds > ruler.budget_seconds else ""
    yield Text(f"  {'together':<22}{took:>10} of {ruler.budget_seconds:g} s", style=style)


def _bar(bar: Bar, name: str, ruler: Scale) -> Text:
    style = "red" if bar.has_failed else _PHASES[bar.phase]
    line = Text(f"  {name:<11}{bar.phase:<11}")
    line.append(f"{bar.seconds:.3f} s ".rjust(11), style if bar.has_failed else "")
    line.append(ruler.draw(bar), style)
    line.stylize("red", _BAR_INDENT + ruler.budget_cell + 1)
    return line


def _keys(key_set: KeySet) -> Iterator[RenderableType]:
    total, usable = key_set.published.total(), usable_keys(key_set)
    yield _heading(f"KEYS: {total} published, {usable} usable for STS")
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("kid", "type", "alg", "use", "for STS"):
        table.add_column(name, overflow="fold")
    for key in key_set.keys[:MOST_KEYS]:
        table.add_row(*_key(key))
    yield _indented(table)
    rest = key_set.keys[MOST_KEYS:]
    if rest:
        good = sum(key.is_usable for key in rest)
        yield Text(f"  and {total - MOST_KEYS} more, {good} of them usable")


def _key(key: Key) -> Iterator[Text]:
    yield Text(clean(key.kid or "-", 128))
    yield Text(clean(f"{key.kty} {key.crv or key.bits or ''}".strip(), 24))
    yield Text(clean(key.alg or "-", 24))
    yield Text(clean(key.use or "-", 24))
    words = clean("; ".join(key.faults), 120) or "usable"
    if key.is_private:
        words += "; PRIVATE PART EXPOSED"
    yield Text(words, style="green" if key.is_usable and not key.is_private else "red")


def _findings(report: Report) -> Iterator[RenderableType]:
    if not report.findings:
        return
    yield _heading("FINDINGS")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for found in report.findings:
        level = Text(found.level, style=_LEVELS[found.level])
        words = Text(finding_advice(report, found).title)
        if found.detail:
            words.append(f"\n{clean(found.detail, 300)}", style="dim")
        grid.add_row(level, _SHORT[found.document], words)
    yield _indented(grid)


def _what_to_do(report: Report) -> Iterator[RenderableType]:
    yield _heading("WHAT TO DO")
    told = list(_advice(report))
    if not told:
        yield Text("  Nothing now. Keep watching: keys rotate and certificates expire.")
    for number, (error, advice) in enumerate(told, 1):
        yield Text(f"  {number}. {advice.title}", style="bold")
        yield from _item(error, advice)


def _advice(report: Report) -> Iterator[tuple[str, Advice]]:
    """For the failure and for every finding that matters, each once; what AWS's error is."""
    if report.failure is not None:
        yield "error", failure_advice(report, report.failure)
    seen = set()
    for found in report.findings:
        if found.level is not Level.NOTICE and found.code not in seen:
            seen.add(found.code)
            yield "risk", finding_advice(report, found)


def _item(error: str, advice: Advice) -> Iterator[RenderableType]:
    yield _told("means", advice.meaning)
    yield _told("do", advice.todo)
    if advice.command:
        yield _Command(f"     look   {advice.command}", style="cyan")
    yield _told("cause", cause(advice.cause), "dim")
    if advice.error:
        yield _told(error, advice.error, "dim")


def _told(name: str, words: str, style: str = "") -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=5, style="dim")
    grid.add_row(name, Text(words, style=style))
    return _indented(grid, 5)
