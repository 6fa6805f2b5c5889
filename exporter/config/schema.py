"""Every key of the configuration, its default and its meaning: the table behind the docs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from exporter.config import addresses
from exporter.config.problems import shown
from exporter.config.values import SWITCH, choice, duration, or_null, size, text, whole
from exporter.reasons import Family

#: From the path of a CA file, as written, to an absolute one. Raises ValueError, with a
#: sentence, when no certificate is there.
FindCertificates = Callable[[str], str]

#: In characters, of the value of the `issuer` label.
LONGEST_NAME = 255

_NAME = text(1, LONGEST_NAME)
_LABEL_VALUE = text(0, 1024)
_INTERVAL = duration("1s", "1d")
_FAMILY = choice({"any": None, "ipv4": Family.IPV4, "ipv6": Family.IPV6})


def _key(name: str, about: str, *, default: object, **more: Any) -> Any:  # noqa: ANN401
    """The key *name* of YAML; its *default*, too, is written as in YAML."""
    return Field(default=default, alias=name, description=about, **more)


def _list(name: str, about: str, **more: Any) -> Any:  # noqa: ANN401
    # Not strict: YAML has lists, and what is kept is a tuple.
    return _key(name, about, default=[], strict=False, **more)


class Section(BaseModel):
    """A mapping with a closed set of keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=True)


class Settings(Section):
    """How issuers are probed. An issuer may set any of these for itself.

    The attributes have the names of `exporter.model.Issuer`, their aliases those of YAML.
    """

    interval_seconds: Annotated[float, _INTERVAL] = _key(
        "interval", "From the start of one probe to the start of the next.", default="60s"
    )
    interval_failing_seconds: Annotated[float | None, or_null(_INTERVAL, "the interval")] = (
        _key("interval_failing", "The same, while the issuer fails.", default=None)
    )
    budget_seconds: Annotated[float, duration("1ms", "5m")] = _key(
        "budget",
        "What STS allows for both documents together; more is a failure.",
        default="5s",
    )
    timeout_seconds: Annotated[
        float | None, or_null(duration("1ms", "10m"), "twice the budget")
    ] = _key(
        "timeout",
        "When the exporter stops waiting; beyond the budget, to measure a late answer too.",
        default=None,
    )
    attempts: Annotated[int, whole(1, 10)] = _key(
        "attempts", "Tries before a failure counts; STS makes one.", default=1
    )
    max_body_bytes: Annotated[int, size("1KiB", "64MiB")] = _key(
        "max_body_bytes", "The longest document read, after decompression.", default="1MiB"
    )
    ip_family: Annotated[Family | None, _FAMILY] = _key(
        "ip_family", "Which addresses are dialled.", default="any"
    )
    nameservers: tuple[Annotated[str, addresses.NAMESERVER], ...] = _list(
        "nameservers", "DNS servers to ask; an empty list stands for the system's."
    )
    ca_file: Annotated[str | None, or_null(addresses.PATH, "the public CAs alone")] = _key(
        "ca_file",
        "PEM file of CAs to trust beside the public ones, relative to the file that names it. "
        "STS trusts public CAs, so using it is itself a finding.",
        default=None,
    )
    proxy_url: Annotated[str | None, or_null(addresses.PROXY_URL, "no proxy")] = _key(
        "proxy_url",
        "HTTP proxy to go through (CONNECT); port 80 if none is named.",
        default=None,
    )
    user_agent: Annotated[
        str | None, or_null(text(1, 255, is_ascii=True), "the exporter's own")
    ] = _key(
        "user_agent", "The User-Agent header; the exporter's own says who it is.", default=None
    )
    reuse_connection: Annotated[bool, SWITCH] = _key(
        "reuse_connection",
        "Fetch the key set over the discovery's connection when scheme, host and port agree.",
        default=True,
    )
    allow_private_jwks: Annotated[bool, SWITCH] = _key(
        "allow_private_jwks",
        "Follow the jwks_uri of a public issuer to an address that is not public.",
        default=False,
    )
    rotation_overlap_seconds: Annotated[float, duration("0s", "1y")] = _key(
        "rotation_overlap",
        "How long a new key should stand beside an old one before that is withdrawn.",
        default="1h",
    )

    @field_validator("ca_file")
    @classmethod
    def _is_found(cls, path: str | None, info: ValidationInfo) -> str | None:
        find: FindCertificates | None = info.context
        return find(path) if path is not None and find is not None else path


