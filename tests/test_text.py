"""Text from afar, made fit for a log line, a page and a label."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import text
from exporter.text import clean, identifier, listed, quoted

TEXT = st.text(st.characters(), max_size=300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünïcode 鍵", "plain ünïcode 鍵"),
        ("two\nlines\t\r", r"two\nlines\t\r"),
        ("\x1b[31mred\x00", r"\x1b[31mred\x00"),
        ("abc\u202efed", r"abc\u202efed"),  # would print as abcdef
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\ud800", r"\ud800"),  # would stop every encoder
        ("a\u2028b", r"a\u2028b"),
        ("", ""),
    ],
)
def test_nothing_stays_hidden(text, expected):
    assert clean(text) == expected


def test_what_was_cut_off_is_marked():
    assert clean("a" * 200) == "a" * 200
    assert clean("a" * 201) == "a" * 199 + "…"
    assert clean("\n" * 200, 10) == r"\n\n\n\n\…"


@given(TEXT, st.integers(1, 300))
def test_the_result_fits_and_can_be_printed_and_encoded(text, limit):
    safe = clean(text, limit)

    assert len(safe) <= limit
    assert safe.isprintable()
    assert safe.encode().decode() == safe


@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=50))
def test_what_is_harmless_is_left_alone(text):
    assert clean(text) == text == identifier(text)


def test_long_identifiers_stay_different():
    """Two series of one name and label set would spoil a whole scrape."""
    one, two = identifier("k" * 500 + "1"), identifier("k" * 500 + "2")

    assert one != two
    assert {len(one), len(two)} == {128}
    assert one[:119] == "k" * 119


def test_an_identifier_of_lone_surrogates_is_no_trouble():
    assert identifier("\ud800" * 200).startswith(r"\ud800\ud800")


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
    ],
)
def test_a_long_list_is_counted_not_told(items, expected):
    assert listed(items, 2) == expected


def test_what_is_quoted_is_cut_as_well():
    assert quoted("a\n") == r'"a\n"'
    assert len(quoted("a" * 999)) == 202


def test_five_are_told_unless_asked_otherwise():
    assert listed(list("abcdef")) == "a, b, c, d, e and 1 more"


def test_a_text_of_every_character_there_is_fills_no_memory():
    characters = "".join(map(chr, range(0x20000)))
    for start in range(0, len(characters), 500):
        part = characters[start : start + 500]
        # One by one, through nothing that is remembered.
        expected = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in part
        )
        assert clean(part, 10_000) == expected

    assert len(text._ESCAPES) <= 4096
