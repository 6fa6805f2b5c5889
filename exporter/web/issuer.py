"""The page of one issuer: how it stands, and the way to each of its last reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.summary import Standing, summary
from exporter.web import REFRESH_SECONDS
from exporter.web.report import Full, kind
from exporter.web.rows import WORDS, bar, cacheable, certificate, keys
from exporter.web.words import issuer_path, link, span, when
from exporter.wording import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.history import Kept
    from exporter.state import State
    from exporter.web.rows import Bar, Value
    from exporter.web.words import When


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One of the last reports, to be chosen."""

    path: str
    when: When | None
    standing: Standing
    word: str
    words: str
    left_out: int
    is_chosen: bool


class Details:
    """What the template `issuer.html` shows.

    Args:
        root: The path of the page of all issuers.
    """

    def __init__(
        self, state: State, parameters: Mapping[str, str], *, root: str, now: float
    ) -> None:
        self.issuer = state.issuer
        self.state = state
        self.summary = summary(state)
        self.now = when(now, now)
        self.root = root
        self.is_refreshing = parameters.get("refresh") == "on"
        self._moment = now
        self._kept = state.history.kept
        wanted = parameters.get("report", "")
        self._chosen = next((one for one in self._kept if _id(one) == wanted), None)
        #: Asked for a report that has been forgotten since.
        self.is_gone = bool(wanted) and self._chosen is None
        self._shown = self._chosen or (self._kept[0] if self._kept else None)
        #: The report that is shown: the latest unless another was asked for.
        self.full = Full(self._shown.report) if self._shown else None

    @property
    def is_latest(self) -> bool:
        """The report that is shown is the latest."""
        return not self._kept or self._shown is self._kept[0]

    @property
    def standing(self) -> Standing:
        """How the issuer stands now."""
        return self.summary.standing

    @property
    def word(self) -> str:
        """The same in words."""
        return WORDS[self.standing]

    @property
    def refresh(self) -> int:
        """Seconds until the next look; 0 for never, because it closes what was opened."""
        return REFRESH_SECONDS if self.is_refreshing else 0

    @property
    def refresh_path(self) -> str:
        """The same page, refreshing or not."""
        return self._link("" if self.is_refreshing else "on", self._shown)

    @property
    def latest_path(self) -> str:
        """The page of the latest report."""
        return self._link("on" if self.is_refreshing else "", None)

    @property
    def json_path(self) -> str:
        """The same facts for programs."""
        return issuer_path(self.issuer.name, f"{self.root}api/v1/issuers/")

    @property
    def tiles(self) -> Iterator[tuple[str, Value]]:
        """The latest in short: a name and a value each."""
        one = self.summary
        yield "Key set cacheable", cacheable(one)
        yield "Usable keys", keys(one)
        yield "Certificate", certificate(one, self._moment)

    @property
    def time(self) -> Bar | None:
        """The latest duration against the budget."""
        return bar(self.summary)

    @property
    def since(self) -> When | None:
        """When it began to stand as it does."""
        return when(self.summary.since_timestamp_seconds, self._moment)

    @property
    def resting(self) -> When | None:
        """Until when the issuer asked to be left alone, while that lasts."""
        until = self.state.resting_until_timestamp_seconds
        return when(until, self._moment) if until and until > self._moment else None

    @property
    def interval(self) -> str:
        """How often it is probed, in words."""
        return span(self.state.interval_seconds)

    @property
    def counted(self) -> Iterator[tuple[str, str]]:
        """What has been counted since the exporter's start."""
        yield "probes", f"{self.state.probes:,}"
        failed = {stage: n for stage, n in self.state.failures.items() if n}
        stages = ", ".join(f"{stage} {count:,}" for stage, count in failed.items())
        yield "failures", f"{sum(failed.values()):,}" + (f" ({stages})" if stages else "")
        yield "key set changes", f"{self.state.rotation.changes:,}"
        yield "interval", self.interval

    @property
    def entries(self) -> Sequence[Entry]:
        """Every report that is kept, the latest first."""
        return [self._entry(one) for one in self._kept]

    def _entry(self, one: Kept) -> Entry:
        report = one.report
        word, sentence = verdict(report)
        standing = Standing(word.lower().replace(" ", "_"))
        return Entry(
            path=self._link("on" if self.is_refreshing else "", one),
            when=when(report.ended_timestamp_seconds, self._moment),
            standing=standing,
            word=WORDS[standing],
            words=kind(report) or sentence,
            left_out=one.left_out,
            is_chosen=one is self._shown,
        )

    def _link(self, refresh: str, kept: Kept | None) -> str:
        # The latest one has no name of its own here: a page that refreshes shall follow.
        is_other = kept is not None and kept is not self._kept[0]
        query = {"refresh": refresh, "report": _id(kept) if kept and is_other else ""}
        return link(issuer_path(self.issuer.name, f"{self.root}issuers/"), query)


def _id(kept: Kept) -> str:
    """By its start, to the microsecond: what a link calls it while it is kept."""
    return f"{kept.report.started_timestamp_seconds:.6f}"
