"""The latest report and the rendered text of every issuer: all that a scrape reads.

A report is rendered once, when it comes, and only as far as it differs from the one before.
The text lies in columns, one list a family with one entry an issuer, so that a scrape joins
slices of lists and an issuer that leaves takes all its series along.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from exporter.families import CONSTANT, COUNTED, FAMILIES, changed
from exporter.own_metrics import Own
from exporter.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.family import Family
    from exporter.model import Issuer, Report
    from exporter.reasons import SkipCause


class Store:
    """What is known of every issuer; a schedule writes into it, everybody reads.

    Args:
        own: Where the exporter's own events are counted.
    """

    def __init__(self, own: Own | None = None) -> None:
        self.own = own or Own()
        self._states: list[State] = []
        self._places: dict[str, int] = {}
        self._columns: dict[str, list[bytes]] = {family.name: [] for family in FAMILIES}

    def keep(self, issuers: Sequence[Issuer]) -> None:
        """Follow a configuration: unchanged issuers keep all, removed ones leave nothing."""
        wanted = {issuer.name: issuer for issuer in issuers}
        self._drop([state.issuer.name in wanted for state in self._states])
        for issuer in wanted.values():
            self._take(issuer)
        self.own.issuers.set(len(self._states))

    def started(self, issuer: Issuer, delay_seconds: float) -> None:  # noqa: ARG002
        """The first probe of a tick begins, so long after its deadline."""
        self.own.schedule_delay.observe(delay_seconds)

    def record(self, report: Report, *, is_final: bool = True) -> None:
        """Count *report*, and show it unless another attempt is to confirm it.

        A report of an issuer that has been removed, or has moved to another URL, while the
        probe was under way is dropped.
        """
        place = self._places.get(report.issuer.name)
        if place is None or self._states[place].issuer.url != report.issuer.url:
            return
        self.own.clock_correction.observe(sum(f.correction_seconds for f in report.fetches))
        state, before = self._states[place], self._states[place].report
        state.count(report)
        if is_final:
            state.follow(report)
        self._render(place, changed(before, report) if is_final else COUNTED)

    def skipped(self, issuer: Issuer, cause: SkipCause, ticks: int = 1) -> None:  # noqa: ARG002
        """So many ticks of the schedule went by without a probe."""
        self.own.skipped(cause, ticks)

    def held(self, issuer: Issuer, until_timestamp_seconds: float) -> None:
        """It is left alone so long, as it asked while it had another name."""
        place = self._places.get(issuer.name)
        if place is not None and self._states[place].issuer.url == issuer.url:
            self._states[place].asked_until_timestamp_seconds = until_timestamp_seconds
            self._render(place, COUNTED)

    def panicked(self, issuer: Issuer) -> None:  # noqa: ARG002
        """Our own code failed in a probe."""
        self.own.probe_panics.inc()

    def state(self, name: str) -> State | None:
        """What is known of the issuer called *name*; None when there is none."""
        place = self._places.get(name)
        return None if place is None else self._states[place]

    def states(self) -> Sequence[State]:
        """What is known of all issuers, the longest known first."""
        return tuple(self._states)

    def latest(self, name: str) -> Report | None:
        """The latest report of the issuer called *name*."""
        state = self.state(name)
        return state.report if state else None

    def column(self, family: Family) -> Sequence[bytes]:
        """The lines of *family*, an entry an issuer.

        Reports write into it while it is read. Issuers may be added at its end; when some
        are removed, the store goes on with another column, so no reader meets an issuer twice.
        """
        return self._columns[family.name]

    def _drop(self, stays: Sequence[bool]) -> None:
        if all(stays):
            return
        self._states = list(compress(self._states, stays))
        self._places = {state.issuer.name: n for n, state in enumerate(self._states)}
        self._columns = {
            name: list(compress(column, stays)) for name, column in self._columns.items()
        }

    def _take(self, issuer: Issuer) -> None:
        place = self._places.get(issuer.name)
        if place is None:
            self._add(issuer)
        elif self._states[place].issuer != issuer:
            self._states[place].reconfigure(issuer)
            self._render(place, FAMILIES)

    def _add(self, issuer: Issuer) -> None:
        place = self._places[issuer.name] = len(self._states)
        self._states.append(State(issuer))
        for column in self._columns.values():
            column.append(b"")
        self._render(place, CONSTANT)

    def _render(self, place: int, families: Iterable[Family]) -> None:
        state = self._states[place]
        for family in families:
            self._columns[family.name][place] = family.render(state)
