"""Which issuers are listed and in what order: the only place that filters and sorts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING

from exporter.summary import Standing, Summary, summary
from exporter.web.pacing import paced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.state import State

#: Nobody types more into a field, and each issuer is searched for it.
LONGEST_TEXT = 200

# Sorted in half a millisecond.
_RUN = 256
_WORST_FIRST = {standing: float(place) for place, standing in enumerate(Standing)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What issuers can be sorted by.

    Attributes:
        read: A number that grows in ascending order; None when unknown, which comes last.
        is_descending: What people want to see first has the largest number.
    """

    read: Callable[[Summary], float | None]
    is_descending: bool = False


def _share(one: Summary) -> float | None:
    if one.duration_seconds is None:
        return None
    return one.duration_seconds / one.issuer.budget_seconds


#: The orders by name; `name` itself is the one within all others.
COLUMNS: Mapping[str, Column] = {
    "name": Column(read=lambda _: 0.0),
    "state": Column(read=lambda one: _WORST_FIRST[one.standing]),
    "since": Column(read=lambda one: one.since_timestamp_seconds, is_descending=True),
    "time": Column(read=_share, is_descending=True),
    "cacheable": Column(read=lambda one: one.is_cacheable),
    "keys": Column(read=lambda one: one.keys_usable),
    "certificate": Column(read=lambda one: one.certificate_not_after_timestamp_seconds),
}
DEFAULT_ORDER = "state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What somebody wants listed.

    Attributes:
        text: Must stand in name, URL, labels or cause, upper and lower case alike.
        standing: None for all.
        order: A key of `COLUMNS`.
    """

    text: str = ""
    standing: Standing | None = None
    order: str = DEFAULT_ORDER
    is_descending: bool = False

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Query:
        """Of a URL's *parameters*; what is not understood counts as not given."""
        sort = parameters.get("sort", "")
        order = sort.removeprefix("-")
        wanted = parameters.get("state", "")
        return cls(
            text=parameters.get("text", "").strip()[:LONGEST_TEXT],
            standing=Standing(wanted) if wanted in tuple(Standing) else None,
            order=order if order in COLUMNS else DEFAULT_ORDER,
            is_descending=order in COLUMNS and sort.startswith("-"),
        )

    @property
    def parameters(self) -> dict[str, str]:
        """What `read` makes this of."""
        is_default = self.order == DEFAULT_ORDER and not self.is_descending
        sort = f"-{self.order}" if self.is_descending else self.order
        return {
            "text": self.text,
            "state": self.standing or "",
            "sort": "" if is_default else sort,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What was found.

    Attributes:
        found: In order.
        counts: By standing, of all that hold the text, whatever standing is asked for.
    """

    found: Sequence[Summary]
    counts: Mapping[Standing, int]


async def listing(states: Sequence[State], query: Query) -> Listing:
    """What *query* asks for of *states*, found without holding the loop."""
    wanted = query.text.casefold()
    counts: Counter[Standing] = Counter()
    found = []
    async for state in paced(states):
        one = summary(state)
        if wanted in _searched(one):
            counts[one.standing] += 1
            if query.standing in (None, one.standing):
                found.append(one)
    return Listing(found=await _sorted(found, query), counts=counts)


def _searched(one: Summary) -> str:
    labels = [f"{key}={value}" for key, value in one.issuer.labels]
    failure = one.failure
    kind = f"{failure.document} {failure.stage}/{failure.reason}" if failure else ""
    return "\n".join((one.issuer.name, one.issuer.url, *labels, one.words, kind)).casefold()


async def _sorted(found: Sequence[Summary], query: Query) -> Sequence[Summary]:
    key = _key(query)
    # A sort cannot be interrupted, so many short ones, and then a merge.
    runs = [
        sorted(found[start : start + _RUN], key=key)
        async for start in paced(range(0, len(found), _RUN))
    ]
    merged = [one async for one in paced(merge(*runs, key=key))]
    is_by_name_backwards = query.order == "name" and query.is_descending
    return merged[::-1] if is_by_name_backwards else merged


def _key(query: Query) -> Callable[[Summary], tuple[bool, float, str]]:
    read = COLUMNS[query.order].read
    sign = -1.0 if query.is_descending else 1.0

    def key(one: Summary) -> tuple[bool, float, str]:
        number = read(one)
        return number is None, sign * (number or 0.0), one.issuer.name

    return key
