"""The parts of the runbooks that are made from the advice: sections and decision tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.advice import CAUSES, FAILURES, FINDINGS, findings, issuers
from exporter.advice.alerts import OF_FAILURE, OF_FINDING
from exporter.advice.markdown import table
from exporter.reasons import LEVELS, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.advice.form import Advice
    from exporter.reasons import Code, Reason


def stage(name: str) -> str:
    """A section for every reason of the stage called *name*.

    Raises:
        ValueError: There is no such stage.
    """
    wanted = Stage(name)
    return "\n\n".join(
        "\n\n".join(_section(pair, f"`{wanted}` / `{pair[1]}`", advice, OF_FAILURE[pair]))
        for pair, advice in FAILURES.items()
        if pair[0] is wanted
    )


def codes() -> str:
    """A section for every code of a finding."""
    return "\n\n".join(
        "\n\n".join(
            _section(code, f"`{code}` ({LEVELS[code]})", advice, OF_FINDING.get(code, ""))
        )
        for code, advice in FINDINGS.items()
    )


def reasons(alert: str) -> str:
    """A decision table of the reasons that *alert* speaks of.

    Raises:
        KeyError: It speaks of none.
    """
    pairs = [pair for pair in FAILURES if OF_FAILURE[pair] == alert]
    if not pairs:
        raise KeyError(alert)
    return table(
        ("stage / reason", "in words", "who does what"),
        (
            (f"[`{stage}` / `{reason}`](causes.md#{a.anchor})", a.title, a.todo)
            for (stage, reason), a in ((pair, FAILURES[pair]) for pair in pairs)
        ),
    )


def _section(
    about: tuple[Stage, Reason] | Code, label: str, advice: Advice, alert: str
) -> Iterator[str]:
    yield f'### <a id="{advice.anchor}"></a>{label}: {advice.title}'
    yield advice.meaning
    yield f"**Do.** {advice.todo}"
    if advice.command:
        yield f"```sh\n{advice.command}\n```"
    for special in _specials(about):
        yield f"> **{special.title}.** {special.meaning} {special.todo}"
    yield " · ".join(_footnotes(advice, alert))


def _specials(about: tuple[Stage, Reason] | Code) -> Iterator[Advice]:
    """Words for known issuers and documents; one for each headline."""
    found = [special for _, (key, special) in issuers.ROWS if key == about]
    found += [special for code, special in findings.ON_DISCOVERY.items() if code == about]
    yield from {special.title: special for special in reversed(found)}.values()


def _footnotes(advice: Advice, alert: str) -> Iterator[str]:
    yield f"AWS's cause {advice.cause}: {CAUSES[advice.cause].removesuffix('.')}"
    yield str(advice.mark)
    if advice.error:
        yield f"callers see `{advice.error}`"
    if alert:
        yield f"alert [{alert}]({alert}.md)"
