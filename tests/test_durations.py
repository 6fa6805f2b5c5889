"""What an operator may write for a duration or a size, and how it is written back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.durations import (
    BYTES_PATTERN,
    DURATION_PATTERN,
    format_bytes,
    format_duration,
    parse_bytes,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("500ms", 0.5),
        ("5s", 5),
        ("1m30s", 90),
        ("1h", 3600),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1y", 31_536_000),
        ("1y2w3d4h5m6s7ms", 33_019_506.007),
        ("90m", 5400),
        ("007s", 7),
    ],
)
def test_a_duration_is_read_as_prometheus_reads_it(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "00",
        "s",
        "-5s",
        "+5s",
        "1.5s",
        "5 s",
        " 5s",
        "5s ",
        "5s\n",
        "5S",
        "5sec",
        "5s1m",  # out of order
        "5s5s",  # twice
        "1M",
        "1us",
        "\u0665s",  # a digit, but not one of the grammar
        "1" * 5000 + "s",  # more than int() takes
    ],
)
def test_what_prometheus_refuses_is_no_duration(text):
    with pytest.raises(ValueError, match="is no duration such as 5s, 1m30s or 1h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.5, "500ms"),
        (90, "1m30s"),
        (3600, "1h"),
        (86_400 * 7, "1w"),
        (86_400 * 90, "90d"),  # not 12w6d
        (86_400 * 365, "1y"),
        (86_400 * 365 + 1, "365d1s"),
        (6.3, "6s300ms"),
    ],
)
def test_a_duration_is_written_as_prometheus_writes_it(seconds, text):
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**15))
def test_a_written_duration_reads_back_as_itself(milliseconds):
    seconds = milliseconds / 1000

    assert parse_duration(format_duration(seconds)) == seconds


@given(st.from_regex(DURATION_PATTERN, fullmatch=True).filter(lambda text: "\n" not in text))
def test_every_text_of_the_published_pattern_is_a_duration(text):
    """Editors are given the pattern; it must not promise what the reader refuses."""
    assert parse_duration(text) >= 0


@given(st.text(alphabet="0123456789ywdhms. -", max_size=12))
def test_the_published_pattern_knows_every_duration_but_the_bare_zero(text):
    try:
        parse_duration(text)
    except ValueError:
        assert not re.search(DURATION_PATTERN, text)
    else:
        assert text == "0" or re.search(DURATION_PATTERN, text)


def test_a_negative_duration_cannot_be_written():
    with pytest.raises(ValueError, match=r"^-1 seconds are negative$"):
        format_duration(-1)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0B", 0),
        ("1500B", 1500),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("512KiB", 524_288),
        ("1MB", 1_000_000),
        ("1MiB", 1_048_576),
        ("2GB", 2_000_000_000),
        ("2GiB", 2_147_483_648),
    ],
)
def test_a_size_tells_1000_from_1024(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "MiB",
        "1 MiB",
        "1mib",
        "1M",
        "-1B",
        "1.5MiB",
        "1MiB\n",
        "1TiB",
        "9" * 5000 + "B",
    ],
)
def test_a_size_needs_its_unit_to_the_letter(text):
    with pytest.raises(ValueError, match="is no size such as 512KiB or 1MiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (1500, "1500B"),
        (2000, "2KB"),
        (1_048_576, "1MiB"),
        (1_000_000, "1MB"),
        (1_024_000, "1000KiB"),
    ],
)
def test_a_size_is_written_in_the_largest_unit_without_a_rest(count, text):
    assert format_bytes(count) == text


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_a_written_size_reads_back_as_itself(count):
    assert parse_bytes(format_bytes(count)) == count


@given(st.from_regex(BYTES_PATTERN, fullmatch=True).filter(lambda text: "\n" not in text))
def test_every_text_of_the_published_pattern_is_a_size(text):
    assert parse_bytes(text) >= 0


def test_a_negative_size_cannot_be_written():
    with pytest.raises(ValueError, match=r"^-1 bytes are negative$"):
        format_bytes(-1)
