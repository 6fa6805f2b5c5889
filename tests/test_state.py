"""What is remembered from report to report: since when, how often, and how keys rotate."""

from __future__ import annotations

import pytest

from exporter.state import EDGES_SECONDS, Latency, Rotation, State
from tests.builders import NOW, failure, issuer, key, key_set, report

HOUR = 3600.0


def read(*moments, overlap_seconds=HOUR):
    """A rotation after reading these sets of keys, given as (seconds, "a b c")."""
    rotation = Rotation()
    for seconds, ids in moments:
        rotation.read(frozenset(ids.split()), at=NOW + seconds, overlap_seconds=overlap_seconds)
    return rotation


@pytest.mark.parametrize(
    ("moments", "changes", "removed_early"),
    [
        pytest.param([(0, "a")], 0, 0, id="the first read is no change"),
        pytest.param([(0, "a b"), (60, "b a")], 0, 0, id="nor is another order"),
        pytest.param([(0, "a"), (60, "a b")], 1, 0, id="a key more"),
        pytest.param([(0, "a"), (60, "b")], 1, 1, id="replaced at once"),
        pytest.param([(0, "a"), (60, "a b"), (1800, "b")], 2, 1, id="half an hour beside it"),
        pytest.param(
            [(0, "a"), (60, "a b"), (3500, "a b"), (3600, "b")], 2, 0, id="an hour beside it"
        ),
        pytest.param(
            [(0, "a"), (60, "a"), (120, "a b"), (3600, "a b"), (3659, "b")],
            2,
            1,
            id="a second less than it may have been",
        ),
        pytest.param(
            [(0, "a b"), (60, "b c")], 1, 0, id="a key of the first read may be any age"
        ),
        pytest.param([(0, "a b c"), (60, "d")], 1, 3, id="every key that went is counted"),
        pytest.param([(0, "a"), (7200, "b")], 1, 0, id="nobody looked for two hours"),
        pytest.param(
            [(0, "a"), (60, "b"), (120, "a"), (180, "b")], 3, 3, id="two replicas disagree"
        ),
        pytest.param([(0, "a"), (60, "")], 1, 1, id="nothing is left"),
        pytest.param(
            [(10_000, "a"), (10_060, "a b"), (20_000, "a b"), (12_000, "b")],
            2,
            0,
            id="the clock was set back",
        ),
        pytest.param([(20_000, "a"), (12_000, "b")], 1, 0, id="and all keys are new"),
        pytest.param(
            [(20_000, "a"), (12_000, "a"), (12_060, "a b"), (12_120, "b")],
            2,
            1,
            id="what comes after that is known",
        ),
    ],
)
def test_rotation_is_counted_and_doubt_is_not(moments, changes, removed_early):
    rotation = read(*moments)

    assert (rotation.changes, rotation.removed_early) == (changes, removed_early)


def test_without_an_overlap_no_key_goes_too_early():
    assert read((0, "a"), (60, "b"), overlap_seconds=0.0).removed_early == 0


def test_the_latest_change_is_dated():
    assert read((0, "a"), (60, "a")).change_timestamp_seconds is None
    assert read((0, "a"), (60, "b"), (90, "b")).change_timestamp_seconds == NOW + 60


def test_a_duration_lies_under_the_edge_it_equals():
    latency = Latency()
    for seconds in (*EDGES_SECONDS, 99.0):
        latency.observe(seconds)

    assert latency.counts == [1] * (len(EDGES_SECONDS) + 1)
    assert latency.sum_seconds == pytest.approx(sum(EDGES_SECONDS) + 99)


def follow(state, *reports):
    for one in reports:
        state.count(one)
        state.follow(one)
    return state


def test_failing_counts_from_the_first_failure_of_the_run():
    state = State(issuer())
    bad = [report(failure=failure(), ended_timestamp_seconds=NOW + n) for n in (1, 2)]

    assert follow(state, report()).failing_since_timestamp_seconds is None
    assert follow(state, *bad).failing_since_timestamp_seconds == NOW + 1
    assert state.success_timestamp_seconds == NOW + 0.3
    assert follow(state, report()).failing_since_timestamp_seconds is None


def test_an_attempt_that_is_to_be_confirmed_is_counted_and_not_shown():
    state = State(issuer())
    state.count(report(failure=failure()))

    assert (state.probes, state.report, state.latency.counts[3]) == (1, None, 1)
    assert sum(state.failures.values()) == 1


def test_keys_are_followed_through_failures():
    """A probe that read no key set says nothing about keys, and forgets nothing."""
    state = follow(
        State(issuer()),
        report(key_set=key_set(key("a"))),
        report(key_set=None, failure=failure()),
        report(key_set=key_set(key("b")), ended_timestamp_seconds=NOW + 60),
    )

    assert (state.rotation.changes, state.rotation.removed_early) == (1, 1)


def test_an_issuers_own_overlap_is_used():
    state = State(issuer(rotation_overlap_seconds=30.0))
    follow(
        state,
        report(key_set=key_set(key("a"))),
        report(key_set=key_set(key("b")), ended_timestamp_seconds=NOW + 60),
    )

    assert state.rotation.removed_early == 0


def test_a_changed_entry_keeps_what_was_learnt():
    state = follow(State(issuer()), report(), report(failure=failure()))
    state.reconfigure(issuer(budget_seconds=1.0))

    assert state.issuer.budget_seconds == 1.0
    assert (state.probes, state.report is None) == (2, False)
    assert state.failing_since_timestamp_seconds is not None


def test_another_url_is_another_issuer_whose_counters_go_on():
    state = follow(
        State(issuer()),
        report(key_set=key_set(key("a"))),
        report(key_set=key_set(key("b"))),
        report(key_set=None, failure=failure()),
    )
    state.reconfigure(issuer(url="https://elsewhere.example.com"))

    assert (state.report, state.success_timestamp_seconds) == (None, None)
    assert state.failing_since_timestamp_seconds is None
    assert state.rotation.change_timestamp_seconds is None
    assert (state.probes, state.rotation.changes) == (3, 1)

    follow(state, report(key_set=key_set(key("c"))))
    assert state.rotation.changes == 1, "the first read of another issuer is no change"


def test_good_counts_from_the_first_success_of_the_run():
    state = State(issuer())
    bad = report(failure=failure(), ended_timestamp_seconds=NOW + 2)
    later = [report(ended_timestamp_seconds=NOW + n) for n in (0, 1, 3, 4)]

    assert follow(state, *later[:2]).good_since_timestamp_seconds == NOW
    assert follow(state, bad).good_since_timestamp_seconds is None
    assert follow(state, *later[2:]).good_since_timestamp_seconds == NOW + 3


def test_another_url_has_another_history():
    state = follow(State(issuer()), report(), report(failure=failure()))
    assert len(state.history.kept) == 2
    assert state.history.kept[0].report is state.report

    state.reconfigure(issuer(url="https://other.example.com"))

    assert (state.history.kept, state.good_since_timestamp_seconds) == ((), None)
