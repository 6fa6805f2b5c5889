"""A scrape as a client meets it: format, compression, chunks, and what stands in them."""

from __future__ import annotations

import asyncio
import gzip
import platform
import subprocess
import sys
from functools import cache

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

from exporter.exposition import (
    CHUNK_BYTES,
    SLICE_ISSUERS,
    Format,
    accepts_gzip,
    choose_format,
    chunks,
    gzipped,
    handler,
)
from exporter.families import FAMILIES
from exporter.metric import Type
from exporter.own_metrics import Own
from exporter.store import Store
from tests import scrapes
from tests.builders import issuer, key, key_set, report

PARSERS = {Format.TEXT: classic, Format.OPENMETRICS: openmetrics}
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF_FIRST = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def samples(text, fmt):
    """Every sample as (name, labels) and value, as a parser of that format reads it."""
    return [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in PARSERS[fmt](text)
        for sample in family.samples
    ]


@cache
def parsed(fmt):
    """Every family of one store, by the name that a parser of that format gives it."""
    text = asyncio.run(scrapes.scrape(scrapes.store(), fmt))
    return {family.name: family for family in PARSERS[fmt](text)}


@pytest.fixture
async def client():
    store = scrapes.store()
    app = web.Application()
    app.router.add_get("/metrics", handler(store, store.own))
    async with TestClient(TestServer(app), auto_decompress=False) as made:
        yield made


@pytest.mark.parametrize("fmt", Format, ids=lambda fmt: fmt.name)
async def test_the_scrape_of_one_store_is_this_text(fmt):
    """After a wanted change: python -m tests.scrapes, and look at the difference."""
    assert await scrapes.issuers_part(scrapes.store(), fmt) == scrapes.GOLDEN[fmt].read_text()


@pytest.mark.parametrize("fmt", Format, ids=lambda fmt: fmt.name)
async def test_a_parser_of_the_format_reads_every_series_once(fmt):
    text = await scrapes.scrape(scrapes.store(), fmt)
    read = samples(text, fmt)

    assert len(dict(read)) == len(read)
    assert len(read) == len([line for line in text.splitlines() if line[0] != "#"])


async def test_both_formats_tell_the_same():
    store = scrapes.store()
    told = {
        fmt: {
            series: value
            for series, value in samples(await scrapes.scrape(store, fmt), fmt)
            if series[0].startswith("oidc_") and "oidc_exporter_render" not in series[0]
        }
        for fmt in Format
    }

    assert told[Format.TEXT] == told[Format.OPENMETRICS]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("fmt", Format, ids=lambda fmt: fmt.name)
def test_every_family_is_told_with_type_help_and_samples(fmt, family):
    # The parser of the older format, too, takes a counter's `_total` off its name.
    name = family.name.removesuffix("_total")
    read = parsed(fmt)[name]

    assert (read.type, read.documentation) == (family.type, family.help)
    assert read.samples
    if fmt is Format.OPENMETRICS and family.type is not Type.COUNTER:
        assert read.unit == next((u for u in ("seconds", "bytes") if name.endswith(u)), "")


async def test_a_good_issuer_has_about_85_series():
    """The number that the documentation gives for planning."""
    store = Store()
    store.keep([scrapes.ACME])
    store.record(scrapes.good())

    assert 80 <= len(await scrapes.text(store)) <= 90


async def test_openmetrics_ends_in_its_only_end():
    text = await scrapes.scrape(scrapes.store(), Format.OPENMETRICS)

    assert text.endswith("\n# EOF\n")
    assert text.count("# EOF") == 1
    assert "# EOF" not in await scrapes.scrape(scrapes.store(), Format.TEXT)


