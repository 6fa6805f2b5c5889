"""The files of a configuration and what stands in them: the only place that opens one.

Nothing stops at the first mistake. What can be read is gathered, and the problems beside it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from functools import partial
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from exporter.config.certificates import Certificates
from exporter.config.problems import Problem, shown
from exporter.config.schema import ConfigFile, IssuerEntry, Section, TargetGroup
from exporter.config.validation import validate
from exporter.config.yamlfile import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.config.problems import Loc
    from exporter.config.yamlfile import Source

S = TypeVar("S", bound=Section)

#: Ten thousand issuers with a line for every key take a tenth of it.
MAX_FILE_BYTES: Final = 64 * 1024 * 1024

_MOST_KNOWN: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One issuer as it was found.

    Attributes:
        loc: Of the entry, or of the target group it is part of.
        name_loc: Of what its name is made of.
    """

    source: Source
    loc: Loc
    name_loc: Loc
    issuer: IssuerEntry

    @property
    def name(self) -> str:
        """The value of the `issuer` label."""
        return self.issuer.name or self.issuer.url.removeprefix("https://")


@dataclass(slots=True)
class Gathered:
    """All that was found in the files, in the order it was read.

    Attributes:
        files: All of them, also those that could not be read.
        contents: Of those that could.
        configs: The configuration files that are mappings.
        sections: Those of them without mistakes outside `issuers`, and what they say there.
    """

    files: list[Path] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    configs: list[Source] = field(default_factory=list)
    sections: list[tuple[Source, ConfigFile]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def place(self, problem: Problem) -> tuple[int, int]:
        """Where *problem* comes when all of them are told in order."""
        return self.files.index(problem.file), problem.line or 0


def gather(paths: Sequence[Path]) -> Gathered:
    """Read the configuration files *paths*, and the issuer files that they name."""
    files = _distinct(paths)
    gathering = _Gathering(set(files))
    for path in files.values():
        gathering.config_file(path)
    return gathering.found


def digest(paths: Sequence[Path]) -> str:
    """What `sha256` says of the same files, nothing judged; empty if one is unreadable."""
    files = _distinct(paths)
    seen = set(files)
    contents = []
    try:
        for path in files.values():
            content = _read(path)
            more = _matching(path.parent, _patterns_in(content), seen)
            contents += [content, *map(_read_regular, more)]
    except OSError:
        return ""
    return sha256(contents)


def sha256(contents: Iterable[bytes]) -> str:
    """One hash over *contents*, each of them apart from the next."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()


class _Gathering:
    """One run over the files."""

    def __init__(self, seen: set[Path]) -> None:
        self.found = Gathered()
        self._seen = seen
        self._certificates = Certificates()

    def config_file(self, path: Path) -> None:
        source = self._parsed(path, _read)
        if source is None:
            return
        value = source.value
        if not isinstance(value, dict):
            self._add(source, f"want a mapping with the key issuers, got {_kind(value)}")
            return
        if isinstance(issuers := value.get("issuers"), list):
            # Apart from the rest, so that one bad entry does not hide what else is wrong.
            value = {**value, "issuers": []}
            for position, entry in enumerate(issuers):
                self._entry(entry, source, ("issuers", position))
        self.found.configs.append(source)
        if top := self._valid(ConfigFile, value, source, ()):
            self.found.sections.append((source, top))
        self._directories(source, value.get("issuer_files"))
        for file in _matching(path.parent, _patterns(value), self._seen):
            self._issuer_file(file)

    def _directories(self, source: Source, patterns: object) -> None:
        """Complain of *patterns* that name a directory; what wildcards match is passed over."""
        for position, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
            if not isinstance(pattern, str) or not pattern or pattern != escape(pattern):
                continue
            if os.path.isdir(source.path.parent / pattern):  # noqa: PTH112 - see _matching
                files = shown(f"{pattern.rstrip('/')}/*.yaml")
                message = f"want files, {shown(pattern)} is a directory: {files}"
                loc = ("issuer_files", position)
                self.found.problems.append(source.problem(loc, message))

    def _issuer_file(self, path: Path) -> None:
        source = self._parsed(path, _read_regular)
        if source is None:
            return
        if not isinstance(source.value, list):
            # An empty file is half written more often than meant; [] says "none" for sure.
            self._add(source, f"want a list of issuers, got {_kind(source.value)}")
            return
        for position, entry in enumerate(source.value):
            is_group = isinstance(entry, dict) and "targets" in entry
            (self._group if is_group else self._entry)(entry, source, (position,))

    def _entry(self, value: object, source: Source, loc: Loc) -> None:
        issuer = self._valid(IssuerEntry, value, source, loc)
        if issuer is not None:
            name_loc = (*loc, "url" if issuer.name is None else "name")
            self.found.entries.append(
                Entry(source=source, loc=loc, name_loc=name_loc, issuer=issuer)
            )

    def _group(self, value: object, source: Source, loc: Loc) -> None:
        group = self._valid(TargetGroup, value, source, loc)
        if group is None:
            return
        for position, url in enumerate(group.targets):
            issuer = IssuerEntry.model_construct(
                url=url, name=group.name, labels=group.own_labels
            )
            name_loc = ("targets", position) if group.name is None else ("labels", "issuer")
            self.found.entries.append(
                Entry(source=source, loc=loc, name_loc=(*loc, *name_loc), issuer=issuer)
            )

    def _parsed(self, path: Path, read: Callable[[Path], bytes]) -> Source | None:
        self.found.files.append(path)
        try:
            content = read(path)
        except _IrregularError:
            self.found.problems.append(Problem(file=path, message="want a regular file"))
            return None
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            self.found.problems.append(Problem(file=path, message=message))
            return None
        self.found.contents.append(content)
        source, problems = parse(path, content)
        self.found.problems += problems
        return source

    def _valid(self, section: type[S], value: object, source: Source, loc: Loc) -> S | None:
        find = partial(self._certificates.find, source.path.parent)
        valid, problems = validate(section, value, source, loc, find)
        self.found.problems += problems
        return valid

    def _add(self, source: Source, message: str) -> None:
        self.found.problems.append(source.problem((), message))


class _IrregularError(OSError):
    """A pipe, a terminal or another device: it might never end, nor even begin."""


def _kind(value: object) -> str:
    """What a whole file turned out to be, in words.

    Not what is in it: a pattern may match what nobody should see in a log, or in the answer
    of a reload.
    """
    match value:
        case None:
            return "an empty file"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return "text"
        case _:
            return "a single value"


def _read(path: Path) -> bytes:
    """What stands in a file that the command line names, which may well be a pipe."""
    with path.open("rb") as file:
        return _content(file)


def _read_regular(path: Path) -> bytes:
    """What stands in a file that a pattern matched, which happens without being meant."""
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _IrregularError
        return _content(file)


def _open_at_once(path: str, flags: int) -> int:
    # Opening a FIFO waits for who writes into it.
    return os.open(path, flags | os.O_NONBLOCK)


def _content(file: BinaryIO) -> bytes:
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def _distinct(paths: Iterable[Path]) -> dict[Path, Path]:
    """*paths* by what they lead to."""
    files: dict[Path, Path] = {}
    for path in paths:
        files.setdefault(_identity(path), path)
    return files


def _matching(folder: Path, patterns: Iterable[str], seen: set[Path]) -> list[Path]:
    """The files that *patterns* stand for and that were not *seen*, in a stable order.

    A pattern that matches nothing is fine: what writes the file may start later than we do.
    """
    files = []
    for pattern in patterns:
        # Not Path.glob: it refuses absolute patterns.
        for name in sorted(glob(pattern, root_dir=folder, recursive=True)):  # noqa: PTH207
            file = folder / name
            # Not is_file: a link that leads nowhere is to be read, and complained of. Nor
            # Path.is_dir: it raises PermissionError for a link into a closed directory.
            if _identity(file) not in seen and not os.path.isdir(file):  # noqa: PTH112
                seen.add(_identity(file))
                files.append(file)
    return files


def _identity(path: Path) -> Path:
    # Not Path.resolve: Python 3.11 and 3.12 raise RuntimeError for a link to itself.
    return Path(os.path.realpath(path))


def _patterns(value: object) -> tuple[str, ...]:
    """The patterns in a parsed configuration that need not be valid."""
    patterns = value.get("issuer_files") if isinstance(value, dict) else None
    if not isinstance(patterns, list):
        return ()
    return tuple(p for p in patterns if isinstance(p, str) and p.isprintable())


# By the digest of the content, which may be long.
_known_patterns: dict[bytes, tuple[str, ...]] = {}


def _patterns_in(content: bytes) -> tuple[str, ...]:
    """The patterns in *content*: asked every few seconds, of a file that seldom changes."""
    key = hashlib.sha256(content).digest()
    if key not in _known_patterns:
        source, _ = parse(Path(), content)
        if len(_known_patterns) >= _MOST_KNOWN:
            del _known_patterns[next(iter(_known_patterns))]
        _known_patterns[key] = _patterns(source.value) if source else ()
    return _known_patterns[key]
