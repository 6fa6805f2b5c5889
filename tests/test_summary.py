"""One issuer in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.advice import FAILURES, FINDINGS
from exporter.reasons import Code, Document, Reason, Stage
from exporter.state import State
from exporter.summary import Standing, Summary, risks, summary
from tests import builders, reports
from tests.builders import NOW, certificate, failure, fetch, finding, report, tls


def of(one) -> Summary:
    state = State(builders.issuer(url=one.issuer.url))
    state.follow(one)
    return summary(state)


@pytest.mark.parametrize(
    ("seen", "standing", "words"),
    [
        (reports.good(), Standing.USABLE, ""),
        (reports.expired(), Standing.NOT_USABLE, FAILURES[Stage.TLS, Reason.EXPIRED].title),
        (
            report(failure=failure(Stage.INTERNAL, Reason.ERROR)),
            Standing.UNKNOWN,
            FAILURES[Stage.INTERNAL, Reason.ERROR].title,
        ),
        (report(findings=(finding(Code.MAX_AGE_ZERO),)), Standing.USABLE, ""),
        (report(findings=(finding(Code.PRIVATE_CA),)), Standing.USABLE, ""),
        (
            report(findings=(finding(Code.PRIVATE_CA), finding(Code.NO_CACHE))),
            Standing.AT_RISK,
            FINDINGS[Code.NO_CACHE].title,
        ),
        (
            report(findings=(finding(Code.NO_CACHE), finding(Code.PRIVATE_KEY_EXPOSED))),
            Standing.AT_RISK,
            FINDINGS[Code.PRIVATE_KEY_EXPOSED].title,
        ),
    ],
)
def test_an_issuer_stands_as_its_latest_report_says(seen, standing, words):
    """A notice is no risk, and neither is a CA that the operator named himself."""
    told = of(seen)

    assert (told.standing, told.words) == (standing, words)


def test_without_a_report_nothing_is_known():
    made = summary(State(builders.issuer()))

    assert made == Summary(issuer=builders.issuer(), standing=Standing.NOT_PROBED)


def test_what_is_no_news_comes_last():
    found = (finding(Code.PRIVATE_CA), finding(Code.EXPIRED), finding(Code.NO_CACHE))

    assert [f.code for f in risks(report(findings=found))] == [Code.NO_CACHE, Code.PRIVATE_CA]


def test_the_first_certificate_to_end_counts_wherever_it_stands():
    early = certificate(
        subject="CN=Example Intermediate",
        sha256="e" * 64,
        not_after_timestamp_seconds=NOW + 5,
    )
    needless = certificate(subject="CN=X", sha256="f" * 64, not_after_timestamp_seconds=NOW - 5)
    chain = (certificate(), early, needless)
    fetches = (fetch(), fetch(Document.JWKS, tls=tls(chain=chain)))

    assert of(report(fetches=fetches)).certificate_not_after_timestamp_seconds == NOW + 5
    assert (
        of(report(fetches=(fetch(tls=None),))).certificate_not_after_timestamp_seconds is None
    )


def test_a_probe_that_fetched_nothing_took_no_time():
    told = of(report(fetches=(), key_set=None, failure=failure(Stage.CONFIG, Reason.BAD_URL)))

    assert (told.duration_seconds, told.keys_published, told.is_cacheable) == (None, None, None)


def test_it_stands_so_since_the_run_began():
    state = State(builders.issuer())
    for seconds, seen in (
        (0, reports.good()),
        (60, reports.expired()),
        (120, reports.expired()),
    ):
        state.follow(replace(seen, ended_timestamp_seconds=NOW + seconds))

    assert summary(state).since_timestamp_seconds == NOW + 60
    assert summary(state).probed_timestamp_seconds == NOW + 120
