"""A scrape: the only place where the text of all issuers comes together.

The process that answers is the one that measures latency, so whatever holds its event loop
is added to every latency in flight. A scrape therefore joins text that was rendered before,
in chunks, and lets the loop run between them; compression happens in a thread.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING
from zlib import MAX_WBITS

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from exporter.families import FAMILIES

# ISA-L packs this text four times as fast as zlib, and no worse. Not every machine has it.
try:
    from isal.isal_zlib import compressobj
except ImportError:
    from zlib import compressobj  # type: ignore[assignment] # the same in another's stubs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from exporter.metric import Metric
    from exporter.own_metrics import Own
    from exporter.store import Store

#: Issuers joined in one go: some 0.2 ms of the loop in the widest family.
SLICE_ISSUERS = 256
#: A chunk is written when it has come to this size; smaller ones cost more system calls.
CHUNK_BYTES = 128 * 1024
#: A chunk that is to be packed may be larger: each one costs a trip to a thread and back.
PACKED_CHUNK_BYTES = 512 * 1024
#: Level 1 packs this text to a twentieth; zlib's level 9, gzip's habit, takes far longer.
GZIP_LEVEL = 1


class Format(Enum):
    """A text format, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def handler(store: Store, own: Own) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An aiohttp handler that answers with everything that is known."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        fmt = choose_format(",".join(request.headers.getall("Accept", ())))
        encodings = ",".join(request.headers.getall("Accept-Encoding", ()))
        headers = {"Content-Type": fmt.value, "Vary": "Accept, Accept-Encoding"}
        if accepts_gzip(encodings):
            headers["Content-Encoding"] = "gzip"
            body = gzipped(chunks(store, own, fmt, size=PACKED_CHUNK_BYTES))
        else:
            body = chunks(store, own, fmt)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        if request.method != "HEAD":
            async with aclosing(body):
                async for chunk in body:
                    await response.write(chunk)
        await response.write_eof()
        return response

    return metrics


def choose_format(accept: str) -> Format:
    """The format that the `Accept` header prefers; the older one when it has no wish.

    Whoever asks for OpenMetrics by name and ranks it no lower gets it. Somebody who accepts
    neither is answered all the same, as every exporter does.
    """
    ranges = list(_ranges(accept))
    openmetrics = [q for kind, q in ranges if kind in _OPENMETRICS_RANGES]
    if not openmetrics:
        return Format.TEXT
    return Format.OPENMETRICS if 0 < max(openmetrics) >= _text_quality(ranges) else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the `Accept-Encoding` header allows gzip, by name or by `*`."""
    quality = dict(_ranges(accept_encoding))
    return quality.get("gzip", quality.get("*", 0.0)) > 0


async def chunks(
    store: Store, own: Own, fmt: Format, *, size: int = CHUNK_BYTES
) -> AsyncGenerator[bytes, None]:
    """A whole scrape in pieces of at least *size* bytes; the loop runs after each of them.

    Reports that come in between show in what is still to be joined: a family holds every
    issuer once, but two families may stand on either side of a report.
    """
    spent, begun = 0.0, perf_counter()
    pieces: list[bytes] = []
    held = 0
    for piece in _pieces(store, own, fmt):
        pieces.append(piece)
        held += len(piece)
        if held >= size:
            chunk = b"".join(pieces)
            spent += perf_counter() - begun
            yield chunk
            await asyncio.sleep(0)
            begun, held = perf_counter(), 0
            pieces.clear()
    own.render.observe(spent + perf_counter() - begun)
    yield b"".join(pieces)


async def gzipped(body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """*body* as one gzip stream, packed in a thread: the packer lets go of the interpreter."""
    # 16 more than the window's bits asks for gzip's header and trailer.
    packer = compressobj(GZIP_LEVEL, wbits=16 + MAX_WBITS)
    async with aclosing(body):
        async for chunk in body:
            if packed := await asyncio.to_thread(packer.compress, chunk):
                yield packed
    yield await asyncio.to_thread(packer.flush)


def _pieces(store: Store, own: Own, fmt: Format) -> Iterator[bytes]:
    for family, head in zip(FAMILIES, _HEADS[fmt], strict=True):
        yield head
        column = store.column(family)
        for start in range(0, len(column), SLICE_ISSUERS):
            yield b"".join(column[start : start + SLICE_ISSUERS])
    encode, _ = choose_encoder(fmt.value)
    # Last, because OpenMetrics ends in an `# EOF` that comes with it.
    yield encode(own.registry)


def head(metric: Metric, fmt: Format) -> bytes:
    """What stands above a family's samples. OpenMetrics names a counter without `_total`."""
    name, unit = metric.name, ""
    if fmt is Format.OPENMETRICS:
        name = name.removesuffix("_total")
        suffix = name.rpartition("_")[2]
        unit = f"# UNIT {name} {suffix}\n" if suffix in _UNITS else ""
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.type}\n{unit}".encode()


_UNITS = ("seconds", "bytes")
_HEADS = {fmt: tuple(head(family, fmt) for family in FAMILIES) for fmt in Format}

_OPENMETRICS_RANGES = (
    "application/openmetrics-text",
    "application/openmetrics-text;version=1.0.0",
)
# From the most to the least specific: the first that occurs speaks for the format.
_TEXT_RANGES = ("text/plain;version=0.0.4", "text/plain", "text/*", "*/*")


def _text_quality(ranges: list[tuple[str, float]]) -> float:
    quality = dict(ranges)
    return next((quality[kind] for kind in _TEXT_RANGES if kind in quality), 0.0)


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    """Each media range or coding with its version, and its quality (RFC 9110 12.4.2)."""
    for part in header.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        values = dict(p.split("=", 1) for p in parameters if "=" in p)
        version = f";version={values['version']}" if "version" in values else ""
        yield kind + version, _quality(values.get("q", "1"))


def _quality(text: str) -> float:
    """A malformed quality is no wish: 0."""
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
