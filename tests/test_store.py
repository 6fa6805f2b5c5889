"""What the store keeps, shows and drops."""

from __future__ import annotations

import pytest

from exporter.exposition import SLICE_ISSUERS
from exporter.families import FAMILIES
from exporter.reasons import Code, Document, SkipCause, Stage
from exporter.store import Store
from tests import scrapes
from tests.builders import NOW, failure, fetch, finding, issuer, key, key_set, report

OTHER = issuer(name="other", url="https://other.example.com")


def kept(*issuers):
    store = Store()
    store.keep(issuers or [issuer()])
    return store


async def test_a_report_is_shown_at_the_next_scrape():
    store = kept()
    store.record(report(duration_seconds=0.25))

    assert await scrapes.text(store, "oidc_probe_duration", "oidc_probe_success{") == [
        'oidc_probe_success{issuer="acme"} 1',
        'oidc_probe_duration_seconds{issuer="acme"} 0.25',
    ]


async def test_an_issuer_is_counted_from_zero_before_its_first_probe():
    assert await scrapes.text(kept(), "oidc_probes_total", "oidc_probe_success") == [
        'oidc_probes_total{issuer="acme"} 0'
    ]


async def test_an_attempt_that_is_to_be_confirmed_changes_counters_alone():
    """Otherwise a blip that a second attempt clears would be scraped as a failure."""
    store = kept()
    store.record(scrapes.good(issuer=issuer()))
    before = await scrapes.text(store)
    store.record(report(failure=failure()), is_final=False)
    after = await scrapes.text(store)

    changed = {line.partition("{")[0] for line in set(after) - set(before)}
    assert len(before) == len(after)
    assert changed == {
        "oidc_probes_total",
        "oidc_probe_failures_total",
        *(f"oidc_probe_latency_seconds_{part}" for part in ("bucket", "count", "sum")),
    }
    assert store.latest("acme").is_success


async def test_a_removed_issuer_leaves_no_series():
    store = scrapes.store()
    store.keep([scrapes.BROKEN])

    assert await scrapes.text(store)
    assert not [line for line in await scrapes.text(store) if 'issuer="broken"' not in line]
    assert (store.state("acme"), store.latest("acme")) == (None, None)


async def test_who_comes_back_starts_anew():
    store = kept(issuer(), OTHER)
    store.record(report())
    store.keep([OTHER])
    store.keep([OTHER, issuer()])

    assert await scrapes.text(store, 'oidc_probes_total{issuer="acme"}') == [
        'oidc_probes_total{issuer="acme"} 0'
    ]


async def test_those_that_stay_keep_their_lines_when_others_come_and_go():
    first, last, new = (issuer(name=name) for name in ("first", "last", "new"))
    store = kept(first, issuer(), last)
    for number, one in enumerate((first, issuer(), last)):
        store.record(report(issuer=one, duration_seconds=number))
    before = await scrapes.text(store, "oidc_probe_duration")
    store.keep([new, last, first])
    store.record(report(issuer=last, duration_seconds=7))

    assert before == [
        f'oidc_probe_duration_seconds{{issuer="{name}"}} {number}'
        for number, name in enumerate(("first", "acme", "last"))
    ]
    assert await scrapes.text(store, "oidc_probe_duration") == [
        'oidc_probe_duration_seconds{issuer="first"} 0',
        'oidc_probe_duration_seconds{issuer="last"} 7',
    ]
    assert [state.issuer.name for state in store.states()] == ["first", "last", "new"]


async def test_an_unchanged_configuration_changes_nothing():
    store = scrapes.store()
    before = await scrapes.text(store)
    store.keep([scrapes.NEW, scrapes.BROKEN, scrapes.ACME])

    assert await scrapes.text(store) == before


async def test_a_changed_entry_shows_at_once_and_keeps_its_counters():
    store = kept()
    store.record(report())
    store.keep([issuer(budget_seconds=3.0, labels=(("team", "new"),))])

    assert await scrapes.text(store, "oidc_probe_budget", "oidc_issuer", "oidc_probes_") == [
        'oidc_issuer_info{issuer="acme",url="https://issuer.example.com",team="new"} 1',
        'oidc_probe_budget_seconds{issuer="acme"} 3.0',
        'oidc_probes_total{issuer="acme"} 1',
    ]
    assert await scrapes.text(store, "oidc_probe_success{") == [
        'oidc_probe_success{issuer="acme"} 1'
    ]


async def test_a_new_url_hides_what_was_learnt_of_the_old_one():
    store = kept(scrapes.ACME)
    store.record(scrapes.good())
    store.keep([issuer(url="https://moved.example.com")])
    names = {line.partition("{")[0] for line in await scrapes.text(store)}

    assert "oidc_probes_total" in names
    assert not names & {family.name for family in FAMILIES if family.absent}


