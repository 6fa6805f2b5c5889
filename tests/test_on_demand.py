"""Who asks for a probe gets one, or shares one; the schedule hardly feels it."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from exporter.book import Book
from exporter.config import Limits
from exporter.deadlines import offset_seconds
from exporter.guard import Clock
from exporter.on_demand import (
    AmbiguousTargetError,
    OnDemand,
    TooManyCallersError,
    UnknownTargetError,
)
from exporter.reasons import Answer, Reason, SkipCause, Stage
from exporter.schedule import Scheduler
from exporter.store import Store
from tests import builders
from tests.scheduling import EPOCH, WIDE, Far, failing, limited, now
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.model import Issuer
    from exporter.reply import Reply

DAY = 86_400.0


class Desk:
    """Where callers ask, with all that stands behind it but the network."""

    def __init__(self, far: Far, limits: Limits, **options: Any) -> None:
        self.far = far
        self.limits = limits
        self.store = Store()
        clock = Clock(now=now, wall=lambda: EPOCH + now(), random=lambda: 1.0)
        self.scheduler = Scheduler(far.probe, Book(self.store), limits, clock=clock)
        self.on_demand = OnDemand(self.scheduler, self.store, now=now, **options)

    async def follow(self, *issuers: Issuer) -> None:
        await self.scheduler.update(issuers, self.limits)
        self.store.keep(issuers)
        self.on_demand.follow(issuers)

    async def ask(self, issuer: Issuer, seconds: float = 100) -> Reply:
        return await self.on_demand.ask(issuer, allowed_seconds=seconds)

    def begin(self, issuer: Issuer, seconds: float = 100) -> asyncio.Task[Reply]:
        return asyncio.create_task(self.ask(issuer, seconds))

    def counted(self, answer: Answer) -> float:
        samples = self.store.own._requests.labels(answer).collect()
        return next(iter(samples)).samples[0].value

    @property
    def made(self) -> float:
        return self.store.own.on_demand_probes._value.get()  # type: ignore[no-any-return]


@asynccontextmanager
async def desk(
    *issuers: Issuer, far: Far | None = None, limits: Limits = WIDE, **options: Any
) -> AsyncIterator[Desk]:
    made = Desk(far or Far(seconds=1), limits, **options)
    await made.follow(*issuers)
    try:
        with capture_logs():
            yield made
    finally:
        await made.on_demand.close()
        await made.scheduler.close()


def rare(name: str = "acme", **changes: Any) -> Issuer:
    """An issuer whose ticks are so far apart that none comes in between."""
    facts = {"name": name, "interval_seconds": DAY, "interval_failing_seconds": DAY}
    return builders.issuer(**{**facts, "timeout_seconds": 60.0, **changes})


ACME = rare()


@in_virtual_time
async def test_a_thousand_callers_at_once_cause_one_probe() -> None:
    async with desk(ACME, most_callers=1000) as it:
        replies = await asyncio.gather(*(it.ask(ACME) for _ in range(1000)))

        assert it.far.starts == {"acme": [0]}
        assert {reply.answer for reply in replies} == {Answer.PROBED}
        assert len({id(reply.told) for reply in replies}) == 1
        assert replies[0].waited_seconds == pytest.approx(1)
        assert (it.made, it.counted(Answer.PROBED)) == (1, 1000)


@in_virtual_time
async def test_who_comes_later_waits_for_the_rest_of_the_probe_under_way() -> None:
    async with desk(ACME) as it:
        first = it.begin(ACME)
        await asyncio.sleep(0.75)
        second = await it.ask(ACME)

        assert it.far.starts == {"acme": [0]}
        assert second.waited_seconds == pytest.approx(0.25)
        assert second.told is (await first).told


@in_virtual_time
async def test_a_probe_that_has_ended_is_not_handed_out_again() -> None:
    """Who asks wants to know how things are now: no cache, however young."""
    async with desk(ACME) as it:
        await it.ask(ACME)
        await it.ask(ACME)

        assert it.far.starts == {"acme": [0, 1]}


@in_virtual_time
async def test_issuers_do_not_wait_for_each_other() -> None:
    other = rare("other")
    async with desk(ACME, other) as it:
        replies = await asyncio.gather(it.ask(ACME), it.ask(other))

        assert it.far.starts == {"acme": [0], "other": [0]}
        assert [r.told.report.issuer for r in replies if r.told] == [ACME, other]


@in_virtual_time
async def test_one_callers_time_runs_out_and_the_others_get_their_answer() -> None:
    async with desk(ACME, far=Far(seconds=8)) as it:
        patient = it.begin(ACME, 9.5)
        hasty = await it.ask(ACME, 4.5)

        assert (hasty.answer, hasty.told) == (Answer.TIMEOUT, None)
        assert (hasty.waited_seconds, hasty.allowed_seconds) == (4.5, 4.5)
        assert (await patient).answer is Answer.PROBED
        assert it.far.starts == {"acme": [0]}
        assert it.counted(Answer.TIMEOUT) == 1


@in_virtual_time
async def test_what_nobody_waits_for_any_more_is_given_up() -> None:
    """Or overload would make requests that serve nobody, and more overload."""
    async with desk(ACME, far=Far(seconds=math.inf)) as it:
        first, last = it.begin(ACME, 4), it.begin(ACME, 5)
        await first
        assert it.far.running == 1
        await last
        await asyncio.sleep(0)

        assert it.far.running == 0
        assert it.made == 0


@in_virtual_time
async def test_who_comes_as_a_probe_is_given_up_gets_one_of_its_own() -> None:
    async with desk(ACME, far=Far(seconds=6)) as it:
        await it.ask(ACME, 4)
        reply = await it.ask(ACME, 9)

        assert reply.answer is Answer.PROBED
        assert it.far.starts == {"acme": [0, 4]}


@in_virtual_time
async def test_a_caller_that_goes_away_takes_nothing_from_the_others() -> None:
    async with desk(ACME, far=Far(seconds=6)) as it:
        gone, stays = it.begin(ACME), it.begin(ACME)
        await asyncio.sleep(1)
        gone.cancel()

        assert (await stays).answer is Answer.PROBED
        assert it.far.starts == {"acme": [0]}


@in_virtual_time
async def test_what_is_learnt_stays_with_the_caller() -> None:
    """Gauges, counters and timestamps are the schedule's: when it stops, it must show."""
    async with desk(ACME, far=Far(answer=failing)) as it:
        before = [bytes(line) for family in it.store._columns.values() for line in family]
        reply = await it.ask(ACME)

        assert reply.told is not None
        assert not reply.told.report.is_success
        after = [bytes(line) for family in it.store._columns.values() for line in family]
        assert after == before
        assert it.store.latest("acme") is None
        assert it.scheduler.waiting() == ("acme",)


