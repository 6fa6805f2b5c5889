"""What to tell people when the probe came to its end too late, or failed through our fault."""

from __future__ import annotations

from exporter.advice.form import TIMES, Mark, failure
from exporter.reasons import Cause, Reason, Stage

ROWS = (
    failure(
        Stage.BUDGET,
        Reason.EXCEEDED,
        title="The answer is good, but comes too late",
        meaning="Both documents arrived, but both together took longer than the budget. AWS "
        "names 5 seconds; whether it counts each request or the sum is not documented, so the "
        "sum is what is watched.",
        todo="See which phase takes the time. Lookup, connection, TLS: the network or a "
        "distant server. Processing: the issuer's operator looks at its load, or puts a CDN "
        "in front of both documents. Callers should use a regional STS endpoint.",
        cause=Cause.LATENCY,
        mark=Mark.INFERRED,
        command=TIMES,
    ),
    failure(
        Stage.INTERNAL,
        Reason.ERROR,
        title="The exporter could not do its work",
        meaning="A bug of this exporter ended the probe, or its host ran out of descriptors or "
        "memory, or the issuer's `ca_file` cannot be read. It says nothing about the issuer: "
        "STS may be well served.",
        todo="Mend the file or raise the limit that the detail names. If it names a bug, take "
        "the traceback from the exporter's log and report it to the project. Until then judge "
        "this issuer by hand.",
        cause=Cause.US,
        mark=Mark.INFERRED,
        command=TIMES,
        error="",
    ),
)
