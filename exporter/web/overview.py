"""The page of all issuers: what stands around its rows, and where its links lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.summary import Standing
from exporter.web import REFRESH_SECONDS
from exporter.web.listing import COLUMNS, Query
from exporter.web.rows import WORDS, row
from exporter.web.words import link, when

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.web.listing import Listing

#: Rows of one page: more than fit on a screen, and made in some 10 ms.
ROWS = 100

_TITLES = {
    "name": "Issuer",
    "state": "State",
    "since": "Since",
    "time": "Time of budget",
    "cacheable": "Cacheable",
    "keys": "Usable keys",
    "certificate": "Certificate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A column that can be sorted by; *order* is its `aria-sort`."""

    title: str
    path: str
    order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A standing to choose, and how many issuers have it."""

    standing: Standing | None
    word: str
    count: int
    path: str
    is_chosen: bool


class Overview:
    """What the template `overview.html` shows.

    Args:
        parameters: Of the URL that was asked for.
        root: The path of the page itself.
    """

    def __init__(
        self, listing: Listing, parameters: Mapping[str, str], *, root: str, now: float
    ) -> None:
        self._root = root
        self._listing = listing
        self.query = Query.read(parameters)
        self.is_refreshing = parameters.get("refresh") != "off"
        self.now = when(now, now)
        self.found = len(listing.found)
        self.total = sum(listing.counts.values())
        self.pages = max(1, -(-self.found // ROWS))
        self.page = _page(parameters.get("page", ""), self.pages)
        first = (self.page - 1) * ROWS
        self.first = first + 1
        self.rows = [row(one, root, now) for one in listing.found[first : first + ROWS]]

    @property
    def refresh(self) -> int:
        """Seconds until the next look; 0 for never."""
        return REFRESH_SECONDS if self.is_refreshing else 0

    @property
    def counts(self) -> Mapping[Standing, int]:
        """Issuers that hold the text, by standing."""
        return self._listing.counts

    @property
    def worst(self) -> Standing:
        """The worst standing that any of them has."""
        return next((one for one in Standing if self.counts.get(one)), Standing.NOT_PROBED)

    @property
    def headline(self) -> str:
        """The state of the fleet in a sentence."""
        bad = self.counts.get(Standing.NOT_USABLE, 0)
        of = f"{self.total:,} issuer{'' if self.total == 1 else 's'}"
        of += " found" if self.query.text else ""
        if not self.total:
            return "No issuer holds this text" if self.query.text else "No issuer is configured"
        if bad:
            return f"STS cannot use {bad:,} of {of}"
        known = sum(self.counts.get(one, 0) for one in (Standing.USABLE, Standing.AT_RISK))
        return f"STS can use {f'all {of}' if known == self.total > 1 else f'{known:,} of {of}'}"

    @property
    def chips(self) -> Sequence[Chip]:
        """Every standing that occurs or is chosen, and all together."""
        chosen = self.query.standing
        chips = [
            Chip(
                standing=one,
                word=WORDS[one],
                count=self.counts.get(one, 0),
                path=self._link(state=one),
                is_chosen=one is chosen,
            )
            for one in Standing
            if self.counts.get(one) or one is chosen
        ]
        everything = Chip(
            standing=None,
            word="all",
            count=self.total,
            path=self._link(state=""),
            is_chosen=chosen is None,
        )
        return [everything, *chips]

    @property
    def headings(self) -> Mapping[str, Heading]:
        """By the name of the column."""
        return {name: self._heading(name) for name in COLUMNS}

    @property
    def sorts(self) -> Sequence[tuple[str, str]]:
        """The orders to choose from where there is no room for headings, and their values."""
        return [
            (title, f"-{name}" if COLUMNS[name].is_descending else name)
            for name, title in _TITLES.items()
        ]

    @property
    def sort(self) -> str:
        """The order in force, as a parameter."""
        return f"-{self.query.order}" if self.query.is_descending else self.query.order

    @property
    def previous_path(self) -> str:
        """The page before this one; empty on the first."""
        return self._link(page=self.page - 1) if self.page > 1 else ""

    @property
    def next_path(self) -> str:
        """The page behind this one; empty on the last."""
        return self._link(page=self.page + 1) if self.page < self.pages else ""

    @property
    def refresh_path(self) -> str:
        """The same page, refreshing or not."""
        page = self.page if self.page > 1 else ""
        return self._link(refresh="off" if self.is_refreshing else "", page=page)

    def _heading(self, name: str) -> Heading:
        is_chosen = self.query.order == name
        is_descending = self.query.is_descending
        turned = not is_descending if is_chosen else COLUMNS[name].is_descending
        order = ("descending" if is_descending else "ascending") if is_chosen else ""
        path = self._link(sort=f"-{name}" if turned else name)
        return Heading(title=_TITLES[name], path=path, order=order)

    def _link(self, **changes: object) -> str:
        refresh = "" if self.is_refreshing else "off"
        return link(self._root, {**self.query.parameters, "refresh": refresh, **changes})


def _page(text: str, pages: int) -> int:
    # Digits of other scripts are digits to Python, and a long row of them is no number.
    is_number = text.isascii() and text.isdigit() and len(text) < len("1000000")
    return min(max(1, int(text)), pages) if is_number else 1
