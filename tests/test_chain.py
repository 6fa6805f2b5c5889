"""In which order certificates are served, and which of them nobody needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.chain import extras, is_out_of_order, needed
from tests.builders import certificate

if TYPE_CHECKING:
    from exporter.model import Certificate


def one(subject: str, issuer: str, mark: str = "") -> Certificate:
    return certificate(
        subject=subject,
        issuer=issuer,
        is_self_issued=subject == issuer,
        sha256=f"{subject}<{issuer}{mark}",
    )


LEAF, LOW, HIGH, ROOT = (
    one("leaf", "low"),
    one("low", "high"),
    one("high", "root"),
    one("root", "root"),
)
CROSS = one("root", "older root")
STRANGER = one("elsewhere", "nowhere")


@pytest.mark.parametrize(
    ("chain", "is_wrong", "spare"),
    [
        ([], False, 0),
        ([LEAF], False, 0),
        ([one("self", "self")], False, 0),
        ([LEAF, LOW], False, 0),
        ([LEAF, LOW, HIGH], False, 0),
        ([LEAF, LOW, HIGH, ROOT], False, 0),  # the root may be there
        ([LEAF, LOW, HIGH, CROSS], False, 0),  # as Let's Encrypt had it
        ([LEAF, HIGH, LOW], True, 0),
        ([LEAF, ROOT, HIGH, LOW], True, 0),
        ([LEAF, LOW, ROOT, HIGH], True, 0),
        ([LEAF, LOW, LOW], False, 1),
        ([LEAF, LEAF], False, 1),
        ([LEAF, LOW, HIGH, LOW], False, 1),
        ([LEAF, LOW, STRANGER], False, 1),
        ([LEAF, STRANGER, LOW, HIGH], False, 1),
        ([LEAF, STRANGER, HIGH, LOW], True, 1),
        ([LEAF, HIGH], False, 1),  # without the link between them it leads nowhere
        ([LEAF, LOW, HIGH, CROSS, ROOT], False, 1),
        ([ROOT, LEAF, LOW], False, 2),  # a root that took the leaf's place needs nobody
        ([one("a", "b"), one("b", "a")], False, 0),  # a ring ends
        ([one("a", "b"), one("b", "a"), one("b", "c")], False, 1),
    ],
    ids=lambda value: " ".join(c.subject for c in value) if isinstance(value, list) else None,
)
def test_a_chain_runs_from_the_leaf_upwards(chain, is_wrong, spare):
    assert (is_out_of_order(chain), extras(chain)) == (is_wrong, spare)


def until(subject: str, issuer: str, end: float, key: str = "key") -> Certificate:
    return replace(
        one(subject, issuer, f"{key}{end}"),
        not_after_timestamp_seconds=end,
        public_key_sha256=f"{subject}'s {key}",
    )


OLD_ROOT = until("old", "old", 1)


@pytest.mark.parametrize(
    ("rest", "ends"),
    [
        ([], []),
        ([until("low", "root", 9)], [9]),
        ([until("low", "high", 9), until("high", "root", 5)], [9, 5]),
        ([until("low", "root", 9), until("elsewhere", "nowhere", 1)], [9]),
        ([until("low", "root", 9), until("low", "root", 1)], [9]),
        ([until("low", "root", 1), until("low", "root", 9)], [9]),
        ([until("low", "older root", 1), until("low", "root", 9)], [9]),
        # Of another key it is another authority, and the one served first is believed.
        ([until("low", "root", 9), until("low", "root", 12, "new key")], [9]),
        # A root that was once signed by an older one, which has expired since.
        ([until("low", "r", 9), until("r", "old", 1), OLD_ROOT], [9, 1, 1]),
        (
            [until("low", "r", 9), until("r", "old", 1), OLD_ROOT, until("r", "r", 12)],
            [9, 12],
        ),
        ([until("elsewhere", "nowhere", 3), until("high", "root", 2)], [3, 2]),
    ],
    ids=range(11),
)
def test_of_those_above_the_leaf_the_ones_that_it_needs_are_known(rest, ends):
    """An expired twin that a server hands out beside the good one ends nothing."""
    found = needed([LEAF, *rest])

    assert [certificate.not_after_timestamp_seconds for certificate in found] == ends


def test_what_openssl_went_by_is_what_is_needed():
    """A root that is trusted itself needs no older one, whatever its signature says."""
    low, cross, spare = until("low", "r", 9), until("r", "old", 1), until("low", "r", 2)
    verified = (LEAF.sha256, low.sha256, "the root, which nobody served")

    assert needed([LEAF, spare, low, cross, OLD_ROOT], verified) == [low]
    assert needed([LEAF, cross], (LEAF.sha256, "the root, which nobody served")) == []


NAMES = st.sampled_from("abcd")


@given(st.lists(st.builds(one, NAMES, NAMES, NAMES), max_size=8))
def test_any_chain_is_judged(chain):
    assert len(needed(chain)) < max(len(chain), 1)
    assert 0 <= extras(chain) < max(len(chain), 1)
    assert not (is_out_of_order(chain) and len(chain) - extras(chain) < 3)
