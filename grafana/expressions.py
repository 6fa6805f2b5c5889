"""What several dashboards ask, in PromQL: above all, how an issuer is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.model import FEW, PER_PAGE
from grafana.words import DEGRADED, GOOD, NOTHING, UNKNOWN, UNUSABLE

if TYPE_CHECKING:
    from grafana.names import Selectors

#: How the messages of alerts call the place of an exporter that has no `vantage`.
ONLY_VANTAGE = "the only vantage"
#: Whose result is young enough to count; recorded of every exporter and issuer.
FRESH = "and on (job, instance, issuer) instance:oidc_probe:fresh"
#: Nothing is recorded: then the raw metrics must speak, and only then.
NO_RULES = "unless on () oidc:threshold:freshness_intervals"


def state(of: Selectors) -> str:
    """The state of each issuer, as `words.STATE` reads it; one series an issuer.

    Where the rules are not loaded, the latest probes speak for themselves.
    """
    usable = of("issuer:oidc_usable:bool")
    return f"""
max by (issuer) (
  ({usable} == 0) + {UNUSABLE}
  or
  {DEGRADED} * ({usable} == 1 and on (issuer) ({worrying(of)}))
  or
  {GOOD} * {usable}
  or
  {GOOD} * min by (issuer) ({of("oidc_probe_success")}) {NO_RULES}
  or
  {UNKNOWN} * group by (issuer) ({of("oidc_issuer_info")})
)"""


def worrying(of: Selectors) -> str:
    """Issuers of which an alert says that they fail from somewhere, or come late."""
    return f"min by (issuer) ({of('instance:oidc_usable:bool')}) == 0 or {slow(of)}"


def slow(of: Selectors) -> str:
    """Issuers that take more than half of the budget, beyond the echo of an outage."""
    return f"""{of("issuer:oidc_probe_duration:budget_ratio_p95")}
  > scalar(oidc:threshold:latency_warning_ratio)
  unless on (issuer) issuer:oidc_outage:recent"""


def votes(of: Selectors) -> str:
    """What each vantage says of each issuer; without the rules fresh or not."""
    raw = f"min by (issuer, vantage) ({of('oidc_probe_success')}) {NO_RULES}"
    return f"({of('issuer_vantage:oidc_usable:bool')} or {raw})"


def counted(which: str, among: str) -> str:
    """How many of *which* there are: 0 only while there is something *among* to count."""
    return f"count({which}) or 0 * count({among})"


def firing(matchers: str) -> str:
    """Our alerts that fire."""
    return f'ALERTS{{alertname=~"OIDC.+",alertstate="firing",{matchers}}}'


def worst(expr: str, rank: str, *, lowest: bool = False) -> str:
    """The series of *expr* of the issuers that rank worst in the time that is shown.

    A choice made anew at every step would show more issuers than were asked for.
    """
    pick = "bottomk" if lowest else "topk"
    return f"{expr}\nand on (issuer)\n{pick}({PER_PAGE}, {rank})"


def over_time(function: str, selector: str) -> str:
    """*function* over all of the time that is shown, the same at every step."""
    return f"{function}({selector}[$__range] @ end())"


def or_nothing(expr: str, label: str, among: str) -> str:
    """*expr*, and a band that says so while nothing *among* all is known.

    Grafana 10 has no words for it. The band is called by *label*, which the legend must show.
    """
    nothing = f"vector({NOTHING}) unless on () {among}"
    return f'{expr}\nor on ()\nlabel_replace({nothing}, "{label}", "-", "", "")'


def longest(selector: str, *by: str) -> str:
    """Those series of *selector* that are there at the end, or were for longest.

    As many as a low timeline has room for; a label among *by* tells them apart.
    """
    labels = ", ".join(by)
    rank = f"1e9 * {selector} @ end() or count_over_time({selector}[$__range] @ end())"
    return f"{selector}\nand on ({labels})\ntopk({FEW}, max by ({labels}) ({rank}))"


def placed(expr: str) -> str:
    """*expr* with a name for the vantage that has none."""
    return f'label_replace({expr}, "vantage", "{ONLY_VANTAGE}", "vantage", "")'


def caused(expr: str) -> str:
    """*expr* with stage and reason in one label, `cause`, as the runbooks spell it."""
    return f'label_join({expr}, "cause", "-", "stage", "reason")'


def shortened(expr: str, label: str, source: str) -> str:
    """*expr* with the first twelve characters of the label *source* in another *label*."""
    return f'label_replace({expr}, "{label}", "$1", "{source}", "(.{{12}}).*")'


def ours(expr: str, of: Selectors) -> str:
    """*expr* of exporters only: other programs have processes and scrapes as well.

    Also of those that fell silent within the last day.
    """
    known = f"last_over_time({of('oidc_exporter_build_info')}[1d])"
    return f"{expr}\nand on (job, instance) {known}"
