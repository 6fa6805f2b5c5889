"""What is read out of caching headers, well-formed and not."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import caching
from exporter.caching import policy, retry_after
from exporter.model import CacheDirective, CachePolicy
from exporter.reasons import CacheHeader, Directive
from tests.builders import NOW

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcXYZ", min_size=1, max_size=8)
# Whatever HTTP lets through: printable, tab, and bytes above ASCII as Latin-1 or surrogates.
ANY_TEXT = st.text(st.characters(exclude_characters="\r\n\0"), max_size=60)
KNOWN = [
    "no-cache",
    "no-store",
    "max-age=60",
    "must-revalidate",
    "public",
    "private",
    "immutable",
]


def read(*lines: str, pragma: str | None = None, **headers: str) -> CachePolicy:
    sent = [("cache-control", line) for line in lines]
    if pragma is not None:
        sent.append(("pragma", pragma))
    return policy([*sent, *headers.items()], received=NOW)


def names(*lines: str, pragma: str | None = None) -> list[str]:
    return [d.directive.value for d in read(*lines, pragma=pragma).directives]


def date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("no-cache", ["no_cache"]),
        ("No-CACHE", ["no_cache"]),
        ('no-cache="Set-Cookie"', ["no_cache_field"]),
        ("no-cache=Set-Cookie", ["no_cache_field"]),  # both forms are to be understood
        ('no-cache=""', ["no_cache_field"]),
        ('no-cache="a, b", no-cache', ["no_cache_field", "no_cache"]),
        ("x-no-cache", ["other"]),
        ("no-cachex", ["other"]),
        ('private="no-cache, no-store"', ["private"]),  # commas within quotes divide nothing
        (r'ext="a\", no-cache", public', ["other", "public"]),  # nor do escaped quotes end them
        ("public, max-age=60", ["public", "max_age"]),
        (" ,, public ,\t, immutable,", ["public", "immutable"]),
        ("", []),
        (",", []),
        ("s-maxage=5, proxy-revalidate", ["s_maxage", "proxy_revalidate"]),
        ("stale-while-revalidate=1", ["stale_while_revalidate"]),
        ("stale-if-error=1, no-transform", ["stale_if_error", "no_transform"]),
        ("must-revalidate, must-understand", ["must_revalidate", "must_understand"]),
        ("no_cache", ["other"]),
        ("no-cache;", []),  # no token at all
        ("no cache", []),
        ("no-store no-cache", []),
        ('"no-cache"', []),
        ('ext="open, no-cache', ["other", "no_cache"]),  # an open quote hides nothing
        ('public, ext="open, "no-cache', ["public", "other"]),
        ("max-age=60, other, no-field", ["max_age", "other"]),
        ("no-cache-field, other", ["other"]),  # our own words for a label mean nothing there
    ],
)
def test_directives_are_read_by_the_grammar(line, expected):
    assert names(line) == expected


def test_several_lines_are_one_list():
    assert names("public", "max-age=60, no-cache") == ["public", "max_age", "no_cache"]


def test_an_open_quote_ends_with_its_line():
    assert names('ext="open', 'no-store"') == ["other"]
    assert names('ext="open', "no-store") == ["other", "no_store"]


@pytest.mark.parametrize(
    ("pragma", "expected", "is_cacheable"),
    [
        ("no-cache", ["no_cache"], False),
        ("NO-CACHE", ["no_cache"], False),
        ("foo=bar, no-cache", ["other", "no_cache"], False),
        ("no-cache=x", ["other"], True),  # only the bare word is defined
        ("x-no-cache", ["other"], True),
        ("no-store", ["other"], True),
        ("public", ["other"], True),
    ],
)
def test_pragma_knows_one_word(pragma, expected, is_cacheable):
    seen = read(pragma=pragma)

    assert [d.directive for d in seen.directives] == expected
    assert {d.header for d in seen.directives} == {CacheHeader.PRAGMA}
    assert seen.is_cacheable == is_cacheable


@pytest.mark.parametrize(
    ("lines", "is_cacheable"),
    [
        (["no-cache"], False),
        (["public", "max-age=60, No-Cache"], False),
        (['no-cache="Set-Cookie"'], True),
        (["no-cache=Set-Cookie"], True),
        (["x-no-cache"], True),
        (["no-store"], True),  # nobody knows what STS makes of it
        (["max-age=0"], True),
        ([], True),
    ],
)
def test_only_an_unqualified_no_cache_forbids(lines, is_cacheable):
    assert read(*lines).is_cacheable == is_cacheable


def test_the_same_directive_in_both_headers_is_two():
    assert read("no-cache", pragma="no-cache").directives == (
        CacheDirective(header=CacheHeader.CACHE_CONTROL, directive=Directive.NO_CACHE),
        CacheDirective(header=CacheHeader.PRAGMA, directive=Directive.NO_CACHE),
    )


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("max-age=60", "60"),
        ('max-age="60"', "60"),
        (r'private="a\"b"', 'a"b'),
        ("public", None),
        ("max-age=", None),
        ("max-age= 60", None),
        ('max-age="60', None),
        ('max-age="60"x', None),
        ("max-age=6\u202e0", None),
        ('private="\u202e"', r"\u202e"),  # it will be printed
    ],
)
def test_an_argument_is_kept_as_sent_or_not_at_all(line, value):
    assert [d.value for d in read(line).directives] == [value]


def test_of_a_repeated_directive_the_first_is_kept():
    assert [d.value for d in read("max-age=1, max-age=2", "max-age=3").directives] == ["1"]


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("max-age=300", 300),
        ("public, Max-Age=300", 300),
        ('max-age="300"', 300),
        ("max-age=0, max-age=300", 0),  # the first one wins
        ("max-age=000300", 300),
        ("max-age=0", 0),
        ("max-age=2147483648", 2**31),
        ("max-age=99999999999999999999", 2**31),
        ("max-age=" + "9" * 5000, 2**31),
        ('max-age="' + "9" * 5000 + '"', 2**31),
        ("max-age=-1", None),
        ("max-age=1.5", None),
        ("max-age=1e3", None),
        ("max-age=+5", None),
        ("max-age=\u0665", None),  # a digit, but not one of the grammar
        ("max-age", None),
        ("max-age=", None),
        ("max-age=soon, max-age=300", 300),  # malformed counts as absent
        ("s-maxage=300", None),  # for shared caches, which STS is not
        ("no-cache", None),
    ],
)
def test_max_age_is_the_lifetime(line, seconds):
    assert read(line).max_age_seconds == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"date": date(NOW - 10), "expires": date(NOW + 50)}, 60),
        ({"expires": date(NOW + 50)}, 50),  # the time of arrival stands in for Date
        ({"date": date(NOW), "expires": date(NOW - 60)}, -60),
        ({"expires": "0"}, 0),
        ({"expires": "-1"}, 0),
        ({"expires": ""}, 0),
        ({"expires": "Sat, 12 Nov 2022 19:57:59 CET"}, 0),  # no zone but GMT
        ({"expires": "Fri, 31 Dec 9999 23:59:59 GMT"}, 2**31),
        ({"expires": "Mon, 01 Jan 0001 00:00:00 GMT"}, -(2**31)),
        ({}, None),
    ],
)
def test_expires_is_the_lifetime_when_max_age_is_absent(headers, seconds):
    assert read(**headers).max_age_seconds == seconds
    assert read("max-age=7", **headers).max_age_seconds == 7
    assert read("max-age=?", **headers).max_age_seconds == seconds


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        ("0", 0),
        (" 5059 ", 5059),
        ("9" * 30, 2**31),
        ("-1", None),
        ("1.5", None),
        ("5, 6", None),
        ("", None),
    ],
)
def test_age_is_a_number_of_seconds(age, seconds):
    assert read(age=age).age_seconds == seconds


def test_without_headers_nothing_is_known():
    assert read() == CachePolicy()


def test_header_names_are_found_in_any_case():
    assert not policy([("Cache-Control", "no-cache")], received=NOW).is_cacheable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Wed Nov 16 08:49:37 1994", 784975777),
        ("sun, 06 NOV 1994 08:49:37 gmt", 784111777),  # RFC 9111 4.2
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228799),  # a leap second
        ("Wednesday, 01-Jan-70 00:00:00 GMT", 3155760000),
        ("Wednesday, 01-Jan-76 00:00:00 GMT", 3345062400),  # 50 years ahead, and no more
        ("Friday, 01-Jan-77 00:00:00 GMT", 220924800),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +0000", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49:61 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, \u0660\u0666 Nov 1994 08:49:37 GMT", None),
        ("784111777", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("", None),
    ],
)
def test_a_date_has_three_forms(text, expected):
    offset = read(date=text).clock_offset_seconds

    assert (None if offset is None else offset + NOW) == expected


@pytest.mark.parametrize(
    ("headers", "offset"),
    [
        ({"date": date(NOW)}, 0),
        ({"date": date(NOW + 200)}, 200),
        ({"date": date(NOW - 200)}, -200),
        # Date is that of the origin: a cache has had it for 5059 seconds, and nobody is late.
        ({"date": date(NOW - 5059), "age": "5059"}, 0),
        ({"date": date(NOW - 5059 + 200), "age": "5059"}, 200),
        # A cache that writes a Date of its own, as Fastly does.
        ({"date": date(NOW), "age": "1800"}, 0),
        ({"date": date(NOW + 200), "age": "1800"}, 200),
        ({"date": date(NOW - 200), "age": "no"}, -200),
        ({"age": "5"}, None),
    ],
)
def test_the_clock_is_compared_with_what_a_cache_has_added_taken_off(headers, offset):
    assert read(**headers).clock_offset_seconds == offset


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("3600", 3600),
        ("86400", 3600),  # nobody is left unwatched for a day
        ("9" * 5000, 3600),
        (date(NOW + 90), 90),
        (date(NOW + 9999), 3600),
        (date(NOW - 90), None),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, wait):
    until = retry_after([("retry-after", value)], received=NOW)

    assert (None if until is None else until - NOW) == wait


def test_retry_after_may_be_absent():
    assert retry_after([("date", date(NOW))], received=NOW) is None


def test_a_wrong_clock_does_not_change_the_wait():
    """The issuer's clock is an hour ahead; it asks for two minutes."""
    headers = [("date", date(NOW + 3600)), ("retry-after", date(NOW + 3720))]

    assert retry_after(headers, received=NOW) == NOW + 120


