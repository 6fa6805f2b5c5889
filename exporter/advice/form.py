"""The form of an advice, and the words that many of them share.

Texts are for somebody who was woken by an alert and has never heard of OIDC discovery:
what STS meets, what its caller sees, who can mend it and which command shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.reasons import Cause, Code, Reason, Stage

#: What AWS answers when it got no key in time; the two blanks are its own.
NO_KEY = (
    "InvalidIdentityToken: Couldn't retrieve verification key from your identity provider,"
    "  please reference AssumeRoleWithWebIdentity documentation for requirements"
)
NOT_VALIDATED = (
    "InvalidIdentityToken: The web identity token provided could not be validated. "
    "See the AssumeRoleWithWebIdentity documentation for requirements."
)
NO_PROVIDER = (
    "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://..."
)
THUMBPRINT = (
    "InvalidIdentityToken: OpenIDConnect provider's HTTPS certificate doesn't match "
    "configured thumbprint"
)

#: Commands, for a shell. `$URL`, `$HOST` and `$PORT` are those of the document in question.
HEADERS = 'curl -sS -D - -o /dev/null "$URL"'
BODY = 'curl -sS "$URL" | head -c 2000'
JSON = 'curl -sS "$URL" | python3 -m json.tool'
CONNECT = 'curl -sv --connect-timeout 10 -o /dev/null "$URL"'
RESOLVE = 'dig "$HOST"; dig @1.1.1.1 "$HOST"'
HANDSHAKE = 'openssl s_client -connect "$HOST:$PORT" -servername "$HOST" </dev/null'
CHAIN = 'openssl s_client -connect "$HOST:$PORT" -servername "$HOST" -showcerts </dev/null'
LEAF = f"{HANDSHAKE} | openssl x509 -noout -subject -issuer -dates -ext subjectAltName"
TIMES = (
    'curl -sS -o /dev/null -w "dns %{time_namelookup} tcp %{time_connect} '
    'tls %{time_appconnect} first byte %{time_starttransfer} total %{time_total}\\n" "$URL"'
)
KEYS = """curl -sS "$URL" | jq -c '.keys[] | {kid, kty, use, alg, crv, key_ops}'"""
KEY_COUNTS = """curl -sS "$URL" | jq -c '[.keys[].kty] | group_by(.) | map([.[0], length])'"""
PROVIDERS = "aws iam list-open-id-connect-providers"


class Mark(StrEnum):
    """How it is known that STS minds."""

    DOCUMENTED = "documented"
    CAPTURED = "captured"
    REPORTED = "reported"
    INFERRED = "inferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a failure or a finding means, and what to do about it.

    Attributes:
        title: A few words for a headline, without a full stop.
        meaning: What STS meets and what its caller sees.
        todo: Who can mend it, and how.
        cause: The cause of AWS's article it belongs to.
        anchor: Where runbooks speak of it; stable, fit for a URL fragment.
        mark: How it is known that STS minds.
        command: Shows it in a shell; empty when no command would.
        error: What AWS would answer its caller; empty when it would not come to that.
    """

    title: str
    meaning: str
    todo: str
    cause: Cause
    anchor: str
    mark: Mark
    command: str = ""
    error: str = ""


def failure(
    stage: Stage,
    reason: Reason,
    *,
    title: str,
    meaning: str,
    todo: str,
    cause: Cause,
    mark: Mark,
    command: str = "",
    error: str = NO_KEY,
) -> tuple[tuple[Stage, Reason], Advice]:
    """One row of a table of failures, its anchor made of *stage* and *reason*."""
    return (stage, reason), Advice(
        title=title,
        meaning=meaning,
        todo=todo,
        cause=cause,
        anchor=f"{stage}-{reason}",
        mark=mark,
        command=command,
        error=error,
    )


def finding(
    code: Code,
    *,
    title: str,
    meaning: str,
    todo: str,
    cause: Cause,
    mark: Mark,
    command: str = "",
    error: str = "",
) -> tuple[Code, Advice]:
    """One row of the table of findings, its anchor made of *code*."""
    return code, Advice(
        title=title,
        meaning=meaning,
        todo=todo,
        cause=cause,
        anchor=f"finding-{code}",
        mark=mark,
        command=command,
        error=error,
    )
