"""What a response says about caching: the only reader of `Cache-Control` and its relatives.

A header that breaks the grammar counts as far as it can be read, and never raises. Source:
RFC 9111 (caching), RFC 9110 5.6 (tokens, quoted strings, lists, dates).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from exporter.model import CacheDirective, CachePolicy
from exporter.reasons import CacheHeader, Directive
from exporter.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: RFC 9111 1.2.2: a greater number of seconds is to be taken for this one.
MOST_SECONDS = 2**31
#: A longer `Retry-After` is obeyed for this long: an issuer unwatched for a day is no use.
MOST_RETRY_AFTER_SECONDS = 3600.0
#: Of an argument; the longest honest one lists a few header names.
MOST_CHARACTERS = 200
#: Of one header, all its lines together; honest ones have up to ten.
MOST_MEMBERS = 256

# A longer line is read anew each time: what is remembered must not fill memory.
_REMEMBERED_CHARACTERS = 512

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# No two alternatives begin alike, so a line of quotes and backslashes costs one way there and
# one back. Possessive quantifiers would save the way back, and Python before 3.11.5, Debian's
# among them, gets those wrong around a group.
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")*', re.DOTALL)

_NAMES = {
    directive.value.replace("_", "-"): directive
    for directive in Directive
    if directive not in (Directive.NO_CACHE_FIELD, Directive.OTHER)
}


def policy(headers: Sequence[tuple[str, str]], *, received: float) -> CachePolicy:
    """Read *headers*, which arrived at *received* (Unix time).

    Of a directive that is repeated in one header, the first counts (RFC 9111 4.2.1).

    Returns:
        A policy, always. What is absent or malformed is None in it.
    """
    directives = [
        d for header in CacheHeader for d in islice(_directives(headers, header), MOST_MEMBERS)
    ]
    date = _date(_first(headers, "date"), received)
    age = _delta_seconds(_first(headers, "age"))
    return CachePolicy(
        directives=_first_of_each(directives),
        is_cacheable=all(d.directive is not Directive.NO_CACHE for d in directives),
        max_age_seconds=_lifetime(headers, directives, date=date, received=received),
        age_seconds=age,
        clock_offset_seconds=None if date is None else _offset(date - received, age or 0.0),
    )


def _offset(seconds: float, age: float) -> float:
    """By how much the clock is ahead, from a Date that is so many *seconds* ahead of ours.

    A shared cache hands out the origin's Date, which was right *age* seconds ago, or writes
    one of its own (Fastly does). Which of them it was nobody says: the smaller offset counts.
    """
    return min(seconds, seconds + age, key=abs)


def retry_after(headers: Sequence[tuple[str, str]], *, received: float) -> float | None:
    """Until when the issuer asks to be left alone: Unix time, within an hour of *received*.

    A date is read against the response's own `Date`, so that a wrong clock on either side
    does not change the wait.

    Returns:
        None when nothing was asked, or nothing that can be read, or no wait is left.

    Source: RFC 9110 10.2.3.
    """
    value = _first(headers, "retry-after")
    seconds = _delta_seconds(value)
    if seconds is None:
        until = _date(value, received)
        if until is None:
            return None
        sent = _date(_first(headers, "date"), received)
        seconds = until - (received if sent is None else sent)
    if seconds <= 0:
        return None
    return received + min(seconds, MOST_RETRY_AFTER_SECONDS)


def _lifetime(
    headers: Sequence[tuple[str, str]],
    directives: Sequence[CacheDirective],
    *,
    date: float | None,
    received: float,
) -> float | None:
    """Explicit freshness lifetime of a private cache, RFC 9111 4.2.1: not `s-maxage`.

    A malformed `max-age` counts as absent; a malformed `Expires` is in the past (5.3).
    """
    ages = (_delta_seconds(d.value) for d in directives if d.directive is Directive.MAX_AGE)
    max_age = next((age for age in ages if age is not None), None)
    if max_age is not None:
        return max_age
    value = _first(headers, "expires")
    if value is None:
        return None
    expires = _date(value, received)
    if expires is None:
        return 0.0
    lifetime = expires - (received if date is None else date)
    return max(-float(MOST_SECONDS), min(lifetime, float(MOST_SECONDS)))


def _directives(
    headers: Sequence[tuple[str, str]], header: CacheHeader
) -> Iterator[CacheDirective]:
    """Every directive in every line of *header*, in order."""
    wanted = header.value.replace("_", "-")
    for name, line in headers:
        if name.lower() == wanted:
            is_short = len(line) <= _REMEMBERED_CHARACTERS
            yield from (_read_line if is_short else _read_line.__wrapped__)(line, header)


# An issuer sends the same line each time, and thousands of issuers the same few.
@lru_cache(maxsize=256)
def _read_line(line: str, header: CacheHeader) -> tuple[CacheDirective, ...]:
    found = (_directive(member, header) for member in islice(_members(line), MOST_MEMBERS))
    return tuple(directive for directive in found if directive is not None)


def _members(line: str) -> Iterator[str]:
    """The members of a comma-separated list, empty ones left out (RFC 9110 5.6.1.2).

    A quote that is never closed hides nothing: from there on every comma divides, so that
    a `no-cache` behind it is seen.
    """
    start = 0
    while start <= len(line):
        match = _MEMBER.match(line, start)
        end = match.end() if match else start
        if line[end : end + 1] == '"':
            yield from filter(None, (part.strip(" \t") for part in line[start:].split(",")))
            return
        member = line[start:end].strip(" \t")
        if member:
            yield member
        start = end + 1


def _directive(member: str, header: CacheHeader) -> CacheDirective | None:
    """One member as a directive; None when it does not even begin with a name."""
    name, equals, argument = member.partition("=")
    if not _TOKEN.fullmatch(name):
        return None
    directive = _NAMES.get(name.lower(), Directive.OTHER)
    if header is CacheHeader.PRAGMA and (directive is not Directive.NO_CACHE or equals):
        directive = Directive.OTHER  # RFC 9111 5.4 defines `no-cache` alone
    elif directive is Directive.NO_CACHE and equals:
        directive = Directive.NO_CACHE_FIELD
    value = _argument(argument) if equals else None
    return CacheDirective(header=header, directive=directive, value=value)


def _argument(text: str) -> str | None:
    """A token or a quoted string; both are to be understood everywhere (RFC 9111 5.2)."""
    quoted = _QUOTED.fullmatch(text)
    if quoted is None and not _TOKEN.fullmatch(text):
        return None
    value = _ESCAPE.sub(r"\1", quoted[1]) if quoted else text
    # Cut without a mark: thousands of digits are still a number.
    return clean(value[:MOST_CHARACTERS], MOST_CHARACTERS)


def _first_of_each(directives: Sequence[CacheDirective]) -> tuple[CacheDirective, ...]:
    kept: dict[tuple[CacheHeader, Directive], CacheDirective] = {}
    for directive in directives:
        kept.setdefault((directive.header, directive.directive), directive)
    return tuple(kept.values())


def _first(headers: Sequence[tuple[str, str]], wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)


def _delta_seconds(value: str | None) -> float | None:
    """One or more digits (RFC 9111 1.2.2), at most `MOST_SECONDS`."""
    digits = (value or "").strip(" \t")
    if not (digits.isascii() and digits.isdigit()):
        return None
    # Eleven digits are beyond the cap already; thousands of them would stop `int`.
    return float(min(int(digits.lstrip("0")[:11] or "0"), MOST_SECONDS))


_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"[a-z]{{3}}, (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_TIME} GMT",
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_TIME} GMT",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _date(value: str | None, received: float) -> float | None:
    """An HTTP-date in any of its three forms (RFC 9110 5.6.7) as Unix time, or None.

    Letter case is ignored and no zone but GMT is taken, as RFC 9111 4.2 asks of caches.
    """
    text = (value or "").strip(" \t")
    match = next((m for m in (pattern.fullmatch(text) for pattern in _DATES) if m), None)
    if match is None or match["month"].lower() not in _MONTHS:
        return None
    try:
        return datetime(
            _year(match["year"], received),
            _MONTHS.index(match["month"].lower()) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(int(match["second"]), 59) if match["second"] == "60" else int(match["second"]),
            tzinfo=UTC,
        ).timestamp()
    except ValueError:
        return None


def _year(digits: str, received: float) -> int:
    """Two digits mean the latest such year that is not over 50 years ahead (RFC 9110 5.6.7)."""
    if len(digits) == 4:  # noqa: PLR2004 - a full year
        return int(digits)
    latest = datetime.fromtimestamp(received, UTC).year + 50
    return latest - (latest - int(digits)) % 100