class _Identity(Section):
    url: Annotated[str, addresses.ISSUER_URL] = Field(
        description="The issuer, to the letter as in the tokens' `iss` and in IAM."
    )
    name: Annotated[str | None, or_null(_NAME, "the URL without https://")] = _key(
        "name", "The value of the `issuer` label; unique. It may hold slashes.", default=None
    )
    audiences: tuple[Annotated[str, text(1, 255)], ...] = _list(
        "audiences", "Client IDs that the provider in IAM should list.", max_length=100
    )
    labels: dict[Annotated[str, addresses.LABEL_NAME], Annotated[str, _LABEL_VALUE]] = _key(
        "labels",
        "Labels of oidc_issuer_info, to join with; no other metric has them.",
        default={},
    )
    connect_to: Annotated[tuple[str, int] | None, or_null(addresses.HOST_PORT, "the URL's")] = (
        _key("connect_to", "What to dial instead; Host and SNI stay the URL's.", default=None)
    )


# pydantic takes the fields of bases from right to left: an entry begins with its URL.
class IssuerEntry(Settings, _Identity):
    """One issuer. What it does not set is as `defaults` has it."""

    # What is unset is never looked at, and there may be ten thousand entries.
    model_config = ConfigDict(validate_default=False)


class TargetGroup(Section):
    """Issuers, as Prometheus's file_sd writes targets."""

    targets: tuple[Annotated[str, addresses.ISSUER_URL], ...] = Field(
        strict=False, description="The URLs of issuers."
    )
    labels: dict[Annotated[str, addresses.GROUP_LABEL_NAME], Annotated[str, _LABEL_VALUE]] = (
        _key(
            "labels",
            "Labels of each of them. `__*` are dropped; `issuer` names an only target.",
            default={},
        )
    )

    @property
    def name(self) -> str | None:
        """The name of the only target, if the group gives one."""
        return self.labels.get("issuer")

    @property
    def own_labels(self) -> dict[str, str]:
        """The labels to be shown; Prometheus, too, keeps `__*` to itself."""
        return {k: v for k, v in self.labels.items() if k != "issuer" and k[:2] != "__"}

    @model_validator(mode="after")
    def _names_one(self) -> TargetGroup:
        count = len(self.targets)
        if self.name is not None and (count != 1 or not 0 < len(self.name) <= LONGEST_NAME):
            raise ValueError(
                "want the label issuer to name one target in "
                f"1 to {LONGEST_NAME} characters, got {shown(self.name)} for {count}"
            )
        return self


class LimitsSection(Section):
    """How much may be under way at once."""

    concurrency: Annotated[int, whole(1, 10_000)] = _key(
        "concurrency", "Probes under way at once.", default=100
    )
    concurrency_per_host: Annotated[int, whole(1, 10_000)] = _key(
        "concurrency_per_host", "The same, of issuers on one host.", default=4
    )


class ConfigFile(Section):
    """The configuration of the OIDC issuer exporter."""

    vantage: Annotated[str, text(0, 255)] = _key(
        "vantage",
        "Where this exporter stands: a label of oidc_exporter_info, and of nothing else.",
        default="",
    )
    defaults: Settings = _key("defaults", "How issuers are probed.", default={})
    limits: LimitsSection = _key("limits", "How much may be under way at once.", default={})
    issuers: tuple[IssuerEntry, ...] = _list("issuers", "The issuers to watch.")
    issuer_files: tuple[Annotated[str, addresses.PATH], ...] = _list(
        "issuer_files",
        "Patterns of files with more issuers, relative to the file that names them: lists of "
        "the same entries, or Prometheus file_sd lists; YAML or JSON.",
    )
