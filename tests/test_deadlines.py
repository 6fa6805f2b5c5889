"""The arithmetic of the schedule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.deadlines import Grid, offset_seconds, pause_seconds
from tests import builders

INTERVALS = st.floats(1.0, 86_400.0)


def grid(**changes: float) -> Grid:
    return Grid(
        **{"start": 7.0, "interval_seconds": 60.0, "interval_failing_seconds": 10.0, **changes}
    )


def test_an_issuer_keeps_its_place_over_restarts_and_python_versions() -> None:
    """Python's own hash is salted anew in every process; this number may never change."""
    assert offset_seconds(builders.issuer(name="acme", interval_seconds=60)) == pytest.approx(
        30.508302, abs=1e-6
    )


def test_offsets_fill_the_interval_evenly() -> None:
    tenths = [0] * 10
    for number in range(10_000):
        issuer = builders.issuer(name=f"issuer-{number}", interval_seconds=10)
        tenths[int(offset_seconds(issuer))] += 1

    assert min(tenths) > 900
    assert max(tenths) < 1100


@pytest.mark.parametrize(
    ("now", "first"),
    [(0, 7), (7, 7), (7.001, 67), (67, 67), (67.001, 127), (6_006, 6_007)],
)
def test_the_first_deadline_is_not_before_now(now: float, first: float) -> None:
    assert grid().first(now) == first


@pytest.mark.parametrize(
    ("deadline", "is_failing", "following"),
    [
        (7, False, 67),
        (67, False, 127),
        (7, True, 17),
        (17, True, 27),
        (27, False, 67),  # recovered: back to the grid
    ],
)
def test_deadlines_leave_the_grid_only_while_the_issuer_fails(
    deadline: float,
    is_failing: bool,  # noqa: FBT001
    following: float,
) -> None:
    assert grid().following(deadline, is_failing=is_failing) == following


@pytest.mark.parametrize(
    ("deadline", "now", "is_failing", "expected"),
    [
        (67, 60, False, (0, 67)),
        (67, 67, False, (0, 67)),
        (67, 67.1, False, (1, 127)),
        (67, 127, False, (1, 127)),
        (67, 190, False, (3, 247)),
        (17, 40, True, (3, 47)),
    ],
)
def test_missed_deadlines_are_counted_and_jumped_over(
    deadline: float,
    now: float,
    is_failing: bool,  # noqa: FBT001
    expected: tuple[int, float],
) -> None:
    assert grid().missed(deadline, now, is_failing=is_failing) == expected


@given(start=st.floats(0, 1e6), interval=INTERVALS, ticks=st.integers(1, 1000))
def test_no_deadline_is_lost_or_repeated_to_rounding(
    start: float, interval: float, ticks: int
) -> None:
    line = grid(start=start, interval_seconds=interval)
    deadline = line.first(start)

    for _ in range(ticks):
        deadline = line.following(deadline, is_failing=False)

    assert deadline == pytest.approx(start + ticks * interval, rel=1e-12)


@given(
    deadline=st.floats(0, 1e6),
    interval=INTERVALS,
    late=st.floats(0, 1e6),
    is_failing=st.booleans(),
)
def test_the_deadline_after_the_missed_ones_is_not_in_the_past(
    deadline: float,
    interval: float,
    late: float,
    is_failing: bool,  # noqa: FBT001
) -> None:
    line = grid(interval_seconds=interval, interval_failing_seconds=interval)

    _, following = line.missed(deadline, deadline + late, is_failing=is_failing)

    assert deadline + late - interval * 1e-5 <= following <= deadline + late + interval


@pytest.mark.parametrize(
    ("attempt", "share", "seconds"),
    [(1, 1.0, 0.5), (2, 1.0, 1.0), (3, 1.0, 2.0), (4, 0.5, 2.0), (5, 1.0, 5.0), (3, 0.0, 0.0)],
)
def test_pauses_are_a_share_of_a_range_that_doubles(
    attempt: int, share: float, seconds: float
) -> None:
    assert pause_seconds(attempt, share) == seconds


def test_the_longest_pause_is_capped_however_many_attempts_there_are() -> None:
    assert pause_seconds(10_000, 1.0) == 5.0
