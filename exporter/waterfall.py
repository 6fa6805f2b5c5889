"""Where the time of a probe went, drawn with characters: phases placed against the budget."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from exporter.reasons import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import Fetch, Report
    from exporter.reasons import Document

_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One phase of one fetch, in seconds from the start of the probe."""

    document: Document
    phase: Phase
    start_seconds: float
    seconds: float
    has_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How seconds become cells.

    Attributes:
        span_seconds: What the whole width stands for; never less than the budget.
        is_ascii: The terminal has no block characters.
    """

    cells: int
    span_seconds: float
    budget_seconds: float
    is_ascii: bool = False

    @property
    def budget_cell(self) -> int:
        """The cell in which the line of the budget stands."""
        return min(self.cells - 1, int(self._cells(self.budget_seconds)))

    def ruler(self) -> str:
        """The line above the bars: where zero is, and where the budget ends."""
        label = f"{self.budget_seconds:g} s"
        return "0 s" + label.rjust(max(self.budget_cell - 2, len(label) + 1))

    def draw(self, bar: Bar) -> str:
        """*bar* in its place, as `cells` characters, the budget's line among them."""
        first = min(int(self._cells(bar.start_seconds)), self.cells - 1)
        end = self._cells(bar.start_seconds + bar.seconds)
        eighths = min(max(1, round((end - first) * 8)), (self.cells - first) * 8)
        line = [*(" " * first + self._blocks(eighths)).ljust(self.cells)]
        if line[self.budget_cell] == " ":
            line[self.budget_cell] = "|" if self.is_ascii else "│"
        return "".join(line)

    def _cells(self, seconds: float) -> float:
        return seconds / self.span_seconds * self.cells

    def _blocks(self, eighths: int) -> str:
        if self.is_ascii:
            return "#" * max(1, round(eighths / 8))
        whole, part = divmod(eighths, 8)
        return "█" * whole + _EIGHTHS[part].strip()


def scale(report: Report, cells: int, *, is_ascii: bool = False) -> Scale:
    """A scale on which the whole of *report* fits."""
    budget = report.issuer.budget_seconds
    end = max((bar.start_seconds + bar.seconds for bar in bars(report)), default=0.0)
    return Scale(
        cells=cells,
        span_seconds=max(budget, end),
        budget_seconds=budget,
        is_ascii=is_ascii,
    )


def bars(report: Report) -> Iterator[Bar]:
    """Every phase that *report* came to, in the order the time was spent."""
    start = 0.0
    for fetch in report.fetches:
        yield from _bars(fetch, start)
        start += fetch.duration_seconds


def _bars(fetch: Fetch, start: float) -> Iterator[Bar]:
    spent = [
        (Phase(field.name), seconds)
        for field in fields(fetch.phases)
        if (seconds := getattr(fetch.phases, field.name)) is not None
    ]
    for place, (phase, seconds) in enumerate(spent, 1):
        yield Bar(
            document=fetch.document,
            phase=phase,
            start_seconds=start,
            seconds=seconds,
            has_failed=fetch.failure is not None and place == len(spent),
        )
        start += seconds
