"""The verdict on every recorded issuer, as a page that a person can check.

    python -m exporter.demo.verdicts docs/real-issuers.md

Documents and headers are judged as a probe judges them; what no recording holds (addresses,
certificates, times) is left out.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from exporter.caching import policy
from exporter.demo.sites import fresh
from exporter.documents import read_discovery, read_jwks
from exporter.judge import judge
from exporter.model import Failure, Fetch, Issuer, Phases
from exporter.reasons import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.model import Discovery, Finding, KeySet

_Fact = TypeVar("_Fact")

# Any instant will do: recorded dates are moved to it.
_NOW = 1_790_000_000.0
#: Two servers were recorded on a developer's machine; an issuer is reached by HTTPS.
ORIGINS = {
    "keycloak-2022": "https://keycloak.example.com",
    "vault-2022": "https://vault.example.com",
}

_INTRODUCTION = """\
# What real issuers look like to STS

<!-- Generated: python -m exporter.demo.verdicts docs/real-issuers.md -->

These are the verdicts on the recorded documents in `exporter/demo/data/real-issuers/`, whose
README says where each was published. Each is judged as a probe judges it, with its recorded
headers, and dates moved to now. `Content-Type: application/json` stands in where no headers
were recorded. Addresses, certificates and times were not recorded and are not judged.
The Keycloak and Vault servers were recorded over plain HTTP on a developer's machine; their
origins are replaced by `https://keycloak.example.com` and `https://vault.example.com`.

**Verdict** is what STS would make of it: `usable`, or the stage and reason that stop it; a
recording of one document alone is `fine` as far as it goes. **Keys** are those that STS can
use, of those that are published. **Lifetime** is for how long the key set may be reused by
its own headers, in seconds.

What was decided, where nobody has seen what STS does:

- A byte order mark is refused (Octopus Deploy): RFC 8259 8.1 forbids to send one, and many
  parsers do not take it.
- An RSA exponent with a leading zero octet (Airflow's `AAEAAQ`) is 65537 all the same.
- A `kid` is a name: it need not be base64url (Cognito's are not).
- A missing `claims_supported` is a notice only: every Kubernetes cluster leaves it out, and
  works. Of the other fields that AWS requires nobody knows, so that their absence is a warning.
- `no-cache` and `no-store` on a discovery document are notices: Keycloak always sends them,
  and it is the key set that STS is known to cache.
- Encryption keys beside signing keys (Keycloak) are passed over, as STS does.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One recording and what is said of it.

    Attributes:
        recording: Its file without `.json`.
        lifetime_seconds: Of the key set, by its own headers.
    """

    recording: str
    name: str
    discovery: Discovery | Failure | None
    key_set: KeySet | Failure | None
    lifetime_seconds: float | None
    failure: Failure | None
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """`usable`, the stage and reason of the failure, or `fine` for one document alone."""
        if self.failure is not None:
            return f"{self.failure.stage}/{self.failure.reason}"
        return "usable" if self.discovery and self.key_set else "fine"


def verdicts() -> Iterable[Verdict]:
    """Judge every recording, in the order of their names."""
    folder = files("exporter.demo") / "data" / "real-issuers"
    recordings = (file for file in folder.iterdir() if file.name.endswith(".json"))
    for file in sorted(recordings, key=lambda file: file.name):
        name = file.name.removesuffix(".json")
        yield _verdict(name, file.read_text(encoding="utf-8"))


def page() -> str:
    """The whole of `docs/real-issuers.md`."""
    judged = list(verdicts())
    rows = "".join(map(_row, judged))
    words = "".join(line for verdict in judged for line in _words(verdict))
    return (
        f"{_INTRODUCTION}\n"
        "| recording | issuer | verdict | keys | lifetime | findings |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        f"{rows}\n## Why\n\n{words}"
    )


def _verdict(name: str, text: str) -> Verdict:
    recorded: dict[str, Any] = json.loads(text)
    if name in ORIGINS:
        old = urlsplit(recorded["issuer_url"])
        recorded = json.loads(text.replace(f"{old.scheme}://{old.netloc}", ORIGINS[name]))
    fetches = tuple(_fetch(d, recorded) for d in Document if recorded[d] is not None)
    caching = tuple((f.document, policy(f.headers, received=_NOW)) for f in fetches)
    discovery = _read(read_discovery, recorded[Document.DISCOVERY])
    key_set = _read(read_jwks, recorded[Document.JWKS])
    failure, findings = judge(
        Issuer(url=recorded["issuer_url"], name=name),
        fetches=fetches,
        caching=caching,
        discovery=discovery,
        key_set=key_set,
        duration_seconds=0.0,
    )
    return Verdict(
        recording=name,
        name=recorded["name"],
        discovery=discovery,
        key_set=key_set,
        lifetime_seconds=dict(caching)[Document.JWKS].max_age_seconds if key_set else None,
        failure=failure,
        findings=findings,
    )


def _read(
    reader: Callable[[bytes, str | None], _Fact], recorded: Mapping[str, Any] | None
) -> _Fact | None:
    if recorded is None:
        return None
    body = recorded.get("body_text") or json.dumps(recorded["body"])
    return reader(body.encode(), dict(_headers(recorded))["content-type"])


def _headers(recorded: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """As a probe would get them now: lower-case names, fresh dates, a type in any case."""
    return tuple((name.lower(), value) for name, value in fresh(recorded["headers"], _NOW))


def _fetch(document: Document, recorded: Mapping[str, Any]) -> Fetch:
    return Fetch(
        document=document,
        url=recorded["issuer_url"],
        started_timestamp_seconds=_NOW,
        phases=Phases(),
        status=recorded[document]["status"],
        headers=_headers(recorded[document]),
    )


def _row(verdict: Verdict) -> str:
    lifetime = verdict.lifetime_seconds
    cells = (
        f"`{verdict.recording}`",
        verdict.name,
        f"`{verdict.summary}`" if verdict.failure else verdict.summary,
        _usable(verdict.key_set),
        "" if lifetime is None else f"{lifetime:.0f}",
        ", ".join(f"{f.document} `{f.code}`" for f in verdict.findings),
    )
    return f"| {' | '.join(cells)} |\n"


def _usable(key_set: KeySet | Failure | None) -> str:
    if key_set is None:
        return ""
    if isinstance(key_set, Failure):
        return f"`{key_set.stage}/{key_set.reason}`"
    return f"{sum(key.is_usable for key in key_set.keys)} of {len(key_set.keys)}"


def _words(verdict: Verdict) -> Iterable[str]:
    """One line for everything that is not as it should be."""
    said = [(f"{f.document} `{f.code}` ({f.level})", f.detail) for f in verdict.findings]
    if failure := verdict.failure:
        said.insert(0, (f"{failure.document} **{verdict.summary}**", failure.detail))
    for what, detail in said:
        yield f"- `{verdict.recording}` {what}: {detail}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