@in_virtual_time
async def test_the_schedule_keeps_its_time_however_often_somebody_asks() -> None:
    often = builders.issuer(interval_seconds=10)
    place = offset_seconds(often)
    async with desk(often) as it:
        for _ in range(60):
            await it.ask(often)

        state = it.store.state("acme")
        assert state is not None
        ticks = [place + 10 * n for n in range(6)]
        assert [t for t in it.far.starts["acme"] if t % 1] == pytest.approx(ticks)
        assert state.probes == 6


@in_virtual_time
async def test_an_issuer_that_asked_the_schedule_to_wait_is_not_asked_by_callers() -> None:
    often = builders.issuer()
    async with desk(often, far=Far(answer=limited(150))) as it:
        await asyncio.sleep(offset_seconds(often) + 1)
        first, second = await it.ask(often), await it.ask(often)

        assert len(it.far.starts["acme"]) == 1
        assert first.answer is second.answer is Answer.RETRY_AFTER
        assert first.told is second.told
        assert first.told is not None
        assert first.told.report is it.store.latest("acme")
        await asyncio.sleep(150)
        assert (await it.ask(often)).answer is Answer.PROBED
        assert it.counted(Answer.RETRY_AFTER) == 2


@in_virtual_time
async def test_what_a_caller_is_asked_the_schedule_obeys_and_shows() -> None:
    """A silence of the schedule that the gauges did not explain would be an alert."""
    often = builders.issuer(attempts=3)
    place = offset_seconds(often)
    async with desk(often, far=Far(answer=limited(150))) as it:
        asked = await it.ask(often)
        again = await it.ask(often)
        await asyncio.sleep(place + 60)

        assert it.far.starts["acme"] == [0]
        assert asked.answer is Answer.PROBED
        assert asked.told is not None
        assert it.store.latest("acme") == asked.told.report
        assert (again.answer, again.told and again.told.report) == (
            Answer.RETRY_AFTER,
            asked.told.report,
        )
        skipped = it.store.own._skipped.labels(SkipCause.RETRY_AFTER)._value.get()
        assert skipped == 2
        assert it.scheduler.waiting() == ()


