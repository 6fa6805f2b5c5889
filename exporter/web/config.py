"""The operator's web configuration, read whole, and refused with everything that is wrong."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.config.loading import ConfigError
from exporter.config.problems import Problem, shown
from exporter.config.validation import validate
from exporter.config.yamlfile import parse
from exporter.web.schema import WebFile
from exporter.web.tls import Materials, build, rule_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.config.yamlfile import Source
    from exporter.web.schema import HeadersSection, TlsSection
    from exporter.web.tls import Tls

#: No list of users comes near it, and no chain of certificates.
MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A request every so many seconds, and *burst* of them at once."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """A web configuration in which nothing is wrong; as it is made, one that asks for nothing.

    Attributes:
        tls: None serves HTTP in the clear.
        headers: Of every answer, in place of the exporter's own.
        users: Bcrypt hashes by name; none lets everybody in.
        wants_http2: The file asks for what is not served.
        digest: What `digest` said just before the files were read.
    """

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[bytes, bytes] = field(default_factory=dict)
    rate: Rate | None = None
    wants_http2: bool = False
    digest: str = ""


def load(path: Path) -> WebConfig:
    """Read the web configuration *path*, and the PEM files that it names.

    Raises:
        ConfigError: With everything that is wrong, in the order of lines.
    """
    seen = digest(path)
    source, problems = _parsed(path)
    if source is None:
        raise ConfigError(problems)
    value = _without_blanks({} if source.value is None else source.value)
    problems += _shape_problems(value, source)
    file, more = validate(WebFile, _mappings(value), source, ())
    _raise_if([*problems, *more])
    assert file is not None  # noqa: S101 - what is not valid has problems
    return WebConfig(
        tls=_tls(file.tls_server_config, source),
        headers=_headers(file.http_server_config.headers),
        users={name.encode(): hashed for name, hashed in file.basic_auth_users.items()},
        rate=_rate(file),
        wants_http2="http2" in file.http_server_config.model_fields_set
        and file.http_server_config.http2,
        digest=seen,
    )


def digest(path: Path) -> str:
    """A hash over the web configuration *path* and the files it names, nothing judged.

    A file that cannot be read counts as such: it is a change when it can be again.
    """
    contents = [_content_or_fault(path)]
    contents += [_content_or_fault(path.parent / name) for name in _names_in(contents[0])]
    whole = hashlib.sha256()
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()


def _parsed(path: Path) -> tuple[Source | None, list[Problem]]:
    try:
        return parse(path, _read(path))
    except OSError as error:
        return None, [Problem(file=path, message=f"cannot be read: {error.strerror}")]


def _raise_if(problems: Iterable[Problem]) -> None:
    if found := sorted(problems, key=lambda problem: problem.line or 0):
        raise ConfigError(found)


def _tls(section: TlsSection, source: Source) -> Tls | None:
    """The TLS that *section* asks for, None if it asks for none. Raises ConfigError."""
    if not section.model_fields_set:
        return None
    _raise_if(rule_problems(section, source))
    found, problems = _materials(section, source)
    _raise_if(problems)
    tls, problems = build(section, found, source)
    _raise_if(problems)
    return tls


def _materials(section: TlsSection, source: Source) -> tuple[Materials, list[Problem]]:
    """What the files hold, or the text that stands in their place."""
    problems = []
    found: dict[str, bytes] = {}
    for key in ("cert", "key", "client_ca"):
        name = getattr(section, f"{key}_file")
        found[key] = getattr(section, key) or b""
        try:
            # Relative to the file that names it: no matter where the daemon was started.
            found[key] = _read(source.path.parent / name) if name else found[key]
        except OSError as error:
            where = source.path.parent / name
            message = f"want a PEM file, got {shown(name)}; {where}: {error.strerror}"
            problems.append(source.problem(("tls_server_config", f"{key}_file"), message))
    return Materials(**found), problems


def _headers(section: HeadersSection) -> dict[str, str]:
    # A blank one leaves the exporter's own: less protection has to be spelt out.
    values = section.model_dump(by_alias=True)
    return {name: value for name, value in values.items() if value}


def _rate(file: WebFile) -> Rate | None:
    rate = file.rate_limit
    if not rate.interval_seconds:
        return None
    return Rate(interval_seconds=rate.interval_seconds, burst=rate.burst)


def _without_blanks(value: object) -> object:
    """*value* without what exporter-toolkit takes for unset, users' hashes excepted."""
    if not isinstance(value, dict):
        return value
    users = value.get("basic_auth_users")
    return _filled(value) | ({} if users is None else {"basic_auth_users": users})


def _shape_problems(value: object, source: Source) -> Iterator[Problem]:
    """Sections that are none. What stands there instead may be secret, and is not shown."""
    if not isinstance(value, dict):
        return
    for key in WebFile.model_fields:
        if not isinstance(value.get(key, {}), dict):
            yield source.problem((key,), "want a mapping, got something else")


def _mappings(value: object) -> object:
    """*value* without what `_shape_problems` has told of."""
    if not isinstance(value, dict):
        return value
    known = WebFile.model_fields
    return {k: v for k, v in value.items() if k not in known or isinstance(v, dict)}


def _filled(value: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in value.items() if v is not None and v != ""}
    return {k: _filled(v) if isinstance(v, dict) else v for k, v in kept.items()}


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def _content_or_fault(path: Path) -> bytes:
    try:
        return _read(path)
    except OSError as error:
        return f"{error.errno}".encode()


# Asked every second, about a file that seldom changes.
@lru_cache(maxsize=4)
def _names_in(content: bytes) -> tuple[str, ...]:
    """The files named in a web configuration that need not be valid."""
    source, _ = parse(Path(), content)
    top = source.value if source else None
    section = top.get("tls_server_config") if isinstance(top, dict) else None
    return tuple(_file_names(section)) if isinstance(section, dict) else ()


def _file_names(section: dict[str, object]) -> Iterator[str]:
    for key in ("cert_file", "key_file", "client_ca_file"):
        name = section.get(key)
        if isinstance(name, str) and name.isprintable():
            yield name
