"""The page of all issuers: what each of its rows says, and where its links lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.summary import Standing
from exporter.web import REFRESH_SECONDS
from exporter.web.listing import COLUMNS, Query
from exporter.web.words import issuer_path, link, span, when

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.model import Issuer
    from exporter.summary import Summary
    from exporter.web.listing import Listing
    from exporter.web.words import When

#: Rows of one page: more than fit on a screen, and made in some 10 ms.
ROWS = 100

#: What a standing is called.
WORDS: Mapping[Standing, str] = {
    Standing.NOT_USABLE: "not usable",
    Standing.UNKNOWN: "unknown",
    Standing.AT_RISK: "at risk",
    Standing.USABLE: "usable",
    Standing.NOT_PROBED: "not probed",
}
_TITLES = {
    "name": "Issuer",
    "state": "State",
    "since": "Since",
    "time": "Time of budget",
    "cacheable": "Cacheable",
    "keys": "Usable keys",
    "certificate": "Certificate",
}
_DAY_SECONDS = 86_400
#: As on the terminal, and as the alert rules have it.
_FEW_DAYS = 21
#: Below it the hours are told as well.
_LAST_DAYS = 3
#: A bar goes this far beyond the budget, which is where its mark stands.
_BAR_SHARE = 1.25


@dataclass(frozen=True, slots=True)
class Value:
    """A cell: its words, none when nothing is known, and `bad` or `warn` where it matters."""

    words: str = ""
    style: str = ""


UNKNOWN = Value()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A length of time against the budget, in hundredths of the bar's width."""

    words: str
    width: float
    budget: float = 100 / _BAR_SHARE
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One issuer."""

    path: str
    name: str
    url: str
    labels: str
    standing: Standing
    word: str
    words: str
    kind: str
    more: int
    since: When | None
    time: Bar | None
    budget: str
    cacheable: Value
    keys: Value
    certificate: Value


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


def row(one: Summary, root: str, now: float) -> Row:
    """What is shown of *one*; issuers have their pages below *root*."""
    issuer, failure = one.issuer, one.failure
    return Row(
        path=issuer_path(issuer.name, f"{root}issuers/"),
        name=issuer.name,
        url=_other_url(issuer),
        labels=", ".join(f"{key}={value}" for key, value in issuer.labels),
        standing=one.standing,
        word=WORDS[one.standing],
        words=one.words,
        kind=f"{failure.document} {failure.stage}/{failure.reason}" if failure else "",
        more=0 if failure else max(0, one.findings - 1),
        since=when(one.since_timestamp_seconds, now),
        time=bar(one),
        budget=f"{issuer.budget_seconds:g} s",
        cacheable=cacheable(one),
        keys=keys(one),
        certificate=certificate(one, now),
    )


def bar(one: Summary) -> Bar | None:
    """The latest probe's duration; None when nothing was fetched."""
    if one.duration_seconds is None:
        return None
    share = one.duration_seconds / one.issuer.budget_seconds
    return Bar(
        words=f"{one.duration_seconds:.2f} s",
        width=round(100 * min(share / _BAR_SHARE, 1), 2),
        is_over=share > 1,
    )


def cacheable(one: Summary) -> Value:
    """Whether STS may keep the key set, and for how long it is said to be fresh."""
    if one.is_cacheable is None:
        return UNKNOWN
    if not one.is_cacheable:
        return Value("no", "warn")
    if one.max_age_seconds is None:
        return Value("yes")
    return Value(f"yes, {span(max(0.0, one.max_age_seconds))}")


def keys(one: Summary) -> Value:
    """Usable keys of those published."""
    if one.keys_published is None:
        return UNKNOWN
    return Value(f"{one.keys_usable} of {one.keys_published}", "" if one.keys_usable else "bad")


def certificate(one: Summary, now: float) -> Value:
    """How long the first certificate to end is still valid."""
    end = one.certificate_not_after_timestamp_seconds
    if end is None:
        return UNKNOWN
    if end < now:
        return Value(f"expired {span(now - end)} ago", "bad")
    days = (end - now) / _DAY_SECONDS
    words = f"{days:,.0f} days" if days > _LAST_DAYS else span(end - now)
    return Value(words, "warn" if days < _FEW_DAYS else "")


def _other_url(issuer: Issuer) -> str:
    """The URL without its scheme, unless the name says it already."""
    url = issuer.url.removeprefix("https://")
    return "" if url == issuer.name else url


def _page(text: str, pages: int) -> int:
    # Digits of other scripts are digits to Python, and a long row of them is no number.
    is_number = text.isascii() and text.isdigit() and len(text) < len("1000000")
    return min(max(1, int(text)), pages) if is_number else 1
