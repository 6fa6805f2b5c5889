"""Which alert speaks of a failure or a finding, by the names of the shipped rules."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from exporter.reasons import LEVELS, REASONS, Code, Level, Reason, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_STAGE = {
    Stage.CONFIG: "OIDCIssuerBadURL",
    Stage.DNS: "OIDCIssuerDNSFailing",
    Stage.TCP: "OIDCIssuerConnectFailing",
    Stage.TLS: "OIDCIssuerTLSFailing",
    Stage.HTTP: "OIDCIssuerBadResponse",
    Stage.BODY: "OIDCIssuerBadBody",
    Stage.DOCUMENT: "OIDCIssuerBadDocument",
    Stage.KEYS: "OIDCIssuerNoUsableKeys",
    Stage.BUDGET: "OIDCIssuerOverBudget",
    Stage.INTERNAL: "OIDCExporterProbePanics",
}
_BY_PAIR = {
    (Stage.HTTP, Reason.TIMEOUT): "OIDCIssuerTimeout",
    (Stage.BODY, Reason.TIMEOUT): "OIDCIssuerTimeout",
    (Stage.HTTP, Reason.REDIRECT): "OIDCIssuerRedirects",
    (Stage.HTTP, Reason.RATE_LIMITED): "OIDCIssuerRateLimited",
    (Stage.HTTP, Reason.FORBIDDEN): "OIDCIssuerForbidden",
    (Stage.HTTP, Reason.NOT_FOUND): "OIDCIssuerNotFound",
    (Stage.HTTP, Reason.SERVER_ERROR): "OIDCIssuerServerErrors",
    (Stage.DOCUMENT, Reason.ISSUER_MISMATCH): "OIDCIssuerMismatch",
}
_BY_CODE = {
    Code.NO_CACHE: "OIDCJWKSNotCacheable",
    Code.PRAGMA_NO_CACHE: "OIDCJWKSNotCacheable",
    Code.CACHE_SHORT: "OIDCJWKSCacheTooShort",
    Code.MAX_AGE_ZERO: "OIDCJWKSCacheTooShort",
    Code.PRIVATE_ADDRESS: "OIDCIssuerPrivateAddress",
    Code.PRIVATE_KEY_EXPOSED: "OIDCPrivateKeyExposed",
    Code.KEYS_NEAR_LIMIT: "OIDCKeyCountNearLimit",
    Code.CLOCK_SKEW: "OIDCIssuerClockSkew",
}

#: The alert that explains a failure; every pair has one.
OF_FAILURE: Mapping[tuple[Stage, Reason], str] = MappingProxyType(
    {
        (stage, reason): _BY_PAIR.get((stage, reason), _BY_STAGE[stage])
        for stage, reasons in REASONS.items()
        for reason in reasons
    }
)
#: The alert that tells of a finding; most notices have none.
OF_FINDING: Mapping[Code, str] = MappingProxyType(
    {
        code: _BY_CODE.get(code, "OIDCIssuerLint")
        for code in Code
        if code in _BY_CODE or LEVELS[code] is not Level.NOTICE
    }
)
