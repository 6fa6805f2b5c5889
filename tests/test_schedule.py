"""When probes happen, told by a clock that jumps."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from exporter.config import Limits
from exporter.deadlines import offset_seconds
from exporter.guard import Caps, Clock
from exporter.reasons import Reason, SkipCause, Stage
from tests import builders
from tests.scheduling import (
    EPOCH,
    FAILURE,
    WIDE,
    Far,
    failing,
    issuers,
    limited,
    now,
    schedule,
)
from tests.virtual_time import VirtualLoop, in_virtual_time

if TYPE_CHECKING:
    from exporter.model import Issuer, Report


@in_virtual_time
async def test_the_first_probes_are_spread_over_the_interval() -> None:
    """A burst of probes would be measured as latency, and felt by the issuers."""
    stage = schedule()
    await stage.scheduler.update(issuers(100), WIDE)

    await asyncio.sleep(60)

    starts = sorted(start for line in stage.far.starts.values() for start in line)
    assert len(starts) == 100
    assert max(b - a for a, b in pairwise(starts)) < 6
    assert stage.far.most_running < 5
    await stage.scheduler.close()


@in_virtual_time
async def test_the_first_round_begins_with_the_first_configuration() -> None:
    """A slow start must not cost those whose place is at its very beginning an interval."""
    stage = schedule()
    await asyncio.sleep(59)
    await stage.scheduler.update(issuers(100), WIDE)

    await asyncio.sleep(60)

    assert {name: starts[0] for name, starts in stage.far.starts.items()} == {
        issuer.name: pytest.approx(59 + offset_seconds(issuer)) for issuer in issuers(100)
    }
    await stage.scheduler.close()


@in_virtual_time
async def test_deadlines_do_not_drift_however_long_a_probe_takes() -> None:
    acme = builders.issuer(interval_seconds=10)
    stage = schedule(Far(seconds=3.7))
    await stage.scheduler.update([acme], WIDE)

    await asyncio.sleep(20_000)

    starts = stage.far.starts["acme"]
    place = offset_seconds(acme)
    assert len(starts) == 2_000
    assert starts == [pytest.approx(place + 10 * k, abs=1e-6) for k in range(2_000)]
    assert stage.book.skips == []
    await stage.scheduler.close()


@in_virtual_time
async def test_a_tick_missed_to_a_slow_probe_is_skipped_and_counted() -> None:
    acme = builders.issuer(interval_seconds=5, timeout_seconds=12)
    stage = schedule(Far(seconds=12))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)

    await asyncio.sleep(place + 29)

    assert stage.far.starts["acme"] == pytest.approx([place, place + 15])
    assert stage.book.skips == [
        (pytest.approx(place + 12), SkipCause.OVERRUN, 2),
        (pytest.approx(place + 27), SkipCause.OVERRUN, 2),
    ]
    await stage.scheduler.close()


@in_virtual_time
async def test_a_delay_is_measured_from_the_deadline() -> None:
    """A loop that is held until long after the deadline starts the probe late, and says so."""
    acme = builders.issuer()
    stage = schedule()
    await stage.scheduler.update([acme], WIDE)
    await asyncio.sleep(offset_seconds(acme) - 1)

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.block(4)
    await asyncio.sleep(1)

    assert stage.book.delays == [pytest.approx(3)]
    await stage.scheduler.close()


@in_virtual_time
async def test_the_total_cap_holds_and_waiting_for_it_counts_as_delay() -> None:
    limits = Limits(concurrency=2, concurrency_per_host=1000)
    stage = schedule(Far(seconds=8), limits=limits)
    await stage.scheduler.update(issuers(10), limits)

    await asyncio.sleep(60)

    assert stage.far.most_running == 2
    assert max(stage.book.delays) > 1
    await stage.scheduler.close()


@in_virtual_time
async def test_the_cap_per_host_holds_and_keeps_no_place_from_other_hosts() -> None:
    """With places for ten, ten issuers of one stuck host may not stop a neighbour."""
    limits = Limits(concurrency=2, concurrency_per_host=1)
    slow = Far(seconds=59, answer=failing)
    stage = schedule(slow, limits=limits)
    neighbour = builders.issuer(
        name="neighbour", url="https://other.example.com", timeout_seconds=60
    )
    await stage.scheduler.update([*issuers(10), neighbour], limits)

    await asyncio.sleep(60)

    assert stage.far.most_running == 2
    assert stage.far.starts["neighbour"] == pytest.approx([offset_seconds(neighbour)])
    await stage.scheduler.close()


@in_virtual_time
async def test_an_url_that_cannot_be_read_has_a_host_of_its_own() -> None:
    limits = Limits(concurrency=9, concurrency_per_host=1)
    stage = schedule(Far(seconds=59), limits=limits)
    broken = [replace(issuer, url=f"https://[{issuer.name}") for issuer in issuers(3)]
    await stage.scheduler.update(broken, limits)

    await asyncio.sleep(60)

    assert stage.far.most_running == 3
    await stage.scheduler.close()


@in_virtual_time
async def test_a_failing_issuer_has_its_own_interval_and_returns_to_its_place() -> None:
    state: dict[str, Any] = {"failure": FAILURE}
    acme = builders.issuer(interval_failing_seconds=7)
    stage = schedule(Far(answer=lambda *_: state))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)

    await asyncio.sleep(place + 22)
    state.clear()
    await asyncio.sleep(110)

    assert stage.far.starts["acme"] == pytest.approx(
        [place + s for s in (0, 7, 14, 21, 28, 60, 120)]
    )
    await stage.scheduler.close()


@in_virtual_time
async def test_a_failure_is_confirmed_by_further_attempts_with_growing_pauses() -> None:
    acme = builders.issuer(attempts=4)
    stage = schedule(Far(seconds=1, answer=failing))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)

    await asyncio.sleep(place + 30)

    assert stage.far.starts["acme"] == pytest.approx([place + s for s in (0, 1.5, 3.5, 6.5)])
    assert [(r.attempt, final) for r, final in stage.book.reports] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]
    assert len(stage.book.delays) == 1
    await stage.scheduler.close()


@in_virtual_time
async def test_pauses_between_attempts_are_drawn_by_chance() -> None:
    """Full jitter: exporters that fail together do not come back together."""
    acme = builders.issuer(attempts=2)
    stage = schedule(Far(seconds=1, answer=failing), share=0.25)
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)

    await asyncio.sleep(place + 30)

    assert stage.far.starts["acme"] == pytest.approx([place, place + 1.125])
    await stage.scheduler.close()


@in_virtual_time
async def test_a_good_attempt_ends_the_tick() -> None:
    acme = builders.issuer(attempts=5)
    answer = {1: {"failure": FAILURE}, 2: {}}
    stage = schedule(Far(answer=lambda _, attempt: answer[attempt]))
    await stage.scheduler.update([acme], WIDE)

    await asyncio.sleep(61)

    assert [(r.is_success, final) for r, final in stage.book.reports] == [
        (False, False),
        (True, True),
    ]
    await stage.scheduler.close()


@in_virtual_time
async def test_attempts_stop_when_the_next_tick_is_due() -> None:
    acme = builders.issuer(attempts=100, interval_seconds=5, interval_failing_seconds=5)
    stage = schedule(Far(seconds=1, answer=failing))
    await stage.scheduler.update([acme], WIDE)

    await asyncio.sleep(offset_seconds(acme) + 14.9)

    assert [r.attempt for r, _ in stage.book.reports] == [1, 2, 3] * 3
    assert [final for _, final in stage.book.reports] == [False, False, True] * 3
    assert stage.book.skips == []
    await stage.scheduler.close()


@in_virtual_time
async def test_an_issuer_that_asks_to_be_left_alone_is_left_alone() -> None:
    """Neither ticks nor attempts reach it, and every tick withheld is counted."""
    acme = builders.issuer(attempts=3)
    stage = schedule(Far(answer=limited(150)))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)

    await asyncio.sleep(place + 200)

    assert stage.far.starts["acme"] == pytest.approx([place, place + 180])
    assert stage.book.skips == [
        (pytest.approx(place + 60), SkipCause.RETRY_AFTER, 1),
        (pytest.approx(place + 120), SkipCause.RETRY_AFTER, 1),
    ]
    assert [final for _, final in stage.book.reports] == [True, True]
    await stage.scheduler.close()


@in_virtual_time
async def test_a_date_that_has_passed_holds_nothing_back() -> None:
    acme = builders.issuer(attempts=2)
    stage = schedule(Far(answer=limited(-5)))
    await stage.scheduler.update([acme], WIDE)

    await asyncio.sleep(offset_seconds(acme) + 59)

    assert len(stage.far.starts["acme"]) == 2
    await stage.scheduler.close()


@in_virtual_time
async def test_a_changed_entry_does_not_lift_what_the_issuer_asked_for() -> None:
    acme = builders.issuer()
    stage = schedule(Far(answer=limited(150)))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)
    await asyncio.sleep(place + 10)

    await stage.scheduler.update([replace(acme, labels=(("team", "a"),))], WIDE)
    await asyncio.sleep(100)
    assert len(stage.far.starts["acme"]) == 1

    await stage.scheduler.update([replace(acme, url="https://moved.example.com")], WIDE)
    await asyncio.sleep(20)
    assert stage.far.starts["acme"] == pytest.approx([place, place + 120])
    await stage.scheduler.close()


@in_virtual_time
async def test_another_name_does_not_lift_what_the_issuer_asked_for() -> None:
    acme = builders.issuer()
    stage = schedule(Far(answer=limited(150)))
    await stage.scheduler.update([acme], WIDE)
    await asyncio.sleep(offset_seconds(acme) + 10)

    renamed = replace(acme, name="renamed")
    await stage.scheduler.update([renamed], WIDE)
    await asyncio.sleep(130)

    assert stage.far.starts["renamed"] == []
    until = EPOCH + offset_seconds(acme) + 0.1 + 150
    assert stage.book.holds == {"renamed": pytest.approx(until)}
    await asyncio.sleep(80)
    assert len(stage.far.starts["renamed"]) == 1
    await stage.scheduler.close()


@in_virtual_time
async def test_names_that_change_places_leave_each_issuer_what_it_asked_for() -> None:
    acme, other = builders.issuer(), builders.issuer(name="other", url="https://other.example")
    stage = schedule(Far(answer=lambda i, n: limited(150)(i, n) if i.url == acme.url else {}))
    await stage.scheduler.update([acme, other], WIDE)
    await asyncio.sleep(60)

    swapped = replace(acme, name="other"), replace(other, name="acme")
    await stage.scheduler.update(swapped, WIDE)
    await asyncio.sleep(60)

    assert [len(stage.far.starts[name]) for name in ("other", "acme")] == [1, 2]
    await stage.scheduler.close()


@in_virtual_time
async def test_a_changed_entry_of_a_failing_issuer_is_probed_as_one_that_fails() -> None:
    """The interval while it fails is the one that the metrics show and the alerts count on."""
    acme = builders.issuer(interval_seconds=3600, interval_failing_seconds=10)
    stage = schedule(Far(answer=failing))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)
    await asyncio.sleep(place + 24)

    await stage.scheduler.update([replace(acme, labels=(("team", "a"),))], WIDE)
    assert stage.scheduler.waiting() == ()
    await asyncio.sleep(20)

    assert stage.far.starts["acme"] == pytest.approx([place + s for s in (0, 10, 20, 30, 40)])
    await stage.scheduler.close()


@in_virtual_time
async def test_a_shorter_interval_for_those_that_fail_holds_at_once() -> None:
    acme = builders.issuer(interval_seconds=3600, interval_failing_seconds=1800)
    stage = schedule(Far(answer=failing))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)
    await asyncio.sleep(place + 5)

    await stage.scheduler.update([replace(acme, interval_failing_seconds=10)], WIDE)
    await asyncio.sleep(15)

    assert stage.far.starts["acme"] == pytest.approx([place, place + 15])
    await stage.scheduler.close()


@in_virtual_time
async def test_reloads_again_and_again_do_not_keep_a_failing_issuer_from_being_probed() -> None:
    acme = builders.issuer(interval_seconds=3600, interval_failing_seconds=10)
    stage = schedule(Far(answer=failing))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)
    await asyncio.sleep(place + 1)

    for number in range(6):
        await stage.scheduler.update([replace(acme, labels=(("n", str(number)),))], WIDE)
        await asyncio.sleep(5)

    assert stage.far.starts["acme"] == pytest.approx([place + s for s in (0, 10, 20, 30)])
    await stage.scheduler.close()


@in_virtual_time
async def test_a_bug_costs_one_probe_and_is_logged_and_counted() -> None:
    acme = builders.issuer()

    def answer(_issuer: Issuer, _attempt: int) -> dict[str, Any]:
        return {} if len(stage.far.starts["acme"]) > 1 else {"nonsense": 1}

    stage = schedule(Far(answer=answer))
    await stage.scheduler.update([acme], WIDE)
    with capture_logs() as logs:
        await asyncio.sleep(120)

    first, second = (report for report, _ in stage.book.reports)
    assert first.failure is not None
    assert (first.failure.stage, first.failure.reason) == (Stage.INTERNAL, Reason.ERROR)
    assert "TypeError" in first.failure.detail
    assert second.is_success
    assert (first.ended_timestamp_seconds, first.duration_seconds) == pytest.approx(
        (EPOCH + offset_seconds(acme) + 0.1, 0.1)
    )
    assert stage.book.panics == 1
    assert [(line["event"], line["issuer"]) for line in logs] == [("probe.panicked", "acme")]
    assert isinstance(logs[0]["exc_info"], TypeError)
    await stage.scheduler.close()


@in_virtual_time
async def test_a_cancellation_that_leaks_out_of_a_probe_does_not_end_the_line() -> None:
    """Such a task would end in silence: nothing would probe, and nothing would say so."""

    def answer(_issuer: Issuer, _attempt: int) -> dict[str, Any]:
        raise asyncio.CancelledError

    acme = builders.issuer()
    stage = schedule(Far(answer=answer))
    await stage.scheduler.update([acme], WIDE)
    with capture_logs():
        await asyncio.sleep(120)

    assert stage.book.panics == len(stage.far.starts["acme"]) == 2
    await stage.scheduler.close()


@in_virtual_time
async def test_a_bug_is_an_attempt_like_any_other() -> None:
    acme = builders.issuer(attempts=2)
    stage = schedule(Far(answer=lambda *_: {"nonsense": 1}))
    await stage.scheduler.update([acme], WIDE)
    with capture_logs():
        await asyncio.sleep(offset_seconds(acme) + 10)

    assert [(r.attempt, final) for r, final in stage.book.reports] == [(1, False), (2, True)]
    await stage.scheduler.close()


def test_hosts_that_are_no_longer_configured_are_forgotten() -> None:
    """Or a long life with changing lists would be a slow leak."""
    caps = Caps(WIDE)
    for issuer in hosts("a", "b"):
        asyncio.run(pass_through(caps, issuer))

    kept = caps.following(WIDE, hosts("b", "c"))

    assert kept is caps
    assert set(caps._hosts) == {"b"}


def hosts(*names: str) -> list[Issuer]:
    return [builders.issuer(name=name, url=f"https://{name}") for name in names]


async def pass_through(caps: Caps, issuer: Issuer) -> None:
    async with caps.slot(issuer):
        pass


@in_virtual_time
async def test_a_probe_that_never_ends_is_ended() -> None:
    acme = builders.issuer()
    stage = schedule(Far(seconds=math.inf))
    await stage.scheduler.update([acme], WIDE)
    with capture_logs():
        await asyncio.sleep(offset_seconds(acme) + 59)

    (report, _), *others = stage.book.reports
    assert others == []
    assert report.failure is not None
    assert report.failure.stage is Stage.INTERNAL
    assert report.duration_seconds == pytest.approx(30)
    await stage.scheduler.close()


@in_virtual_time
async def test_a_bug_in_the_book_does_not_end_the_line() -> None:
    acme = builders.issuer()
    stage = schedule()

    def record(_report: Report, *, is_final: bool) -> None:
        raise ZeroDivisionError(is_final)

    stage.book.record = record  # type: ignore[method-assign,assignment]
    await stage.scheduler.update([acme], WIDE)
    with capture_logs() as logs:
        await asyncio.sleep(120)

    assert len(stage.far.starts["acme"]) == 2
    assert stage.book.panics == 2
    assert [line["event"] for line in logs] == ["book.panicked"] * 2
    await stage.scheduler.close()


@in_virtual_time
async def test_an_unchanged_issuer_keeps_its_probe_its_state_and_its_place() -> None:
    acme = builders.issuer()
    stage = schedule(Far(seconds=10))
    await stage.scheduler.update([acme], WIDE)
    place = offset_seconds(acme)
    await asyncio.sleep(place + 5)

    limits = Limits(concurrency=3, concurrency_per_host=3)
    other = builders.issuer(name="other")
    await stage.scheduler.update([other, builders.issuer()], limits)
    await stage.scheduler.update([other, builders.issuer()], limits)
    await asyncio.sleep(62)

    assert stage.far.starts["acme"] == pytest.approx([place, place + 60])
    assert len([r for r, _ in stage.book.reports if r.issuer == acme]) == 1
    assert len(stage.far.starts["other"]) == 1
    await stage.scheduler.close()


@in_virtual_time
async def test_a_changed_issuer_starts_anew_and_a_removed_one_stops() -> None:
    changed = builders.issuer(name="changed", timeout_seconds=60)
    removed = builders.issuer(name="removed", timeout_seconds=60)
    stage = schedule(Far(seconds=59))
    await stage.scheduler.update([changed, removed], WIDE)
    await asyncio.sleep(60)
    assert stage.scheduler.in_flight == 2

    slower = replace(changed, interval_seconds=100.0)
    await stage.scheduler.update([slower], WIDE)
    assert stage.scheduler.in_flight == 0
    await asyncio.sleep(300)

    first, *rest = stage.far.starts["changed"]
    assert first == pytest.approx(offset_seconds(changed))
    assert rest == pytest.approx([offset_seconds(slower) + 100 * k for k in rest_ticks(slower)])
    assert len(stage.far.starts["removed"]) == 1
    assert {r.issuer for r, _ in stage.book.reports} == {slower}
    await stage.scheduler.close()


def rest_ticks(issuer: Issuer) -> list[int]:
    place = offset_seconds(issuer)
    return [k for k in range(10) if 60 <= place + 100 * k < 360]


@in_virtual_time
async def test_lower_limits_hold_for_probes_that_begin_after_them() -> None:
    stage = schedule(Far(seconds=5))
    await stage.scheduler.update(issuers(200), WIDE)
    await asyncio.sleep(60)
    assert stage.far.most_running > 3
    stage.far.most_running = 0

    limits = Limits(concurrency=3, concurrency_per_host=1000)
    await stage.scheduler.update(issuers(200), limits)
    await asyncio.sleep(6)
    stage.far.most_running = 0
    await asyncio.sleep(60)

    assert stage.far.most_running == 3
    await stage.scheduler.close()


@in_virtual_time
async def test_closing_cancels_probes_in_flight_and_waits_for_them() -> None:
    stage = schedule(Far(seconds=50))
    await stage.scheduler.update(issuers(50), WIDE)
    await asyncio.sleep(30)
    assert stage.scheduler.in_flight == stage.far.running > 10
    closed_at = now()

    await stage.scheduler.close()

    assert (stage.scheduler.in_flight, stage.far.running) == (0, 0)
    assert now() == closed_at
    assert len(asyncio.all_tasks()) == 1
    await stage.scheduler.close()


@in_virtual_time
async def test_no_configuration_is_followed_after_the_end() -> None:
    """One that is being read when the end comes would set every probe going again."""
    acme = builders.issuer()
    stage = schedule(Far(seconds=50))
    await stage.scheduler.update([acme], WIDE)
    await asyncio.sleep(60)

    late = asyncio.create_task(stage.scheduler.update([replace(acme, name="late")], WIDE))
    await asyncio.sleep(0)
    await stage.scheduler.close()
    await late
    await stage.scheduler.update([acme], WIDE)
    await asyncio.sleep(120)

    assert len(stage.far.starts["acme"]) == 1
    assert "late" not in stage.far.starts
    await stage.scheduler.close()


@in_virtual_time
async def test_a_probe_that_will_not_end_is_named_and_not_waited_for() -> None:
    acme = builders.issuer()
    is_over = asyncio.Event()

    class Deaf(Far):
        async def probe(self, issuer: Issuer, attempt: int) -> Report:
            self.starts[issuer.name].append(now())
            while not is_over.is_set():
                try:
                    await is_over.wait()
                except asyncio.CancelledError:
                    continue
            return builders.report(issuer=issuer, attempt=attempt)

    stage = schedule(Deaf())
    await stage.scheduler.update([acme], WIDE)
    await asyncio.sleep(61)
    closed_at = now()
    with capture_logs() as logs:
        await stage.scheduler.close()

    assert now() - closed_at < 1
    assert [(line["event"], line["task"]) for line in logs] == [
        ("schedule.stuck", "probe acme")
    ]
    is_over.set()


@in_virtual_time
async def test_the_first_round_is_over_when_every_issuer_has_a_report() -> None:
    first, second = sorted(issuers(2), key=offset_seconds)
    stage = schedule()
    await stage.scheduler.update([first, second], WIDE)
    assert set(stage.scheduler.waiting()) == {first.name, second.name}

    await asyncio.sleep(offset_seconds(first) + 0.2)
    assert stage.scheduler.waiting() == (second.name,)

    await asyncio.sleep(offset_seconds(second) - offset_seconds(first))
    assert stage.scheduler.waiting() == ()
    await stage.scheduler.close()


@in_virtual_time
async def test_an_issuer_that_hangs_is_waited_for_until_its_timeout() -> None:
    acme = builders.issuer()
    stage = schedule(Far(seconds=25))
    await stage.scheduler.update([acme], WIDE)

    await asyncio.sleep(offset_seconds(acme) + 9)
    assert stage.scheduler.waiting() == ("acme",)
    await asyncio.sleep(2)
    assert stage.scheduler.waiting() == ()
    await stage.scheduler.close()


@in_virtual_time
async def test_issuers_that_join_later_do_not_reopen_the_first_round() -> None:
    stage = schedule()
    await stage.scheduler.update([], WIDE)
    assert stage.scheduler.waiting() == ()

    await stage.scheduler.update(issuers(3), WIDE)

    assert stage.scheduler.waiting() == ()
    await stage.scheduler.close()


def test_by_default_the_clocks_are_the_systems() -> None:
    clock = Clock()

    assert clock.wall() > 1.7e9
    assert 0 <= clock.random() < 1
    assert clock.now() > 0