def test_a_line_of_open_quotes_costs_no_more_than_its_length():
    """Both halves of a quoted string could be tried from every quote on: a second per line."""
    line = '"\\' * 50_000
    started = time.process_time()

    assert names(line) == []
    assert time.process_time() - started < 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["cache-control", "pragma", "age", "date", "expires", "retry-after"]
            ),
            st.one_of(ANY_TEXT, st.text('",;=\\ \tnocache-maxge0159', max_size=40)),
        ),
        max_size=6,
    )
)
def test_nothing_that_can_be_sent_raises_or_breaks_the_bounds(headers):
    seen = policy(headers, received=NOW)
    until = retry_after(headers, received=NOW)

    assert seen.max_age_seconds is None or abs(seen.max_age_seconds) <= 2**31
    assert seen.age_seconds is None or 0 <= seen.age_seconds <= 2**31
    assert until is None or NOW < until <= NOW + 3600
    assert len(seen.directives) <= len(Directive) * 2
    assert all(d.value is None or d.value.isprintable() for d in seen.directives)


def quoted(text: str) -> str:
    return '"' + "".join(f"\\{c}" if c in '"\\' else c for c in text) + '"'


@given(TOKEN, st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "S"])))
def test_what_is_quoted_comes_back(name, text):
    """Whatever stands between quotes is one argument, commas, quotes, backslashes and all."""
    (only,) = read(f"x{name}={quoted(text)}").directives

    assert only.directive is Directive.OTHER
    assert only.value == text[:200]