NAMES = st.text(min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(name=NAMES, kid=NAMES, team=NAMES)
def test_whatever_stands_in_a_label_comes_out_of_a_parser_as_it_went_in(name, kid, team):
    odd = issuer(name=name, url=f"https://{team}", labels=(("team", team),))
    store = Store()
    store.keep([odd])
    store.record(report(issuer=odd, key_set=key_set(key(kid))))
    text = asyncio.run(scrapes.scrape(store, Format.OPENMETRICS))
    read = dict(samples(text, Format.OPENMETRICS))
    identity = {"issuer": name, "url": f"https://{team}", "team": team}
    published = {"issuer": name, "kid": kid, "kty": "RSA", "alg": "RS256", "use": "sig"}

    assert ("oidc_issuer_info", frozenset(identity.items())) in read
    assert ("oidc_jwks_key_info", frozenset(published.items())) in read
    assert ("oidc_probe_success", frozenset({"issuer": name}.items())) in read


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", "a\nb", "a\\nb", "a{b}", "a,b=c", "ü\u202e", " "]
)
async def test_hostile_names_are_read_alike_in_the_older_format(name):
    store = Store()
    store.keep([issuer(name=name)])
    read = dict(samples(await scrapes.scrape(store), Format.TEXT))

    assert read["oidc_probes_total", frozenset({"issuer": name}.items())] == 0


@pytest.mark.parametrize(
    ("accept", "fmt"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        (BROWSER, Format.TEXT),
        (PROMETHEUS_2, Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        (PROTOBUF_FIRST, Format.OPENMETRICS),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", Format.OPENMETRICS),
        ("application/openmetrics-text, text/plain", Format.OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", Format.TEXT),
        ("application/openmetrics-text;version=2.0.0", Format.TEXT),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0, */*;q=0", Format.TEXT),
        ("application/openmetrics-text;q=high", Format.TEXT),
        ("application/openmetrics-text;q=7, text/plain;q=0.1", Format.TEXT),
        ("application/openmetrics-text;q=nan", Format.TEXT),
        ("application/openmetrics-text;q=0.4, text/plain;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0.4, text/*;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0.4, */*;q=0.5", Format.TEXT),
        (
            "application/openmetrics-text;q=0.4, text/plain;version=0.0.4;q=0.3, */*",
            Format.OPENMETRICS,
        ),
        (";;,=,q", Format.TEXT),
    ],
)
def test_the_format_is_the_one_that_the_client_prefers(accept, fmt):
    assert choose_format(accept) is fmt


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*", True),
        ("*;q=0", False),
        ("br, zstd", False),
        ("xgzip", False),
    ],
)
def test_gzip_is_used_where_it_is_accepted(accepted, is_packed):
    assert accepts_gzip(accepted) is is_packed


async def test_a_scrape_comes_with_its_type_and_in_chunks(client):
    response = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
    text = await response.text()

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Encoding" not in response.headers
    assert 'oidc_probe_success{issuer="acme"} 1\n' in text


async def test_openmetrics_comes_when_it_is_asked_for(client):
    response = await client.get("/metrics", headers={"Accept": PROMETHEUS_2})
    kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    assert response.headers["Content-Type"] == kind


async def test_a_packed_scrape_is_the_same_text(client):
    plain = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
    packed = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    ours = [
        [line for line in text.decode().splitlines() if "oidc_exporter" not in line]
        for text in (await plain.read(), gzip.decompress(await packed.read()))
    ]

    assert packed.headers["Content-Encoding"] == "gzip"
    assert [line for line in ours[0] if line.startswith("oidc")] == [
        line for line in ours[1] if line.startswith("oidc")
    ]


def test_a_machine_without_the_faster_packer_packs_all_the_same():
    code = """
import asyncio, sys
sys.modules["isal"] = None
from exporter.exposition import gzipped

async def pieces():
    yield b"oidc_probe_success 1"

async def pack():
    return [chunk async for chunk in gzipped(pieces())]

sys.stdout.buffer.write(b"".join(asyncio.run(pack())))
"""

    packed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    assert gzip.decompress(packed.stdout) == b"oidc_probe_success 1"


async def test_packing_is_one_stream_however_small_the_pieces():
    async def pieces():
        for word in (b"oidc_", b"probe_", b"success 1\n") * 50:
            yield word

    packed = [chunk async for chunk in gzipped(pieces())]

    assert gzip.decompress(b"".join(packed)) == b"oidc_probe_success 1\n" * 50
    assert all(packed), "an empty chunk would end a chunked answer"


