"""The demo's issuers as one table: what each shows, and what the exporter should say of it.

The only place that lists them: the server, the configuration, the printed guide and the
tests all read `ISSUERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exporter.reasons import Code, Reason, Stage

#: Every made-up name ends in it; RFC 6761 section 6.5 keeps `example` out of the real DNS.
DOMAIN = "demo.example"

#: How often the rotating issuer brings a new key; it keeps the key before it as well.
ROTATION_SECONDS = 60


class Trust(StrEnum):
    """What is right or wrong with a site's certificate."""

    GOOD = "good"
    EXPIRED = "expired"
    UNKNOWN_CA = "unknown_ca"
    SELF_SIGNED = "self_signed"
    NO_INTERMEDIATE = "no_intermediate"


class Keys(StrEnum):
    """Which key set a made-up issuer publishes."""

    ONE = "one"
    NONE = "none"
    ROTATING = "rotating"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer given in place of a document."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/html; charset=utf-8"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoIssuer:
    """One issuer of the demo.

    Attributes:
        shows: What a person should notice, in half a sentence.
        stage, reason: The failure to expect; None for a usable issuer.
        findings: Codes to expect, whatever else may be found.
        recording: File of `data/real-issuers` to replay; None for a made-up issuer, which
            is called `https://<name>.demo.example`.
        origin: Put in place of a recording's `http://` origin: STS accepts HTTPS only.
        days: How long its certificate is still valid.
        delays: Seconds before the first byte of the discovery document and the key set.
        page: Answered in place of the discovery document.
        is_known: The name resolves.
    """

    name: str
    shows: str
    stage: Stage | None = None
    reason: Reason | None = None
    findings: tuple[Code, ...] = ()
    recording: str | None = None
    origin: str | None = None
    trust: Trust = Trust.GOOD
    days: float = 90
    delays: tuple[float, float] = (0.0, 0.0)
    page: Page | None = None
    keys: Keys = Keys.ONE
    is_known: bool = True

    @property
    def expected(self) -> str:
        """The verdict to expect, as a person reads it."""
        return "usable" if self.stage is None else f"{self.stage}/{self.reason}"


_BLOCKED = Page(
    status=403,
    body="<!DOCTYPE html><title>Access denied</title><h1>Request blocked</h1>"
    "<p>This request was blocked by a security rule. Reference: 18.5f64a117.1</p>",
    headers=(
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Server", "edge"),
    ),
)
_THROTTLED = Page(
    status=429,
    body='{"message":"Too Many Requests"}',
    headers=(("Content-Type", "application/json"), ("Retry-After", "30")),
)
_LOGIN = Page(
    status=200, body="<!DOCTYPE html><title>Sign in</title><form><input name=user></form>"
)

