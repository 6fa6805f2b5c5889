"""The documents for programs: their shape, their limits, and how they are asked for."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import (  # type: ignore[import-untyped]
    Draft202012Validator,
    FormatChecker,
)
from yarl import URL

from exporter import __version__
from exporter.model import CachePolicy
from exporter.reasons import REASONS, Code, Document, Reason, Stage
from exporter.web.api_schema import json_schema, text
from tests import builders, reports
from tests.site import asked, site

if TYPE_CHECKING:
    from exporter.model import Report

SCHEMA = Path(__file__).parent.parent / "docs/api.schema.json"
PAGE = SCHEMA.with_name("api.md")


def closed(schema: Any) -> Any:
    """*schema* without room for members that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return {"additionalProperties": False, **parts} if "required" in schema else parts


def is_valid(document: Any, kind: str) -> None:
    schema = closed(json.loads(SCHEMA.read_text("utf-8")))
    wanted = {"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]}
    Draft202012Validator(wanted, format_checker=FormatChecker()).validate(document)


def test_the_schema_that_is_published_is_that_of_the_code():
    """`make docs` writes it anew."""
    assert SCHEMA.read_text("utf-8") == text()
    Draft202012Validator.check_schema(json_schema())


ODD = builders.report(
    ended_timestamp_seconds=math.inf,
    caching=((Document.DISCOVERY, CachePolicy(clock_offset_seconds=math.nan)),),
    retry_after_timestamp_seconds=builders.NOW,
    failure=builders.failure(Stage.HTTP, Reason.RATE_LIMITED, detail="\ud800"),
)
BARE = builders.report(fetches=(), discovery=None, key_set=None, failure=builders.failure())


@pytest.mark.parametrize(
    "report", [reports.good(), reports.slow(), reports.expired(), ODD, BARE]
)
async def test_every_document_has_the_published_shape(report: Report):
    async with site(report) as client:
        status, issuers = await asked(client, "/api/v1/issuers")
        _, issuer = await asked(client, "/api/v1/issuers/acme")

    assert status == 200
    is_valid(json.loads(issuers), "issuers")
    is_valid(json.loads(issuer), "issuer")


@pytest.mark.parametrize(
    ("stage", "reason"), [(stage, reason) for stage in REASONS for reason in REASONS[stage]]
)
async def test_every_failure_has_it_too(stage: Stage, reason: Reason):
    async with site(builders.report(failure=builders.failure(stage, reason))) as client:
        is_valid(json.loads((await asked(client, "/api/v1/issuers/acme"))[1]), "issuer")


async def test_every_finding_has_it_too():
    found = tuple(builders.finding(code) for code in Code)
    async with site(builders.report(findings=found)) as client:
        is_valid(json.loads((await asked(client, "/api/v1/issuers/acme"))[1]), "issuer")


async def test_a_summary_says_what_matters():
    labelled = builders.issuer(labels=(("team", "platform"),))
    async with site(replace(reports.slow(), issuer=labelled)) as client:
        document = json.loads((await asked(client, "/api/v1/issuers"))[1])

    (one,) = document["issuers"]
    assert document["version"] == __version__
    assert one["failure"] == {
        "document": "jwks",
        "stage": "budget",
        "reason": "exceeded",
        "detail": "6.30 s of 5 s: discovery 3.15 s, jwks 3.15 s",
    }
    del one["failure"]
    assert one == {
        "name": "acme",
        "url": builders.URL,
        "labels": {"team": "platform"},
        "standing": "not_usable",
        "words": "The answer is good, but comes too late",
        "findings": 2,
        "since_timestamp_seconds": builders.NOW + 0.3,
        "since_time": "2026-09-21T14:13:20.300000+00:00",
        "probed_timestamp_seconds": builders.NOW + 0.3,
        "probed_time": "2026-09-21T14:13:20.300000+00:00",
        "duration_seconds": 6.3,
        "budget_seconds": 5.0,
        "is_cacheable": False,
        "max_age_seconds": None,
        "keys_published": 2,
        "keys_usable": 1,
        "certificate_not_after_timestamp_seconds": builders.NOW + 90 * 86_400,
        "certificate_not_after_time": "2026-12-20T14:13:20+00:00",
    }


async def test_an_issuer_that_was_not_probed_yet_is_listed():
    async with site() as client:
        issuers = json.loads((await asked(client, "/api/v1/issuers"))[1])
        issuer = json.loads((await asked(client, "/api/v1/issuers/acme"))[1])

    is_valid(issuers, "issuers")
    is_valid(issuer, "issuer")
    assert issuers["issuers"][0]["standing"] == "not_probed"
    assert (issuer["summary"], issuer["reports"]) == (issuers["issuers"][0], [])


async def test_the_last_reports_come_with_how_many_were_left_out():
    failing = [replace(reports.expired(), duration_seconds=n / 10) for n in range(6)]
    async with site(reports.good(), *failing) as client:
        document = json.loads((await asked(client, "/api/v1/issuers/acme"))[1])

    kept = [
        (one["verdict"], one["duration_seconds"], one["left_out"])
        for one in document["reports"]
    ]
    assert kept == [
        ("NOT USABLE", 0.5, 0),
        ("NOT USABLE", 0.4, 3),
        ("NOT USABLE", 0.0, 0),
        ("USABLE", 0.23, 0),
    ]


async def test_the_list_can_be_filtered_and_sorted_as_the_page_can():
    issuers = [builders.issuer(name=name, url=f"https://{name}") for name in ("b", "a", "c")]
    async with site(replace(reports.slow(), issuer=issuers[1]), issuers=issuers) as client:
        everything = json.loads((await asked(client, "/api/v1/issuers?sort=-name"))[1])
        failing = json.loads((await asked(client, "/api/v1/issuers?state=not_usable"))[1])
        found = json.loads((await asked(client, "/api/v1/issuers?text=//B"))[1])

    assert [one["name"] for one in everything["issuers"]] == ["c", "b", "a"]
    assert [one["name"] for one in failing["issuers"]] == ["a"]
    assert [one["name"] for one in found["issuers"]] == ["b"]


async def test_an_unknown_name_is_not_found():
    async with site() as client:
        response = await client.get(URL("/api/v1/issuers/no%2Fbody%3C", encoded=True))
        document = await response.json()

    assert response.status == 404
    assert document["name"] == "no/body<"
    is_valid(document, "error")


async def test_the_head_of_an_answer_can_be_asked_for_alone():
    async with site(reports.good()) as client:
        for path in ("/api/v1/issuers", "/api/v1/issuers/acme"):
            response = await client.head(path)
            assert (response.status, await response.text()) == (200, "")


async def test_a_lone_surrogate_is_escaped_wherever_it_stands():
    """It has no form in UTF-8, and not every parser reads its escape in JSON."""
    async with site(ODD) as client:
        for path in ("/api/v1/issuers", "/api/v1/issuers/acme"):
            text = (await asked(client, path))[1]
            assert '"detail": "\\\\ud800"' in text
            assert '"\\ud800"' not in text


async def test_answers_are_json_and_never_cached():
    async with site(reports.good()) as client:
        for path in ("/api/v1/issuers", "/api/v1/issuers/acme", "/api/v1/issuers/nobody"):
            response = await client.get(path)
            assert response.content_type == "application/json"
            assert response.headers["Cache-Control"] == "no-store"


async def test_a_fleet_is_listed_without_holding_the_loop():
    """A second task gets its turns while two thousand issuers are listed."""
    issuers = [
        builders.issuer(name=f"i{n}", url=f"https://i{n}.example.com") for n in range(2000)
    ]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with site(issuers=issuers) as client:
        other = asyncio.create_task(count())
        _, body = await asked(client, "/api/v1/issuers")
        other.cancel()

    assert len(json.loads(body)["issuers"]) == 2000
    assert turns > 20


def test_the_page_speaks_of_every_member_and_shows_a_valid_answer():
    page = PAGE.read_text("utf-8")
    schema = json_schema()["$defs"]
    members = {*schema["summary"]["properties"], *schema["issuers"]["properties"]}

    assert [name for name in sorted(members) if f"`{name}`" not in page] == []
    example = page.partition("```json\n")[2].partition("\n```")[0]
    is_valid(json.loads(example), "issuers")
