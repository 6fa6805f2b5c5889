"""Each family, from facts to lines: what is known is told, what is unknown is absent."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf, nan

import pytest

from exporter.families import CONSTANT, FAMILIES, GROUPS, Group, changed
from exporter.metric import Type
from exporter.model import Address, CacheDirective, CachePolicy, Phases
from exporter.reasons import (
    CacheHeader,
    Code,
    Directive,
    Document,
    Family,
    KeyType,
    Reason,
    Scope,
    Stage,
)
from exporter.state import State
from tests import scrapes
from tests.builders import (
    NOW,
    certificate,
    failure,
    fetch,
    finding,
    issuer,
    key,
    key_set,
    report,
    tls,
)

BY_NAME = {family.name: family for family in FAMILIES}
DESIGN = {
    "oidc_issuer_info",
    "oidc_probe_success",
    "oidc_probe_duration_seconds",
    "oidc_probe_budget_seconds",
    "oidc_probe_timeout_seconds",
    "oidc_probe_interval_seconds",
    "oidc_probe_timestamp_seconds",
    "oidc_probe_success_timestamp_seconds",
    "oidc_probe_latency_seconds",
    "oidc_probes_total",
    "oidc_probe_failures_total",
    "oidc_probe_failure_info",
    "oidc_probe_retry_after_timestamp_seconds",
    "oidc_fetch_duration_seconds",
    "oidc_fetch_phase_duration_seconds",
    "oidc_fetch_status_code",
    "oidc_fetch_size_bytes",
    "oidc_fetch_address_info",
    "oidc_fetch_clock_offset_seconds",
    "oidc_cache_directive",
    "oidc_cacheable",
    "oidc_cache_max_age_seconds",
    "oidc_tls_certificate_not_after_timestamp_seconds",
    "oidc_tls_certificate_not_before_timestamp_seconds",
    "oidc_tls_info",
    "oidc_finding_info",
    "oidc_jwks_keys",
    "oidc_jwks_usable_keys",
    "oidc_jwks_keys_limit",
    "oidc_jwks_key_info",
    "oidc_jwks_info",
    "oidc_jwks_changes_total",
    "oidc_jwks_change_timestamp_seconds",
    "oidc_jwks_keys_removed_early_total",
}


def after(*reports, configured=None):
    """The state of an issuer after these reports."""
    state = State(configured or (reports[-1].issuer if reports else issuer()))
    for one in reports:
        state.count(one)
        state.follow(one)
    return state


def lines(name, *reports, configured=None):
    """What a family says after these reports, without the labels that never change."""
    text = BY_NAME[name].render(after(*reports, configured=configured)).decode()
    return [
        line.removeprefix(name).replace('issuer="acme",', "").replace('{issuer="acme"}', "")
        for line in text.splitlines()
    ]


def cached(**changes):
    return report(caching=((Document.JWKS, CachePolicy(**changes)),))


def only(**changes):
    return report(fetches=(fetch(**changes),))


def test_the_names_that_people_query_are_these():
    assert set(BY_NAME) == DESIGN
    assert len(FAMILIES) == len(BY_NAME)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_keeps_the_manners_of_prometheus(family):
    """Counters and they alone end in `_total`; help is plain, as two formats escape it."""
    assert family.name.endswith("_total") == (family.type is Type.COUNTER)
    assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,:;'.-]+\.", family.help)
    assert all(label.values or label.origin for label in family.labels)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_may_be_absent_is_absent_before_the_first_probe(family):
    assert (family.render(State(issuer())) == b"") == bool(family.absent)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_failure_at_once_leaves_only_what_is_known(family):
    """No family may remember what the probe before had seen."""
    nothing = report(fetches=(), discovery=None, key_set=None, failure=failure())
    text = family.render(after(scrapes.good(), nothing))
    known = {
        *CONSTANT,
        *(BY_NAME[f"oidc_probe_{name}"] for name in ("success", "failure_info")),
        *(BY_NAME[f"oidc_probe_{name}timestamp_seconds"] for name in ("", "success_")),
    }

    assert bool(text) == (family in known)


def test_an_issuer_carries_its_own_labels_nowhere_else():
    labelled = issuer(labels=(("env", 'p"d'), ("team", "id\\p")))

    assert lines("oidc_issuer_info", configured=labelled) == [
        '{url="https://issuer.example.com",env="p\\"d",team="id\\\\p"} 1'
    ]
    assert not [
        family
        for family in FAMILIES
        if b"env" in family.render(after(scrapes.good(issuer=labelled)))
        and family.name != "oidc_issuer_info"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("budget", "2.5"), ("timeout", "7.0"), ("interval", "30.0")],
)
def test_configured_limits_are_told_from_the_start(name, value):
    configured = issuer(budget_seconds=2.5, timeout_seconds=7.0, interval_seconds=30.0)

    assert lines(f"oidc_probe_{name}_seconds", configured=configured) == [f" {value}"]


def test_a_failing_issuer_tells_the_interval_it_is_probed_at():
    """A rule that calls facts older than three intervals stale must know which interval."""
    slow = issuer(interval_failing_seconds=300.0)

    assert lines("oidc_probe_interval_seconds", report(issuer=slow)) == [" 60.0"]
    assert lines("oidc_probe_interval_seconds", report(issuer=slow, failure=failure())) == [
        " 300.0"
    ]


def test_a_good_probe_is_one_and_a_failed_one_zero_and_says_why():
    bad = report(failure=failure(Stage.KEYS, Reason.NO_USABLE_KEY, Document.JWKS))

    assert lines("oidc_probe_success", report()) == [" 1"]
    assert lines("oidc_probe_success", bad) == [" 0"]
    assert lines("oidc_probe_failure_info", report()) == []
    assert lines("oidc_probe_failure_info", bad) == [
        '{document="jwks",stage="keys",reason="no_usable_key"} 1'
    ]


def test_a_probe_that_fetched_nothing_has_no_duration():
    nothing = report(fetches=(), duration_seconds=0.0, failure=failure(Stage.CONFIG))

    assert lines("oidc_probe_duration_seconds", report()) == [" 0.3"]
    assert lines("oidc_probe_duration_seconds", nothing) == []
    assert lines("oidc_probe_latency_seconds", nothing)[-1] == "_count 0"


def test_the_time_of_the_latest_success_outlives_a_failure():
    then, now = report(), report(ended_timestamp_seconds=NOW + 60, failure=failure())

    assert lines("oidc_probe_timestamp_seconds", then, now) == [f" {NOW + 60}"]
    assert lines("oidc_probe_success_timestamp_seconds", then, now) == [f" {NOW + 0.3}"]


def test_the_histogram_counts_every_duration_under_the_edges_above_it():
    """Five seconds exactly are within the budget, so they lie under its edge."""
    reports = [report(duration_seconds=seconds) for seconds in (0.02, 5.0, 5.001, 60.0)]

    assert lines("oidc_probe_latency_seconds", *reports) == [
        *[
            f'_bucket{{le="{edge}"}} {number}'
            for edge, number in {
                **dict.fromkeys(("0.05", "0.1", "0.25", "0.5", "1.0", "1.5"), 1),
                **dict.fromkeys(("2.0", "2.5", "3.0", "4.0"), 1),
                "5.0": 2,
                "7.5": 3,
                "10.0": 3,
                "+Inf": 4,
            }.items()
        ],
        "_sum 70.021",
        "_count 4",
    ]


def test_failures_are_counted_by_stage_from_zero_on():
    """A rate over a counter that appears with its first failure would miss that failure."""
    late = report(failure=failure(Stage.BUDGET, Reason.EXCEEDED))

    assert lines("oidc_probes_total", late, report(), late) == [" 3"]
    assert lines("oidc_probe_failures_total", late, report(), late) == [
        f'{{stage="{stage}"}} {2 if stage is Stage.BUDGET else 0}' for stage in Stage
    ]


def test_a_wish_to_be_left_alone_lasts_until_the_next_report():
    asked = report(retry_after_timestamp_seconds=NOW + 30)
    name = "oidc_probe_retry_after_timestamp_seconds"

    assert lines(name, asked) == [f" {NOW + 30}"]
    assert lines(name, asked, report()) == []


def test_each_document_has_its_own_fetch():
    both = report(fetches=(fetch(), fetch(Document.JWKS, duration_seconds=0.5, status=503)))

    assert lines("oidc_fetch_duration_seconds", both) == [
        '{document="discovery"} 0.15',
        '{document="jwks"} 0.5',
    ]
    assert lines("oidc_fetch_status_code", both) == [
        '{document="discovery"} 200',
        '{document="jwks"} 503',
    ]
    assert lines("oidc_fetch_size_bytes", both) == [
        '{document="discovery"} 2',
        '{document="jwks"} 2',
    ]


def test_phases_that_did_not_happen_are_absent():
    reused = only(phases=Phases(processing=0.0, transfer=0.25))

    assert lines("oidc_fetch_phase_duration_seconds", reused) == [
        '{document="discovery",phase="processing"} 0.0',
        '{document="discovery",phase="transfer"} 0.25',
    ]


def test_the_kind_of_address_is_told_and_the_address_is_not():
    dialled = Address(ip="10.0.0.7", port=443, family=Family.IPV4, scope=Scope.PRIVATE)

    assert lines("oidc_fetch_address_info", only(address=dialled)) == [
        '{document="discovery",family="ipv4",scope="private"} 1'
    ]
    assert lines("oidc_fetch_address_info", only(address=None)) == []


def test_a_directive_sent_twice_is_one_series():
    """Two lines with the same labels would cost Prometheus the whole scrape."""
    sent = CacheDirective(header=CacheHeader.CACHE_CONTROL, directive=Directive.MAX_AGE)
    no_cache = CacheDirective(header=CacheHeader.PRAGMA, directive=Directive.NO_CACHE)
    twice = (replace(sent, value="1"), replace(sent, value="2"), no_cache)

    assert lines("oidc_cache_directive", cached(directives=twice)) == [
        '{document="jwks",directive="max_age",header="cache_control"} 1',
        '{document="jwks",directive="no_cache",header="pragma"} 1',
    ]


def test_caching_is_told_of_answered_documents_only():
    told = cached(is_cacheable=False, max_age_seconds=0.0, clock_offset_seconds=-301.0)

    assert lines("oidc_cacheable", told) == ['{document="jwks"} 0']
    assert lines("oidc_cacheable", cached()) == ['{document="jwks"} 1']
    assert lines("oidc_cache_max_age_seconds", told) == ['{document="jwks"} 0.0']
    assert lines("oidc_cache_max_age_seconds", cached()) == []
    assert lines("oidc_fetch_clock_offset_seconds", told) == ['{document="jwks"} -301.0']
    assert lines("oidc_fetch_clock_offset_seconds", cached()) == []


def test_of_the_chain_above_the_leaf_the_date_that_bites_first_is_told():
    """But not that of a certificate which nobody needs."""
    chain = tuple(
        certificate(
            subject=subject,
            issuer=issuer,
            sha256=f"{subject} until {end}",
            not_before_timestamp_seconds=begin,
            not_after_timestamp_seconds=end,
        )
        for subject, issuer, begin, end in (
            ("leaf", "low", 10.0, 90.0),
            ("low", "high", 20.0, 60.0),
            ("low", "high", 40.0, 50.0),
            ("high", "root", 30.0, 70.0),
            ("elsewhere", "nowhere", 40.0, 50.0),
        )
    )
    name = "oidc_tls_certificate_not_{}_timestamp_seconds"

    assert lines(name.format("after"), only(tls=tls(chain=chain))) == [
        '{document="discovery",position="leaf"} 90.0',
        '{document="discovery",position="chain"} 60.0',
    ]
    assert lines(name.format("before"), only(tls=tls(chain=chain))) == [
        '{document="discovery",position="leaf"} 10.0',
        '{document="discovery",position="chain"} 30.0',
    ]


def test_a_certificate_that_was_not_gone_by_has_no_say():
    shown = tls(
        chain=(certificate(), certificate(sha256="e" * 64)), verified_sha256=("b" * 64,)
    )

    for date in ("after", "before"):
        (line,) = lines(f"oidc_tls_certificate_not_{date}_timestamp_seconds", only(tls=shown))
        assert 'position="leaf"' in line


def test_a_leaf_that_came_alone_has_no_chain():
    name = "oidc_tls_certificate_not_after_timestamp_seconds"

    assert len(lines(name, only())) == 1
    assert lines(name, only(tls=tls(chain=()))) == []
    assert lines(name, only(tls=None)) == []


def test_a_handshake_that_failed_shows_what_it_came_to():
    half = tls(version=None, cipher=None, is_verified=False)

    assert lines("oidc_tls_info", only(tls=half)) == [
        f'{{document="discovery",version="",cipher="",thumbprint="{"a" * 40}"}} 1'
    ]
    assert lines("oidc_tls_info", only(tls=tls(version=None, cipher=None, chain=()))) == []
    assert lines("oidc_tls_info", only(tls=None)) == []


def test_a_finding_at_several_keys_is_one_series():
    found = report(
        findings=(
            finding(Code.KEY_OPS, detail="key 1"),
            finding(Code.KEY_OPS, detail="key 2"),
            finding(Code.NO_CACHE, Document.DISCOVERY),
        )
    )

    assert lines("oidc_finding_info", found) == [
        '{document="jwks",code="key_ops",level="warning"} 1',
        '{document="discovery",code="no_cache",level="warning"} 1',
    ]


def test_keys_are_counted_by_type_and_the_types_sts_knows_from_zero():
    keys = report(
        key_set=key_set(
            key(kty=KeyType.EC),
            key("k2", kty=KeyType.EC, faults=("use",)),
            key(kty=KeyType.OCT),
        )
    )

    assert lines("oidc_jwks_keys", keys) == ['{kty="RSA"} 0', '{kty="EC"} 2', '{kty="oct"} 1']
    assert lines("oidc_jwks_usable_keys", keys) == [
        '{kty="RSA"} 0',
        '{kty="EC"} 1',
        '{kty="oct"} 1',
    ]
    assert lines("oidc_jwks_keys_limit", keys) == [" 100"]
    assert lines("oidc_jwks_info", keys) == [f'{{sha256="{"d" * 64}"}} 1']


def test_a_key_has_a_series_of_words_that_are_closed():
    keys = report(
        key_set=key_set(
            key(), key(), key("k2", alg="none", use="tls"), key(None, alg=None, use="")
        )
    )

    assert lines("oidc_jwks_key_info", keys) == [
        '{kid="k1",kty="RSA",alg="RS256",use="sig"} 1',
        '{kid="k2",kty="RSA",alg="other",use="other"} 1',
        '{kid="",kty="RSA",alg="",use=""} 1',
    ]


def test_at_most_twenty_keys_have_a_series():
    keys = report(key_set=key_set(*(key(f"k{n}") for n in range(50))))

    assert len(lines("oidc_jwks_key_info", keys)) == 20
    assert lines("oidc_jwks_keys", keys)[0] == '{kty="RSA"} 50'


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_a_number_that_is_not_finite_is_not_a_fact(number):
    assert lines("oidc_cache_max_age_seconds", cached(max_age_seconds=number)) == []


def test_a_lone_surrogate_does_not_cost_the_scrape():
    """Documents are cleaned where they are read; this is the last line of defence."""
    keys = report(key_set=key_set(key("a\ud800b")))

    assert lines("oidc_jwks_key_info", keys)[0].startswith('{kid="a?b",')


def test_what_has_not_changed_is_not_rendered_again():
    before = scrapes.good()
    after_it = scrapes.good(ended_timestamp_seconds=NOW + 60)

    assert set(changed(before, after_it)) == {*GROUPS[Group.PROBE], *GROUPS[Group.FETCH]}
    assert set(changed(None, before)) == {*FAMILIES} - {*GROUPS[Group.ISSUER]}


def cached_otherwise(**change):
    (document, policy), other = scrapes.good().caching
    return ((document, replace(policy, **change)), other)


@pytest.mark.parametrize(
    ("group", "change"),
    [
        (Group.CACHING, {"caching": ()}),
        (Group.CACHING, {"caching": cached_otherwise(directives=())}),
        (Group.CACHING, {"caching": cached_otherwise(is_cacheable=False)}),
        (Group.CACHING, {"caching": cached_otherwise(max_age_seconds=1.0)}),
        (Group.TLS, {"fetches": (fetch(tls=tls(version="TLSv1.2")),)}),
        (Group.FINDINGS, {"findings": (finding(Code.NO_STORE),)}),
        (Group.KEYS, {"key_set": None}),
    ],
)
def test_what_has_changed_is_rendered_again(group, change):
    before = scrapes.good()
    families = set(changed(before, replace(before, **change)))

    assert families >= {*GROUPS[group]}