ISSUERS: tuple[DemoIssuer, ...] = (
    # Real documents, replayed under their real names.
    DemoIssuer(
        name="github-actions",
        recording="github-actions-2023.json",
        shows="the issuer most roles trust; sends nothing about caching",
    ),
    DemoIssuer(
        name="google",
        recording="google-2022.json",
        shows="key set on another host, www.googleapis.com",
    ),
    DemoIssuer(
        name="gitlab",
        recording="gitlab-2025.json",
        shows="key set at /oauth/discovery/keys; certificate ends in 20 days",
        days=20,
    ),
    DemoIssuer(
        name="eks",
        recording="eks-discovery.json",
        shows="an EKS cluster; its key set was never recorded, the demo's own stands in",
    ),
    DemoIssuer(
        name="k3s",
        recording="k3s-own-domain-2026.json",
        shows="the short document that a Kubernetes API server writes",
        findings=(Code.REQUIRED_FIELD_MISSING,),
    ),
    DemoIssuer(
        name="auth0",
        recording="auth0-2022.json",
        shows="issuer ends in a slash; may be cached for 15 s only",
        findings=(Code.CACHE_SHORT,),
    ),
    DemoIssuer(
        name="okta",
        recording="okta-2022.json",
        shows="key set may be cached for 44 days",
    ),
    DemoIssuer(
        name="keycloak",
        recording="keycloak-2022.json",
        origin=f"https://keycloak.{DOMAIN}",
        shows="key set says no-cache: STS fetches it again and again",
        findings=(Code.NO_CACHE, Code.ENCRYPTION_USE),
    ),
    DemoIssuer(
        name="vault",
        recording="vault-2022.json",
        origin=f"https://vault.{DOMAIN}",
        shows="key set says no-store",
        findings=(Code.NO_STORE,),
    ),
    DemoIssuer(
        name="spire",
        recording="spire-github-pages.json",
        shows="one elliptic-curve key without use and alg",
    ),
    DemoIssuer(
        name="entra-common",
        recording="entra-common-2022.json",
        shows="the document names another issuer, {tenantid}",
        stage=Stage.DOCUMENT,
        reason=Reason.ISSUER_MISMATCH,
    ),
    DemoIssuer(
        name="kind",
        recording="kind-trailing-garbage-2026.json",
        shows="a shell's prompt mark was copied behind the JSON",
        stage=Stage.DOCUMENT,
        reason=Reason.INVALID_JSON,
    ),
    # Made up: one way of misbehaving each.
    DemoIssuer(
        name="rotating",
        shows=f"a new key every {ROTATION_SECONDS} s, the one before it kept",
        keys=Keys.ROTATING,
    ),
    DemoIssuer(
        name="slow",
        shows="1.5 s + 2 s: inside the budget, over half of it",
        delays=(1.5, 2.0),
    ),
    DemoIssuer(
        name="six-seconds",
        shows="answers after 6 s: correct, and too late for STS",
        delays=(6.0, 0.0),
        stage=Stage.BUDGET,
        reason=Reason.EXCEEDED,
    ),
    DemoIssuer(
        name="three-and-three",
        shows="3 s + 3 s: each fetch looks fine, together they are too late",
        delays=(3.0, 3.0),
        stage=Stage.BUDGET,
        reason=Reason.EXCEEDED,
    ),
    DemoIssuer(
        name="blocked",
        shows="a firewall's 403 page",
        page=_BLOCKED,
        stage=Stage.HTTP,
        reason=Reason.FORBIDDEN,
    ),
    DemoIssuer(
        name="throttled",
        shows="429 with Retry-After: 30, which the exporter obeys",
        page=_THROTTLED,
        stage=Stage.HTTP,
        reason=Reason.RATE_LIMITED,
    ),
    DemoIssuer(
        name="login-page",
        shows="200 with an HTML page",
        page=_LOGIN,
        stage=Stage.DOCUMENT,
        reason=Reason.HTML,
    ),
    DemoIssuer(
        name="no-keys",
        shows="an empty key set",
        keys=Keys.NONE,
        stage=Stage.KEYS,
        reason=Reason.EMPTY,
    ),
    DemoIssuer(
        name="expired",
        shows="certificate expired three days ago; its date is still exported",
        trust=Trust.EXPIRED,
        days=-3,
        stage=Stage.TLS,
        reason=Reason.EXPIRED,
    ),
    DemoIssuer(
        name="unknown-ca",
        shows="certificate from a CA that nobody trusts",
        trust=Trust.UNKNOWN_CA,
        stage=Stage.TLS,
        reason=Reason.UNKNOWN_CA,
    ),
    DemoIssuer(
        name="self-signed",
        shows="certificate signed by itself",
        trust=Trust.SELF_SIGNED,
        stage=Stage.TLS,
        reason=Reason.SELF_SIGNED,
    ),
    DemoIssuer(
        name="no-intermediate",
        shows="the intermediate certificate is not served",
        trust=Trust.NO_INTERMEDIATE,
        stage=Stage.TLS,
        reason=Reason.INCOMPLETE_CHAIN,
    ),
    DemoIssuer(
        name="unknown-host",
        shows="its name does not exist",
        is_known=False,
        stage=Stage.DNS,
        reason=Reason.NXDOMAIN,
    ),
)