@in_virtual_time
async def test_a_probe_that_was_under_way_takes_nothing_of_that_back() -> None:
    """One of two requests is throttled: the schedule is silent, and the gauges say why."""
    often = builders.issuer()
    place = offset_seconds(often)
    answers = iter([limited(150)])

    def answer(issuer: Issuer, attempt: int) -> dict[str, Any]:
        return next(answers, lambda *_: {})(issuer, attempt)

    async with desk(often, far=Far(seconds=5, answer=answer)) as it:
        await asyncio.sleep(place - 1)
        asked = await it.ask(often, 9)
        await asyncio.sleep(10)

        assert it.far.starts["acme"] == pytest.approx([place - 1, place])
        assert asked.told is not None
        assert it.store.latest("acme") == asked.told.report
        state = it.store.state("acme")
        assert state is not None
        assert state.probes == 2
        await asyncio.sleep(200)
        latest = it.store.latest("acme")
        assert latest is not None
        assert latest.is_success


@in_virtual_time
async def test_a_date_that_has_passed_is_no_wish() -> None:
    async with desk(ACME, far=Far(answer=limited(-5))) as it:
        answers = [(await it.ask(ACME)).answer for _ in range(2)]

        assert answers == [Answer.PROBED] * 2
        assert it.store.latest("acme") is None


@in_virtual_time
async def test_attempts_end_when_a_caller_has_been_asked_to_wait() -> None:
    often = builders.issuer(attempts=5)
    place = offset_seconds(often)

    def answer(issuer: Issuer, attempt: int) -> dict[str, Any]:
        # The schedule's probe ends first, the caller's after it.
        return (limited(150) if len(it.far.starts["acme"]) > 1 else failing)(issuer, attempt)

    async with desk(often, far=Far(seconds=0.1, answer=answer)) as it:
        await asyncio.sleep(place + 0.2)
        await it.ask(often)
        await asyncio.sleep(30)

        assert it.far.starts["acme"] == pytest.approx([place, place + 0.2])
        latest = it.store.latest("acme")
        assert latest is not None
        assert latest.failure is not None
        assert latest.failure.reason is Reason.RATE_LIMITED


@in_virtual_time
async def test_who_still_waits_for_a_place_learns_of_a_wish_to_be_left_alone() -> None:
    often = builders.issuer()
    limits = Limits(concurrency=1, concurrency_per_host=1)
    async with desk(often, far=Far(seconds=5, answer=limited(150)), limits=limits) as it:
        await asyncio.sleep(offset_seconds(often) + 1)
        reply = await it.ask(often)

        assert len(it.far.starts["acme"]) == 1
        assert reply.answer is Answer.RETRY_AFTER
        assert reply.waited_seconds == pytest.approx(4)
        assert reply.told is not None
        assert it.made == 0


