"""What is known of particular issuers, and better than the general words.

An issuer is recognised by its URL alone. A named group of the pattern may be used in the
texts as `$GROUP`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from exporter.advice.form import (
    HEADERS,
    KEYS,
    NO_KEY,
    NO_PROVIDER,
    PROVIDERS,
    Mark,
    failure,
    finding,
)
from exporter.reasons import Cause, Code, Reason, Stage

EKS = re.compile(r"https://oidc\.eks\.(?P<REGION>[a-z0-9-]+)\.amazonaws\.com(/|$)")
EKS_CHINA = re.compile(r"https://oidc\.eks\.(?P<REGION>[a-z0-9-]+)\.amazonaws\.com\.cn(/|$)")
S3 = re.compile(r"https://([^/]+\.)?s3([.-][a-z0-9-]+)?\.amazonaws\.com(\.cn)?(/|$)")
KEYCLOAK = re.compile(r"https://[^?#]+/realms/[^/]+/?$")
OKTA = re.compile(r"https://[^/]+\.(okta|oktapreview|okta-emea)\.com(/|$)")
AUTH0 = re.compile(r"https://[^/]+\.auth0\.com$")
ENTRA = re.compile(r"https://login\.microsoftonline\.com/(common|organizations|consumers)(/|$)")

_EKS_HIDDEN = failure(
    Stage.DNS,
    Reason.NXDOMAIN,
    title="This network hides the name of the EKS issuer",
    meaning="Inside a VPC with an interface endpoint for EKS, the names under "
    "eks.$REGION.amazonaws.com are answered by a private zone that does not know the issuer. "
    "STS asks from outside and is not hurt.",
    todo="Take it as a fault of where this exporter stands. Probe from a network without that "
    "endpoint, or set `nameservers` to a public resolver for this issuer. The dual-stack "
    "name, oidc-eks.$REGION.api.aws, resolves inside such a VPC: list the issuer under it if "
    "the cluster's tokens carry it.",
    cause=Cause.US,
    mark=Mark.DOCUMENTED,
    command='dig "$HOST"; dig @1.1.1.1 "$HOST"; dig oidc-eks.$REGION.api.aws',
    error="",
)

_EKS_HIDDEN_CHINA = (
    _EKS_HIDDEN[0],
    replace(
        _EKS_HIDDEN[1],
        meaning=_EKS_HIDDEN[1].meaning.replace("amazonaws.com", "amazonaws.com.cn"),
        todo="Take it as a fault of where this exporter stands. Probe from a network without "
        "that endpoint, or set `nameservers` to a public resolver for this issuer.",
        command='dig "$HOST"; dig @1.1.1.1 "$HOST"',
    ),
)

_EKS_THROTTLES = failure(
    Stage.HTTP,
    Reason.RATE_LIMITED,
    title="EKS throttles requests for this cluster's keys",
    meaning="AWS documents that EKS limits how often the issuer's documents may be fetched "
    "and asks clients to respect cache-control. Whether STS runs into the same limit is not "
    "documented.",
    todo="Look for clients of your own that poll this URL, this exporter included: raise "
    "`interval`, and let one exporter watch the cluster instead of several.",
    cause=Cause.TOO_MANY_REQUESTS,
    mark=Mark.DOCUMENTED,
    command=HEADERS,
)

_S3_FORBIDDEN = failure(
    Stage.HTTP,
    Reason.FORBIDDEN,
    title="The bucket does not let the public read the documents",
    meaning="S3 answers 403 when the public may not read an object, and also when the object "
    "does not exist and the public may not list the bucket. STS asks without credentials.",
    todo="Whoever owns the bucket makes the two objects publicly readable (bucket policy, or "
    "object ACLs; a block of public access overrules both), or puts CloudFront before a "
    "private bucket and moves the issuer there.",
    cause=Cause.FIREWALL,
    mark=Mark.REPORTED,
    command=HEADERS,
)

_S3_REDIRECT = failure(
    Stage.HTTP,
    Reason.REDIRECT,
    title="S3 sends its clients to another endpoint",
    meaning="The bucket lives in another region than the URL says, so S3 answers with a "
    "permanent redirect. In the one public report of it, calls ended in the error below.",
    todo="Whoever set up the issuer uses the bucket's regional name in the issuer's URL, or "
    "as the origin of CloudFront.",
    cause=Cause.UNREACHABLE,
    mark=Mark.REPORTED,
    command=HEADERS,
)

_KEYCLOAK_NO_CACHE = finding(
    Code.NO_CACHE,
    title="Keycloak forbids caching of its key set",
    meaning="Keycloak sends `no-cache` when its setting staticMaxAge is 0 or less, as in "
    "development mode (start-dev). STS then fetches the keys again and again, and Keycloak "
    "carries the load.",
    todo="Keycloak's operator runs `kc.sh start` instead of `start-dev`, or sets the theme's "
    "static-max-age to an hour or so. The default of 30 days is long for a key rotation.",
    cause=Cause.TOO_MANY_REQUESTS,
    mark=Mark.DOCUMENTED,
    command=HEADERS,
    error=NO_KEY,
)

_KEYCLOAK_ENCRYPTION = finding(
    Code.ENCRYPTION_USE,
    title="Keycloak publishes its encryption key beside the signing key",
    meaning="A realm usually has an RSA-OAEP key with `use` enc in the same set. STS was seen "
    "to pass over such keys.",
    todo="Nothing, as long as a usable signing key stands beside it.",
    cause=Cause.KEYS,
    mark=Mark.CAPTURED,
    command=KEYS,
)

_OKTA_NO_CACHE = finding(
    Code.NO_CACHE,
    title="Okta forbids caching: a key rotation is near",
    meaning="Okta answers `no-cache` on purpose around a rotation of its keys, and with a "
    "long max-age at other times. Meanwhile STS fetches the key set again and again.",
    todo="Wait: it should end with the rotation. If it stays for hours, ask Okta's support, "
    "and watch for 429.",
    cause=Cause.TOO_MANY_REQUESTS,
    mark=Mark.REPORTED,
    command=HEADERS,
    error=NO_KEY,
)

_AUTH0_SLASH = failure(
    Stage.DOCUMENT,
    Reason.ISSUER_MISMATCH,
    title="Auth0's issuer ends with a slash, and the configured one does not",
    meaning="Auth0 names itself with a slash at the end, in its document and in its tokens. "
    "The configured URL has none, and to IAM these are two different providers.",
    todo="Write the issuer with the slash at the end, here and in IAM. The AWS CLI adds one "
    "to the provider's ARN by itself, the SDKs do not.",
    cause=Cause.TRUST,
    mark=Mark.DOCUMENTED,
    command=PROVIDERS,
    error=NO_PROVIDER,
)

_ENTRA_COMMON = failure(
    Stage.DOCUMENT,
    Reason.ISSUER_MISMATCH,
    title="Entra ID's shared endpoint is nobody's issuer",
    meaning="This endpoint serves all tenants and writes {tenantid} where an issuer's name "
    "should be. No token carries that, so it can never be a provider in IAM.",
    todo="Use your tenant's own issuer, with the tenant's id in the URL in place of common, "
    "here and in IAM; a token's `iss` shows which form (v1 or v2.0) it has.",
    cause=Cause.TRUST,
    mark=Mark.DOCUMENTED,
    command='curl -sS "$URL" | jq .issuer',
    error=NO_PROVIDER,
)

#: Which words replace the general ones, and for whom; first match wins.
ROWS = (
    (EKS, _EKS_HIDDEN),
    (EKS_CHINA, _EKS_HIDDEN_CHINA),
    (EKS, _EKS_THROTTLES),
    (EKS_CHINA, _EKS_THROTTLES),
    (S3, _S3_FORBIDDEN),
    (S3, _S3_REDIRECT),
    (KEYCLOAK, _KEYCLOAK_NO_CACHE),
    (KEYCLOAK, _KEYCLOAK_ENCRYPTION),
    (OKTA, _OKTA_NO_CACHE),
    (AUTH0, _AUTH0_SLASH),
    (ENTRA, _ENTRA_COMMON),
)
