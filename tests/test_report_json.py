"""The same facts for programs: a stable shape that every JSON parser takes."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.advice import CAUSES
from exporter.model import CachePolicy
from exporter.reasons import REASONS, Cause, Code, Document, Reason, Stage
from exporter.report_json import to_json
from tests.builders import NOW, failure, finding, issuer, key, key_set, report
from tests.reports import expired, good, slow

GOLDEN = Path(__file__).parent / "data" / "terminal" / "slow.json"


def through_json(value: object) -> object:
    return json.loads(json.dumps(value, allow_nan=False))


def test_a_report_has_the_agreed_shape():
    """After a change on purpose: run once with UPDATE_GOLDEN=1, and read the diff."""
    text = json.dumps(to_json(slow()), indent=2, allow_nan=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, "utf-8")

    assert text == GOLDEN.read_text("utf-8")


@pytest.mark.parametrize("case", [good, slow, expired])
def test_nothing_is_lost_on_the_way_through_json(case):
    assert through_json(to_json(case())) == to_json(case())


@pytest.mark.parametrize("case", [good, slow, expired])
def test_the_shape_does_not_depend_on_how_far_a_probe_came(case):
    assert to_json(case()).keys() == to_json(report()).keys()


def test_what_fetched_nothing_has_measured_nothing():
    """As on `/metrics`: no number stands where none was learnt."""
    assert to_json(good())["duration_seconds"] == good().duration_seconds
    assert to_json(replace(good(), fetches=()))["duration_seconds"] is None


def test_the_verdict_is_that_of_the_terminal():
    assert (to_json(good())["verdict"], to_json(good())["is_usable"]) == ("USABLE", True)
    assert (to_json(slow())["verdict"], to_json(slow())["is_usable"]) == ("NOT USABLE", False)


def test_the_password_of_a_proxy_is_left_out():
    shown = to_json(report(issuer=issuer(proxy_url="http://user:secret@proxy:3128")))

    assert "secret" not in json.dumps(shown)


@pytest.mark.parametrize(
    ("stage", "reason"), [(stage, reason) for stage in REASONS for reason in REASONS[stage]]
)
def test_every_failure_carries_its_advice(stage: Stage, reason: Reason):
    told = to_json(report(failure=failure(stage, reason)))["failure"]

    assert isinstance(told, dict)
    assert (told["stage"], told["reason"], told["document"]) == (stage, reason, "discovery")
    assert told["advice"]["anchor"] == f"{stage}-{reason}"
    assert told["advice"]["cause_sentence"] == CAUSES[Cause(told["advice"]["cause"])]


@pytest.mark.parametrize("code", Code)
def test_every_finding_carries_its_advice(code: Code):
    findings = to_json(report(findings=(finding(code),)))["findings"]

    assert isinstance(findings, list)
    assert findings[0]["advice"]["anchor"] == f"finding-{code}"


def test_a_time_stands_as_a_number_and_as_a_date():
    shown = to_json(report(retry_after_timestamp_seconds=NOW + 0.5))

    assert shown["started_timestamp_seconds"] == NOW
    assert shown["started_time"] == "2026-09-21T14:13:20+00:00"
    assert shown["retry_after_time"] == "2026-09-21T14:13:20.500000+00:00"


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e300])
def test_a_number_that_json_does_not_know_is_null(odd: float):
    policy = CachePolicy(clock_offset_seconds=odd)
    shown = to_json(
        report(ended_timestamp_seconds=odd, caching=((Document.DISCOVERY, policy),))
    )

    assert through_json(shown) == shown
    assert shown["ended_time"] is None


def test_a_lone_surrogate_is_escaped():
    shown = to_json(report(failure=failure(detail="\ud800")))

    assert json.dumps(shown, ensure_ascii=False).encode("utf-8")
    assert '"detail": "\\\\ud800"' in json.dumps(shown)


def test_a_key_tells_whether_it_is_usable_and_why_not():
    keys = key_set(key("a"), key("b", faults=("no kid",), codes=(Code.MISSING_KID,)))
    shown = to_json(report(key_set=keys))["key_set"]

    assert isinstance(shown, dict)
    assert (shown["published"], shown["usable"]) == (2, 1)
    assert [(k["is_usable"], k["faults"], k["codes"]) for k in shown["keys"]] == [
        (True, [], []),
        (False, ["no kid"], ["missing_kid"]),
    ]


def test_what_caching_means_is_told_in_words():
    fetches = to_json(slow())["fetches"]

    assert isinstance(fetches, dict)
    assert fetches["jwks"]["caching"]["meaning"].startswith("no-cache: STS fetches it again")
    assert to_json(expired())["fetches"]["discovery"]["caching"] is None  # type: ignore[index]
