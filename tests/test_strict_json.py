"""What the parser lets through, compared with what was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.reasons import Reason
from exporter.strict_json import MOST_PARTS, Malformed, read_object

TEXT = st.text(st.characters(), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def read(text: str) -> dict[str, object] | Malformed:
    return read_object(text.encode(), is_called_html=False)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.sampled_from([None, 1]))
def test_an_object_comes_back_as_it_was_written(value, indent):
    """Lone surrogates, controls and all, as long as they are written as escapes."""
    assert read(json.dumps(value, indent=indent)) == value


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_is_let_in_and_not_worked_out(number):
    assert read(json.dumps({"a": number, "b": [number]})) == {"a": 0.0, "b": [0.0]}


@given(st.dictionaries(TEXT, VALUES, min_size=1), st.integers(min_value=1))
def test_a_text_that_was_cut_off_is_no_object(value, cut):
    text = json.dumps(value)

    assert isinstance(read(text[: -1 - cut % len(text)]), Malformed)


@pytest.mark.parametrize(("parts", "is_read"), [(MOST_PARTS, True), (MOST_PARTS + 1, False)])
def test_a_text_of_many_parts_is_not_read(parts, is_read):
    items = ",".join(["1"] * (parts - 1))  # with the commas, two brackets and one brace less

    seen = read(f'{{"a": [{items}]}}')

    assert isinstance(seen, dict) is is_read
    assert is_read or seen == Malformed(
        Reason.INVALID_JSON, f"it has more than {MOST_PARTS} parts: not read"
    )
