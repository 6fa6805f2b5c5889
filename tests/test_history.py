"""What is kept of an issuer's past, and that it stays small."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.history import (
    HEADER_CHARACTERS,
    MOST_ALIKE,
    MOST_BAD,
    MOST_GOOD,
    MOST_HEADERS,
    MOST_PARTS,
    History,
)
from exporter.reasons import Document, Reason, Stage
from tests import builders, reports

if TYPE_CHECKING:
    from exporter.model import Report

#: Failures of so many kinds that no two in a row are alike.
KINDS = [Reason.REFUSED, Reason.TIMEOUT, Reason.RESET, Reason.UNREACHABLE]


def history(*reports: Report) -> History:
    made = History()
    for report in reports:
        made.add(report)
    return made


def good(number: int = 0) -> Report:
    return builders.report(started_timestamp_seconds=float(number))


def bad(number: int = 0, reason: Reason = Reason.REFUSED, detail: str = "") -> Report:
    failure = builders.failure(Stage.TCP, reason, detail=detail)
    return builders.report(started_timestamp_seconds=float(number), failure=failure)


def starts(made: History) -> list[int]:
    return [int(one.report.started_timestamp_seconds) for one in made.kept]


def test_the_latest_stands_first():
    assert starts(history(good(1), bad(2), good(3))) == [3, 2, 1]


def test_failures_outlive_successes():
    made = history(*(bad(n, KINDS[n % 4]) for n in range(8)), *map(good, range(8, 99)))

    assert starts(made) == [98, 97, 96, 7, 6, 5, 4, 3, 2, 1, 0]


def test_successes_outlive_an_outage_of_many_kinds():
    made = history(good(0), *(bad(n, KINDS[n % 4]) for n in range(1, 30)))

    assert starts(made) == [*range(29, 29 - MOST_BAD, -1), 0]


def test_of_a_run_of_like_failures_the_beginning_and_the_end_are_kept():
    """Their details differ, as times and addresses in them do."""
    made = history(good(0), *(bad(n, detail=f"after {n} s") for n in range(1, 100)))

    assert [(int(k.report.started_timestamp_seconds), k.left_out) for k in made.kept] == [
        (99, 0),
        (98, 96),
        (1, 0),
        (0, 0),
    ]


@pytest.mark.parametrize("between", [good(50), bad(50, Reason.TIMEOUT)])
def test_something_else_in_between_makes_it_two_runs(between: Report):
    run = [bad(n) for n in range(MOST_ALIKE)]
    made = history(*run, between, *run)

    assert len(made.kept) == 2 * MOST_ALIKE + 1


def test_what_is_forgotten_is_gone():
    made = history(good(1))
    made.forget()

    assert made.kept == ()


def test_equal_parts_are_the_same_objects():
    made = history(reports.slow(), reports.slow())
    new, old = (one.report for one in made.kept)

    assert new == old == reports.slow()
    assert new.key_set is old.key_set
    assert new.failure is old.failure
    assert new.findings is old.findings
    for document in Document:
        one, other = new.fetch(document), old.fetch(document)
        assert one is not None
        assert other is not None
        assert one.tls is other.tls
        assert one.headers is other.headers
        assert one.dead_addresses is other.dead_addresses


def test_a_header_that_did_not_change_is_shared_beside_one_that_did():
    same, then, now = ("server", "nginx"), ("date", "then"), ("date", "now")
    first = builders.report(fetches=(builders.fetch(headers=(same, then)),))
    copy = (same[0], same[1][:2] + same[1][2:])
    second = builders.report(fetches=(builders.fetch(headers=(copy, now)),))
    made = history(first, second)
    new, old = (one.report.fetches[0].headers for one in made.kept)

    assert new == (same, now)
    assert new[0] is old[0]


def test_what_was_different_stays_different():
    other = builders.tls(version="TLSv1.2")
    made = history(
        reports.good(), replace(reports.good(), fetches=(builders.fetch(tls=other),))
    )

    assert made.kept[0].report.fetches[0].tls == other


def test_what_is_there_for_the_first_time_is_kept():
    made = history(builders.report(), reports.good(), reports.good())
    newest, newer, _ = (one.report for one in made.kept)

    assert newest.caching == newer.caching == reports.good().caching
    assert newest.caching[1][1].directives is newer.caching[1][1].directives


def test_a_flood_of_headers_is_cut():
    flood = tuple((f"x-{n}", "v" * 60_000) for n in range(1000))
    made = History()
    kept = made.add(builders.report(fetches=(builders.fetch(headers=flood),)))

    headers = kept.fetches[0].headers
    assert len(headers) == MOST_HEADERS
    assert {len(value) for _, value in headers} == {HEADER_CHARACTERS}
    assert headers[0][1].endswith("…")


def test_key_sets_that_fill_memory_shorten_the_history():
    """A new one of the largest size at every probe; the latest is kept in any case."""
    made = History()
    for n in range(9):
        keys = builders.key_set(*(builders.key(f"{n}-{k}") for k in range(MOST_PARTS // 2)))
        made.add(replace(bad(n, KINDS[n % 4]), key_set=keys))
    huge = builders.key_set(*(builders.key(f"{k}") for k in range(2 * MOST_PARTS)))

    assert 1 <= len(made.kept) <= 2
    assert starts(history(good(1), replace(good(2), key_set=huge))) == [2]


@given(st.lists(st.sampled_from([None, *KINDS]), max_size=80))
def test_the_latest_is_always_there_and_the_numbers_hold(run: list[Reason | None]):
    made = history(*(bad(n, r) if r else good(n) for n, r in enumerate(run)))
    failed = [not one.report.is_success for one in made.kept]

    assert starts(made)[:1] == [len(run) - 1][: len(run)]
    assert starts(made) == sorted(starts(made), reverse=True)
    assert failed.count(False) == min(MOST_GOOD, run.count(None))
    assert failed.count(True) <= MOST_BAD
    assert len(made.kept) + sum(one.left_out for one in made.kept) <= len(run)
