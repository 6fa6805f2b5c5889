"""The row of OIDC / Issuer that says where in the chain it breaks, from DNS to the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.reasons import Stage
from grafana import model, words
from grafana.facts import OF
from grafana.fields import now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grafana.names import Json

#: The links of the chain, up to the discovery document: at which stages they break, and
#: what holds while they do not.
CHAIN = {
    "DNS": ((Stage.DNS,), "The host's name is looked up."),
    "Connect": ((Stage.TCP,), "A TCP connection is made."),
    "TLS": ((Stage.TLS,), "The handshake succeeds, with a certificate that STS trusts."),
    "Discovery": (
        (Stage.HTTP, Stage.BODY, Stage.DOCUMENT),
        "The discovery document arrives and is this issuer's.",
    ),
}


def panels() -> list[Json]:
    """A number for each link, and for how long nobody may ask."""
    earlier: list[Stage] = [Stage.CONFIG]
    found = []
    for title, (stages, holds) in CHAIN.items():
        found.append(_link(title, holds, _at(stages), _at(earlier)))
        earlier += stages
    keys = _failing(document='="jwks"', stage=f'!~"{Stage.BUDGET}|{Stage.INTERNAL}"')
    holds = "The key set is found, wherever it stands, and holds a usable key."
    return [*found, _link("Key set", holds, keys, _at(earlier)), _left_alone()]


def _at(stages: Iterable[Stage]) -> str:
    return _failing(document='="discovery"', stage=f'=~"{"|".join(stages)}"')


def _failing(**matchers: str) -> str:
    return OF("oidc_probe_failure_info", **matchers)


def _link(title: str, holds: str, failing: str, before: str) -> Json:
    ended = OF("oidc_probe_success")
    ours = _failing(stage=f'="{Stage.INTERNAL}"')
    expr = f"""
min(
  0 * {failing}
  or on (job, instance, issuer)
  {before}
  or on (job, instance, issuer)
  2 + 0 * ({ended} unless on (job, instance, issuer) {ours})
)"""
    return model.stat(
        title,
        f"{holds} The worst of what the exporters met at their latest probe. A chain that "
        "holds can still be too slow: see the verdict.",
        now(expr),
        h=3,
        mappings=words.LINK,
        filled=True,
    )


def _left_alone() -> Json:
    until = OF("oidc_probe_retry_after_timestamp_seconds")
    asked = f"clamp_min(max({until}) - time(), 0)"
    return model.stat(
        "Left alone",
        "How long the issuer still wants to be left alone (Retry-After). The exporter obeys, "
        "and the latest result counts for so long.",
        now(f"{asked} or 0 * max({OF('oidc_probe_success')})"),
        h=3,
        unit="dtdurations",
        decimals=0,
        mappings=words.NO_WAIT,
        no_value="unknown",
    )
