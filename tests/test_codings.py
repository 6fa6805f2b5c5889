"""Content-Encoding as servers write it: what is decompressed, passed over, or refused."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from exporter.codings import applied, unknown
from exporter.reasons import Code
from tests.probing import KEYS, verdict
from tests.servers import http

if TYPE_CHECKING:
    from tests.probing import Bench


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), ((), ())),
        (("",), ((), ())),
        ((" Identity ",), ((), ())),
        (("GZip",), (("gzip",), ())),
        (("gzip,",), (("gzip",), ())),
        (("", "gzip"), (("gzip",), ())),
        (("gzip", "br"), (("gzip", "br"), ())),
        (("UTF-8",), ((), ("utf-8",))),
        (("aws-chunked, gzip",), (("gzip",), ("aws-chunked",))),
    ],
    ids=str,
)
def test_the_header_is_a_list(lines, expected):
    assert (applied(lines), unknown(lines)) == expected


@pytest.mark.parametrize(
    ("headers", "is_packed", "words"),
    [
        ("Content-Encoding: UTF-8\r\n", False, '"utf-8"'),
        ("Content-Encoding: none\r\n", False, '"none"'),
        ("Content-Encoding: aws-chunked,gzip\r\n", True, '"aws-chunked"'),
        ("Content-Encoding: gzip,\r\n", True, None),
        ("Content-Encoding: \r\nContent-Encoding: gzip\r\n", True, None),
    ],
    ids=repr,
)
async def test_what_is_no_coding_changes_no_body(bench: Bench, headers, is_packed, words):
    """Stores of objects keep such words as metadata and send the document as it is."""
    body = gzip.compress(KEYS.encode()) if is_packed else KEYS
    port = bench.serve(None, http(body, headers=f"Content-Type: application/json\r\n{headers}"))
    report = await bench.probe(port)
    found = [f.detail for f in report.findings if f.code is Code.UNKNOWN_ENCODING]

    assert verdict(report) == "usable"
    assert found == ([] if words is None else [f"Content-Encoding says {words}"])
