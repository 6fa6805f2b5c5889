"""A store in which every family has a series, and its text.

python -m tests.scrapes    # writes the golden scrapes anew; look at the difference
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from exporter.exposition import Format, chunks
from exporter.model import CacheDirective, CachePolicy, Phases
from exporter.own_metrics import Own
from exporter.reasons import CacheHeader, Code, Directive, Document, KeyType, Reason, Stage
from exporter.store import Store
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

GOLDEN = {
    Format.TEXT: Path(__file__).parent / "data" / "scrape.txt",
    Format.OPENMETRICS: Path(__file__).parent / "data" / "scrape.openmetrics.txt",
}

ACME = issuer(labels=(("team", "platform"),))
BROKEN = issuer(
    name="broken", url="https://broken.example.com", budget_seconds=2.0, timeout_seconds=4.0
)
NEW = issuer(name='quo"te', url="https://new.example.com/a\\b")


def good(**changes):
    """A report in which every fact of a good probe is known."""
    leaf = certificate()
    middle = certificate(not_after_timestamp_seconds=NOW + 30 * 86_400, sha256="d" * 64)
    root = certificate(not_before_timestamp_seconds=NOW - 3600, sha1="e" * 40, sha256="e" * 64)
    served = tls(chain=(leaf, middle, root))
    policy = CachePolicy(
        directives=(
            CacheDirective(header=CacheHeader.CACHE_CONTROL, directive=Directive.PUBLIC),
            CacheDirective(
                header=CacheHeader.CACHE_CONTROL, directive=Directive.MAX_AGE, value="300"
            ),
        ),
        max_age_seconds=300.0,
        clock_offset_seconds=-1.5,
    )
    no_cache = CachePolicy(
        directives=(
            CacheDirective(header=CacheHeader.PRAGMA, directive=Directive.NO_CACHE),
            CacheDirective(header=CacheHeader.PRAGMA, directive=Directive.NO_CACHE),
        ),
        is_cacheable=False,
    )
    return report(
        **{
            "issuer": ACME,
            "fetches": (
                fetch(tls=served),
                fetch(
                    Document.JWKS,
                    is_reused=True,
                    tls=served,
                    duration_seconds=0.08,
                    phases=Phases(processing=0.05, transfer=0.03),
                    size_bytes=1234,
                ),
            ),
            "caching": ((Document.DISCOVERY, policy), (Document.JWKS, no_cache)),
            "key_set": key_set(
                key(),
                key("k2", kty=KeyType.EC, alg="ES256", faults=("key_ops",)),
                key(None, kty=KeyType.OKP, alg="secret-sauce", use="enc", faults=("no kid",)),
            ),
            "findings": (
                finding(Code.PRAGMA_NO_CACHE),
                finding(Code.KEY_OPS),
                finding(Code.KEY_OPS),
            ),
            **changes,
        }
    )


def bad(**changes):
    """A report that ended in an expired certificate, and in a wish to be left alone."""
    expired = tls(
        version=None,
        cipher=None,
        chain=(certificate(not_after_timestamp_seconds=NOW - 60),),
        is_verified=False,
    )
    why = failure(Stage.TLS, Reason.EXPIRED)
    stopped = Phases(resolve=0.01, connect=0.02, tls=0.04)
    return report(
        **{
            "issuer": BROKEN,
            "duration_seconds": 0.07,
            "fetches": (
                fetch(
                    duration_seconds=0.07,
                    phases=stopped,
                    tls=expired,
                    status=None,
                    headers=(),
                    size_bytes=None,
                    failure=why,
                ),
            ),
            "discovery": None,
            "key_set": None,
            "failure": why,
            "retry_after_timestamp_seconds": NOW + 120,
            **changes,
        }
    )


def store():
    """A good issuer whose keys have changed, a broken one, and one never probed."""
    made = Store(Own(version="1.2.3"))
    made.keep([ACME, BROKEN, NEW])
    made.record(good())
    later = good(ended_timestamp_seconds=NOW + 60.25)
    made.record(replace(later, key_set=key_set(key("k2"), key("k3"), sha256="f" * 64)))
    made.record(later)
    made.record(bad())
    return made


async def scrape(made, fmt=Format.TEXT):
    """The whole text."""
    return b"".join([chunk async for chunk in chunks(made, made.own, fmt)]).decode()


async def text(made, *names, fmt=Format.TEXT):
    """The sample lines of these families, or of all issuers."""
    lines = (await scrape(made, fmt)).splitlines()
    wanted = names or ("oidc_",)
    return [line for line in lines if line.startswith(wanted) and "oidc_exporter" not in line]


async def issuers_part(made, fmt):
    """Everything up to the exporter's own metrics, which differ from run to run."""
    whole = await scrape(made, fmt)
    return whole[: whole.index("# HELP oidc_exporter")]


if __name__ == "__main__":
    for fmt, path in GOLDEN.items():
        path.write_text(asyncio.run(issuers_part(store(), fmt)))