@in_virtual_time
async def test_callers_take_no_more_than_half_of_the_places() -> None:
    limits = Limits(concurrency=6, concurrency_per_host=1000)
    many = [rare(f"n{n}") for n in range(20)]
    async with desk(*many, far=Far(seconds=8), limits=limits) as it:
        tasks = [it.begin(issuer, 9) for issuer in many]
        await asyncio.sleep(9.5)

        assert it.far.most_running == 3
        answers = [task.result().answer for task in tasks]
        assert answers.count(Answer.PROBED) == 3
        assert answers.count(Answer.TIMEOUT) == len(many) - 3
        assert it.far.running == 0, "who had no place has no probe left behind"
        assert len(it.far.starts) == 6


@in_virtual_time
async def test_callers_take_no_more_than_half_of_a_hosts_places() -> None:
    """The schedule finds the other half free, at its own time."""
    limits = Limits(concurrency=1000, concurrency_per_host=4)
    many = [rare(f"n{n}") for n in range(20)]
    ticking = builders.issuer(name="ticking")
    async with desk(ticking, *many, far=Far(seconds=100), limits=limits) as it:
        tasks = [it.begin(issuer, 120) for issuer in many]
        await asyncio.sleep(60)

        assert len(it.far.starts) == 3
        assert it.far.starts["ticking"] == pytest.approx([offset_seconds(ticking)])
        for task in tasks:
            task.cancel()


@in_virtual_time
async def test_a_single_place_is_shared() -> None:
    limits = Limits(concurrency=1, concurrency_per_host=1)
    async with desk(ACME, limits=limits) as it:
        assert (await it.ask(ACME)).answer is Answer.PROBED


@in_virtual_time
async def test_new_limits_hold_for_callers_too() -> None:
    async with desk(ACME, far=Far(seconds=8)) as it:
        it.limits = Limits(concurrency=2, concurrency_per_host=2)
        many = [rare(f"n{n}") for n in range(4)]
        await it.follow(*many)
        await asyncio.gather(*(it.ask(issuer, 9) for issuer in many))

        assert it.far.most_running == 1


@in_virtual_time
async def test_beyond_the_most_callers_everybody_is_refused() -> None:
    async with desk(ACME, most_callers=2) as it:
        waiting = [it.begin(ACME) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyCallersError):
            await it.ask(ACME)
        assert it.counted(Answer.BUSY) == 1

        await asyncio.gather(*waiting)
        assert (await it.ask(ACME)).answer is Answer.PROBED


@in_virtual_time
async def test_a_bug_is_a_report_like_any_other() -> None:
    async with desk(ACME, far=Far(answer=lambda *_: {"nonsense": 1})) as it:
        reply = await it.ask(ACME)

        assert reply.told is not None
        failure = reply.told.report.failure
        assert failure is not None
        assert failure.stage is Stage.INTERNAL
        assert it.store.own.probe_panics._value.get() == 1


@in_virtual_time
async def test_an_issuer_that_is_removed_meanwhile_is_answered_and_leaves_nothing() -> None:
    async with desk(ACME, far=Far(seconds=5, answer=limited(150))) as it:
        task = it.begin(ACME)
        await asyncio.sleep(1)
        await it.follow()

        assert (await task).answer is Answer.PROBED
        assert it.store.states() == ()
        with pytest.raises(UnknownTargetError):
            it.on_demand.find("acme")


@in_virtual_time
async def test_a_changed_entry_has_a_probe_of_its_own() -> None:
    """And what the old URL has asked for binds nobody at the new one."""
    moved = replace(ACME, url="https://moved.example.com")

    def answer(issuer: Issuer, attempt: int) -> dict[str, Any]:
        return {} if issuer == moved else limited(150)(issuer, attempt)

    async with desk(ACME, far=Far(seconds=5, answer=answer)) as it:
        old = it.begin(ACME)
        await asyncio.sleep(1)
        await it.follow(moved)
        replies = [await old, await it.ask(moved), await it.ask(moved)]

        assert [reply.answer for reply in replies] == [Answer.PROBED] * 3
        assert it.far.starts["acme"] == [0, 5, 10]
        assert it.store.latest("acme") is None