@given(st.lists(st.sampled_from(KNOWN), min_size=1), st.data())
def test_neither_order_nor_case_nor_lines_nor_spaces_matter(directives, data):
    other = data.draw(st.permutations(directives))
    cut = data.draw(st.integers(0, len(other)))
    lines = [" ,".join(other[:cut]).upper(), ",\t".join(other[cut:])]

    one, two = read(", ".join(directives)), read(*lines)

    assert {d.directive for d in one.directives} == {d.directive for d in two.directives}
    assert (one.is_cacheable, one.max_age_seconds) == (two.is_cacheable, two.max_age_seconds)


@given(st.lists(TOKEN.filter(lambda t: t.lower() not in KNOWN), max_size=5), TOKEN)
def test_a_qualified_no_cache_never_forbids_and_a_bare_one_always_does(others, fields):
    line = ", ".join([*others, f"no-cache={quoted(fields)}"])

    assert read(line).is_cacheable
    assert not read(line + ", no-cache").is_cacheable


@given(st.integers(min_value=-62_135_596_800, max_value=253_402_300_799))
def test_every_date_that_can_be_written_is_read(seconds):
    offset = read(date=date(seconds)).clock_offset_seconds

    assert offset == seconds - NOW


def test_of_a_header_that_never_ends_its_beginning_counts():
    """Sixty kilobytes of it would hold the event loop for a fifth of a second."""
    many = ", ".join(["public"] * 255)
    headers = [("cache-control", many), ("cache-control", "max-age=60, no-cache")]
    found = policy(headers, received=NOW)

    assert found.max_age_seconds == 60
    assert found.is_cacheable


def test_long_lines_are_not_remembered():
    before = caching._read_line.cache_info().currsize
    for number in range(3):
        line = f"x{number}, max-age=60, y={'z' * 600}"
        assert policy([("cache-control", line)], received=NOW).max_age_seconds == 60

    assert caching._read_line.cache_info().currsize == before
