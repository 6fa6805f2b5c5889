"""Where a bar stands is when its phase was."""

from __future__ import annotations

import pytest

from exporter.model import Phases
from exporter.reasons import Document, Phase
from exporter.waterfall import Bar, Scale, bars, scale
from tests.builders import failure, fetch, issuer, report


def bar(start: float, seconds: float) -> Bar:
    return Bar(document=Document.JWKS, phase=Phase.TLS, start_seconds=start, seconds=seconds)


def ruler(**changes) -> Scale:
    return Scale(**{"cells": 11, "span_seconds": 11.0, "budget_seconds": 10.0, **changes})


@pytest.mark.parametrize(
    ("start", "seconds", "line"),
    [
        (0, 3, "███       │"),
        (2, 3, "  ███     │"),
        (2, 2.5, "  ██▌     │"),
        (0, 0.001, "▏         │"),
        (4.25, 0.25, "    ▌     │"),
        (9, 2, "         ██"),
        (0, 11, "███████████"),
        (10.99, 5, "          █"),
        (99, 1, "          █"),
    ],
)
def test_a_bar_begins_and_ends_where_its_phase_did(start, seconds, line):
    assert ruler().draw(bar(start, seconds)) == line


def test_without_block_characters_a_bar_is_made_of_hashes():
    assert ruler(is_ascii=True).draw(bar(2, 2.6)) == "  ###     |"
    assert ruler(is_ascii=True).draw(bar(2, 0.1)) == "  #       |"


@pytest.mark.parametrize("start", [0, 0.3, 4.99, 5, 12])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_every_line_is_as_wide_as_the_scale(start, is_ascii):
    for seconds in (0, 0.01, 1 / 3, 2, 30):
        assert len(ruler(is_ascii=is_ascii).draw(bar(start, seconds))) == 11


def test_the_ruler_ends_where_the_budget_does():
    wide = ruler(cells=22, span_seconds=11.0)

    assert wide.ruler() == "0 s               10 s"[: wide.budget_cell - 3] + "10 s"
    assert len(wide.ruler()) == wide.budget_cell + 1


def test_the_ruler_of_a_tiny_budget_is_still_legible():
    assert ruler(budget_seconds=0.1).ruler() == "0 s 0.1 s"


def test_the_scale_holds_the_budget_and_everything_beyond_it():
    quick, late = report(), report(fetches=(fetch(phases=Phases(processing=7.0)),))

    assert scale(quick, 40).span_seconds == 5
    assert scale(late, 40).span_seconds == 7
    assert scale(report(fetches=()), 40).span_seconds == 5
    assert scale(report(issuer=issuer(budget_seconds=2)), 40).budget_seconds == 2


def test_the_second_fetch_begins_where_the_first_one_ended():
    probe = report(
        fetches=(
            fetch(duration_seconds=0.5, phases=Phases(resolve=0.2, connect=0.3)),
            fetch(Document.JWKS, phases=Phases(processing=0.1)),
        )
    )

    assert [(b.phase, b.start_seconds, b.seconds) for b in bars(probe)] == [
        (Phase.RESOLVE, 0.0, 0.2),
        (Phase.CONNECT, 0.2, 0.3),
        (Phase.PROCESSING, 0.5, 0.1),
    ]


def test_a_fetch_fails_in_the_last_phase_it_came_to():
    stopped = fetch(phases=Phases(resolve=0.1, connect=0.2), failure=failure())

    assert [b.has_failed for b in bars(report(fetches=(stopped,)))] == [False, True]
    assert not any(b.has_failed for b in bars(report()))
