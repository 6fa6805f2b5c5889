"""The only place that tells people what to do about a failure or a finding.

One advice stands for every pair of stage and reason and for every code; a few issuers whose
habits are known have better words. The tables are the package's other modules.
"""

from __future__ import annotations

import re
from dataclasses import replace
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING

from exporter.advice import answering, connecting, contents, encryption, findings, issuers, ours
from exporter.advice.form import Advice, Mark
from exporter.reasons import Cause, Code, Document, Reason, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model import Failure, Finding

__all__ = ["CAUSES", "FAILURES", "FINDINGS", "Advice", "Mark", "for_failure", "for_finding"]

#: A to D are AWS's own; E and F are its readers'; G and H complete them.
CAUSES: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.UNREACHABLE: "The discovery document or the key set cannot be fetched from the "
        "public internet.",
        Cause.FIREWALL: "A firewall, a bot filter or an access rule blocks the requests.",
        Cause.LATENCY: "The documents take longer to arrive than the 5 seconds STS waits.",
        Cause.TOO_MANY_REQUESTS: "Too many requests: the answer forbids caching, or the issuer "
        "throttles.",
        Cause.KEY_SET_ADDRESS: "The key set is looked for in the wrong place: its address is "
        "what `jwks_uri` says.",
        Cause.TRUST: "Issuer, token and the provider in IAM do not agree (URL, audience, "
        "thumbprint).",
        Cause.KEYS: "The key set arrives, but holds no key that STS can use for the token.",
        Cause.US: "The exporter itself, or the place it stands in, is at fault.",
    }
)

FAILURES: Mapping[tuple[Stage, Reason], Advice] = MappingProxyType(
    dict(
        connecting.ROWS + encryption.ROWS + answering.ROWS + contents.ROWS + ours.ROWS,
    )
)
FINDINGS: Mapping[Code, Advice] = MappingProxyType(dict(findings.ROWS))

# A URL comes from a remote document and ends in a command that somebody pastes into a
# shell: nothing that a shell reads within double quotes, no host that is an option, and no
# more than a person can see at once.
_HARMLESS_URL = re.compile(
    r"https?://(?P<HOST>[A-Za-z0-9][A-Za-z0-9._-]{0,252})(:(?P<PORT>\d{1,5}))?"
    r"([/?][A-Za-z0-9/?&=.,_~%+:@-]{0,400})?"
)


def for_failure(failure: Failure, issuer_url: str = "", document_url: str = "") -> Advice:
    """What to do about *failure*.

    *document_url* is the address that was asked; it defaults to that of the discovery
    document of *issuer_url*. A command names it where it is harmless in a shell, and
    keeps its `$URL`, `$HOST` and `$PORT` where it is unknown or not.
    """
    pair = (failure.stage, failure.reason)
    url = document_url or _document_url(failure.document, issuer_url)
    return _known(pair, FAILURES[pair], issuer_url, url)


def for_finding(finding: Finding, issuer_url: str = "", document_url: str = "") -> Advice:
    """What to do about *finding*; the URLs as in `for_failure`."""
    url = document_url or _document_url(finding.document, issuer_url)
    if finding.document is Document.DISCOVERY and finding.code in findings.ON_DISCOVERY:
        return _filled(findings.ON_DISCOVERY[finding.code], _names(url))
    return _known(finding.code, FINDINGS[finding.code], issuer_url, url)


def _document_url(document: Document, issuer_url: str) -> str:
    if document is Document.JWKS or not issuer_url:
        return ""
    return f"{issuer_url.removesuffix('/')}/.well-known/openid-configuration"


def _known(
    about: tuple[Stage, Reason] | Code, general: Advice, issuer_url: str, document_url: str
) -> Advice:
    """The words for this issuer, or else the *general* ones, with all names filled in."""
    for pattern, (key, special) in issuers.ROWS:
        match = pattern.match(issuer_url)
        if match and key == about:
            return _filled(special, _names(document_url) | match.groupdict())
    return _filled(general, _names(document_url))


def _names(url: str) -> dict[str, str]:
    match = _HARMLESS_URL.fullmatch(url)
    if not match:
        return {}
    return {"URL": url, "HOST": match["HOST"], "PORT": match["PORT"] or "443"}


def _filled(advice: Advice, names: Mapping[str, str]) -> Advice:
    def fill(text: str) -> str:
        return Template(text).safe_substitute(names)

    return replace(
        advice,
        meaning=fill(advice.meaning),
        todo=fill(advice.todo),
        command=fill(advice.command),
    )