async def test_repeated_headers_count_as_one(client):
    headers = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip"), ("Accept", "text/html")]
    headers.append(("Accept", "application/openmetrics-text"))
    response = await client.get("/metrics", headers=headers)

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")


async def test_head_has_the_headers_alone(client):
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"HEAD /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/plain" in answer
    assert answer.partition(b"\r\n\r\n")[2] == b""


def many(number):
    store = Store(Own())
    store.keep([issuer(name=f"issuer-{n}") for n in range(number)])
    return store


async def test_the_loop_runs_between_the_chunks_of_a_large_scrape():
    """What is measured in this process must not wait for a scrape."""
    store, turns = many(2000), 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    sizes = [len(chunk) async for chunk in chunks(store, store.own, Format.TEXT)]
    other.cancel()

    assert len(sizes) > 20
    assert turns >= len(sizes) - 1
    assert max(sizes) < 8 * CHUNK_BYTES
    assert min(sizes[:-1]) >= CHUNK_BYTES, "small chunks cost more system calls"


async def test_a_small_scrape_is_one_chunk():
    """Forty families of two issuers in forty packets would be a waste of everybody's time."""
    store = many(2)

    assert len([chunk async for chunk in chunks(store, store.own, Format.TEXT)]) == 1


async def test_a_scrape_tells_what_the_one_before_it_took():
    store = many(10)
    first, second = await scrapes.scrape(store), await scrapes.scrape(store)

    assert "oidc_exporter_render_seconds_count 0.0\n" in first
    assert "oidc_exporter_render_seconds_count 1.0\n" in second


async def test_reports_and_removals_during_a_scrape_tear_no_family():
    store = many(3 * SLICE_ISSUERS)
    issuers = [state.issuer for state in store.states()]
    text = b""
    async for chunk in chunks(store, store.own, Format.TEXT, size=1):
        text += chunk
        issuers = [*issuers[7:], *issuers[:3]]
        store.keep(issuers)
        store.record(report(issuer=issuers[0]))
    series = [line.rpartition(" ")[0] for line in text.decode().splitlines() if line[0] != "#"]

    assert len(set(series)) == len(series)


async def test_the_exporter_says_what_it_is_and_where_it_stands():
    own = Own(version="1.2.3")
    store = Store(own)
    own.loaded(vantage="here", config_sha256="a" * 64, at=5.0)
    own.load_failed()
    own.loaded(vantage="there", config_sha256="b" * 64, at=7.0)
    lines = (await scrapes.scrape(store)).splitlines()
    python = platform.python_version()

    assert f'oidc_exporter_build_info{{python="{python}",version="1.2.3"}} 1.0' in lines
    assert [line for line in lines if line.startswith("oidc_exporter_info")] == [
        f'oidc_exporter_info{{config_sha256="{"b" * 64}",vantage="there"}} 1.0'
    ]
    assert "oidc_exporter_config_last_reload_successful 1.0" in lines
    assert "oidc_exporter_config_last_reload_success_timestamp_seconds 7.0" in lines


async def test_a_refused_configuration_leaves_the_old_one_and_says_so():
    store = Store(Own())
    store.own.loaded(vantage="here", config_sha256="a" * 64, at=5.0)
    store.own.load_failed()
    lines = (await scrapes.scrape(store)).splitlines()

    assert "oidc_exporter_config_last_reload_successful 0.0" in lines
    assert "oidc_exporter_config_last_reload_success_timestamp_seconds 5.0" in lines
    assert f'oidc_exporter_info{{config_sha256="{"a" * 64}",vantage="here"}} 1.0' in lines


@pytest.mark.parametrize("fmt", Format, ids=lambda fmt: fmt.name)
async def test_no_series_tells_when_a_counter_was_made(fmt):
    """prometheus_client would add a series to each counter and histogram for it."""
    assert "_created" not in await scrapes.scrape(scrapes.store(), fmt)