@in_virtual_time
async def test_who_asks_for_an_issuer_that_is_left_alone_need_not_wait_for_a_place() -> None:
    limits = Limits(concurrency=2, concurrency_per_host=2)
    stuck = rare("stuck")

    async with desk(ACME, stuck, far=Far(seconds=5, answer=limited(150)), limits=limits) as it:
        await it.ask(ACME)
        waiting = it.begin(stuck)
        await asyncio.sleep(1)

        assert (await it.ask(ACME)).waited_seconds == 0
        await waiting


@in_virtual_time
async def test_each_issuer_that_is_left_alone_is_answered_with_its_own_report() -> None:
    other = rare("other")
    async with desk(ACME, other, far=Far(answer=limited(150))) as it:
        await it.ask(ACME)
        await it.ask(other)
        told = [(await it.ask(issuer)).told for issuer in (ACME, other, ACME)]

        assert [one.report.issuer for one in told if one] == [ACME, other, ACME]


@in_virtual_time
async def test_at_the_end_nobody_waits_any_longer() -> None:
    async with desk(ACME, far=Far(seconds=math.inf)) as it:
        task = it.begin(ACME)
        await asyncio.sleep(1)
        await it.on_demand.close()

        reply = await task
        assert (reply.answer, reply.told, reply.waited_seconds) == (Answer.TIMEOUT, None, 1)
        assert it.far.running == 0


@in_virtual_time
async def test_every_probe_is_logged_once() -> None:
    async with desk(ACME) as it:
        with capture_logs() as logs:
            await asyncio.gather(it.ask(ACME), it.ask(ACME))

        assert [(line["event"], line["issuer"]) for line in logs] == [
            ("probe.on_demand", "acme")
        ]


@in_virtual_time
async def test_a_target_is_a_name_or_else_a_url() -> None:
    url = "https://one.example.com"
    one, tricky = rare("one", url=url), rare("https://two.example.com", url=f"{url}/2")
    two = rare("two", url="https://two.example.com")
    twins = [rare(f"twin-{n}", url="https://twin.example.com") for n in range(2)]
    async with desk(one, tricky, two, *twins) as it:
        find = it.on_demand.find
        assert (find("one"), find(url), find("two"), find("twin-1")) == (
            one,
            one,
            two,
            twins[1],
        )
        assert find("https://two.example.com") == tricky, "names go first"
        with pytest.raises(AmbiguousTargetError, match=r'several .*: "twin-0", "twin-1"$'):
            find("https://twin.example.com")


@pytest.mark.parametrize(
    "target", ["", "ACME", "acme ", "issuer.example.com", f"{builders.URL}/", "https://x"]
)
@in_virtual_time
async def test_anything_else_is_unknown(target: str) -> None:
    async with desk(ACME) as it:
        with pytest.raises(UnknownTargetError, match="neither the name nor the URL"):
            it.on_demand.find(target)


@in_virtual_time
async def test_a_hostile_target_is_told_harmlessly() -> None:
    async with desk(ACME) as it:
        with pytest.raises(UnknownTargetError) as caught:
            it.on_demand.find("\u202e\n" + "x" * 100_000)

        assert len(str(caught.value)) < 300
        assert str(caught.value).isprintable()


@in_virtual_time
async def test_a_wish_to_be_left_alone_holds_when_its_report_is_lost() -> None:
    async with desk(ACME, far=Far(answer=limited(150))) as it:
        await it.ask(ACME)
        it.store.keep([])
        reply = await it.ask(ACME)

        assert (reply.answer, reply.told) == (Answer.RETRY_AFTER, None)
        assert len(it.far.starts["acme"]) == 1
