"""What a metric is: the only place where its name, labels and text are put into words.

A `Metric` is described once; `/metrics`, the documentation and the checks of rules and
dashboards read the same description. Labels are closed vocabularies, or say who bounds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from exporter import reasons

if TYPE_CHECKING:
    from collections.abc import Mapping

# A label's text is made once and used in every scrape. The closed vocabularies need some
# 400 entries; the rest holds what remote parties write, and what is old falls out.
_REMEMBERED_TEXTS = 4096

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Type(StrEnum):
    """A metric's type, as both text formats spell it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label beside `issuer`.

    Attributes:
        values: The closed vocabulary; empty when the values are not ours to list.
        origin: Then, who chooses the values and what bounds them.
    """

    name: str
    values: tuple[str, ...] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric as its reader meets it.

    Attributes:
        help: One sentence, plain text: it stands in both formats, which escape differently.
        absent: When there is no series, as the end of "Absent while ..."; empty for never.
    """

    name: str
    type: Type
    help: str
    labels: tuple[Label, ...] = ()
    absent: str = ""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels, in the order in which samples give their values."""
        return tuple(label.name for label in self.labels)

    @property
    def series_names(self) -> tuple[str, ...]:
        """Every name under which Prometheus stores it."""
        if self.type is Type.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


DOCUMENT = Label(name="document", values=tuple(reasons.Document))
PHASE = Label(name="phase", values=tuple(reasons.Phase))
STAGE = Label(name="stage", values=tuple(reasons.Stage))
REASON = Label(name="reason", values=tuple(reasons.Reason))
FAMILY = Label(name="family", values=tuple(reasons.Family))
SCOPE = Label(name="scope", values=tuple(reasons.Scope))
DIRECTIVE = Label(name="directive", values=tuple(reasons.Directive))
HEADER = Label(name="header", values=tuple(reasons.CacheHeader))
POSITION = Label(name="position", values=tuple(reasons.Position))
CODE = Label(name="code", values=tuple(reasons.Code))
LEVEL = Label(name="level", values=tuple(reasons.Level))
KTY = Label(name="kty", values=tuple(reasons.KeyType))
ALG = Label(name="alg", values=tuple(reasons.KeyAlg))
USE = Label(name="use", values=tuple(reasons.KeyUse))
CAUSE = Label(name="cause", values=tuple(reasons.SkipCause))
ANSWER = Label(name="answer", values=tuple(reasons.Answer))
URL = Label(name="url", origin="configured")
KID = Label(name="kid", origin="the issuer; escaped, cut to 128 characters, at most 20")
TLS_VERSION = Label(name="version", origin="OpenSSL's name of the protocol version")
CIPHER = Label(name="cipher", origin="OpenSSL's name of the cipher suite")
THUMBPRINT = Label(name="thumbprint", origin="40 hexadecimal digits")
SHA256 = Label(name="sha256", origin="64 hexadecimal digits")


def label_text(labels: Mapping[str, str]) -> str:
    """*labels* as they stand between the braces, in their order."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in labels.items()])


@lru_cache(maxsize=_REMEMBERED_TEXTS)
def more_labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """What follows `issuer="..."` between the braces, comma first; empty without labels."""
    return "".join(
        [f',{name}="{escape(value)}"' for name, value in zip(names, values, strict=True)]
    )


def escape(value: str) -> str:
    """*value* as it stands between the quotes, in both formats.

    Source: Prometheus text format 0.0.4, OpenMetrics 1.0 (`escaped-string`).
    """
    return value.translate(_ESCAPES)