@pytest.mark.parametrize(
    "stranger", [OTHER, issuer(url="https://moved.example.com")], ids=["removed", "moved"]
)
async def test_a_report_that_comes_too_late_is_dropped(stranger):
    """The probe was under way when the configuration changed."""
    store = kept()
    before = await scrapes.text(store)
    store.record(report(issuer=stranger))

    assert await scrapes.text(store) == before
    assert store.latest("acme") is None


async def test_a_wish_made_under_another_name_is_shown_until_there_is_a_report():
    """The schedule leaves it alone, and an issuer that is not probed is an alert."""
    name = "oidc_probe_retry_after_timestamp_seconds"
    store = kept()
    store.held(OTHER, NOW)
    store.held(issuer(url="https://moved.example.com"), NOW)
    assert await scrapes.text(store, name) == []

    store.held(issuer(), NOW + 30)
    assert await scrapes.text(store, name) == [f'{name}{{issuer="acme"}} {NOW + 30}']
    store.record(report())
    assert await scrapes.text(store, name) == []
    store.held(issuer(), NOW + 30)
    store.keep([issuer(url="https://moved.example.com")])
    assert await scrapes.text(store, name) == []


async def test_what_one_report_had_and_the_next_has_not_is_gone():
    store = kept()
    store.record(report(findings=(finding(Code.NO_CACHE), finding(Code.NO_STORE))))
    store.record(report(findings=(finding(Code.NO_STORE),)))

    assert await scrapes.text(store, "oidc_finding_info") == [
        'oidc_finding_info{issuer="acme",document="jwks",code="no_store",level="warning"} 1'
    ]


async def test_text_is_what_rendering_all_of_it_anew_would_give():
    """Only what a report may have changed is rendered; nothing else may have changed."""
    store = scrapes.store()
    store.record(scrapes.bad(issuer=scrapes.ACME))
    store.record(scrapes.good(key_set=key_set(key("k9")), findings=()))
    store.record(scrapes.good(issuer=scrapes.BROKEN, caching=()))
    store.record(scrapes.bad(), is_final=False)

    for family in FAMILIES:
        assert list(store.column(family)) == [family.render(s) for s in store.states()]


def test_since_when_an_issuer_fails_is_known():
    store = kept()
    for second in (1, 2):
        store.record(report(failure=failure(), ended_timestamp_seconds=NOW + second))

    state = store.state("acme")
    assert state.failing_since_timestamp_seconds == NOW + 1
    assert (state.probes, state.failures[Stage.TCP]) == (2, 2)


async def test_a_reader_meets_no_issuer_twice_while_the_configuration_changes():
    """A scrape waits between slices of a family; meanwhile issuers come, go and come back."""
    many = [issuer(name=f"n{number}") for number in range(3 * SLICE_ISSUERS)]
    store = kept(*many)
    family = next(family for family in FAMILIES if family.name == "oidc_probes_total")
    column = store.column(family)
    seen = list(column[:SLICE_ISSUERS])
    store.keep([*many[SLICE_ISSUERS:], issuer(name="late")])
    store.keep([*many[SLICE_ISSUERS:], *many[:SLICE_ISSUERS]])
    seen += column[SLICE_ISSUERS:]

    assert len(set(seen)) == len(seen) == len(many)


async def test_what_happens_to_the_schedule_is_counted():
    store = kept()
    store.started(issuer(), 0.3)
    store.skipped(issuer(), SkipCause.OVERRUN, 3)
    store.skipped(issuer(), SkipCause.RETRY_AFTER)
    store.panicked(issuer())
    lines = (await scrapes.scrape(store)).splitlines()

    for line in (
        "oidc_exporter_issuers 1.0",
        'oidc_exporter_probes_skipped_total{cause="overrun"} 3.0',
        'oidc_exporter_probes_skipped_total{cause="retry_after"} 1.0',
        "oidc_exporter_probe_panics_total 1.0",
        'oidc_exporter_schedule_delay_seconds_bucket{le="0.25"} 0.0',
        'oidc_exporter_schedule_delay_seconds_bucket{le="0.5"} 1.0',
    ):
        assert line in lines


async def test_the_clocks_correction_is_told_a_probe():
    """Both fetches together, because it is the probe's latency that is held to the budget."""
    store = kept()
    corrected = [
        fetch(document, correction_seconds=seconds)
        for document, seconds in ((Document.DISCOVERY, 0.25), (Document.JWKS, 0.125))
    ]
    store.record(report(fetches=tuple(corrected)))
    lines = (await scrapes.scrape(store)).splitlines()

    assert "oidc_exporter_clock_correction_seconds_count 1.0" in lines
    assert "oidc_exporter_clock_correction_seconds_sum 0.375" in lines
