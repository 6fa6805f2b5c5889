"""HTML as a test reads it: tags, attributes and text, whatever a browser would make of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_BLOCKS = {"div", "p", "li", "dt", "dd", "td", "th", "h1", "h2", "h3"}
_VOID = {"meta", "link", "input", "circle", "path", "rect", "line"}


@dataclass
class Tag:
    """An element: its name, attributes, and all text within."""

    name: str
    attributes: dict[str, str]
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.parts).split())


class Page(HTMLParser):
    """A parsed page; every tag has to be closed where it was opened."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[Tag] = []
        self._open: list[Tag] = []
        self.feed(source)
        self.close()
        assert not self._open, [tag.name for tag in self._open]

    def all(self, name: str, /, **attributes: str) -> list[Tag]:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [
            tag
            for tag in self.tags
            if tag.name == name and wanted.items() <= tag.attributes.items()
        ]

    def one(self, name: str, /, **attributes: str) -> Tag:
        (tag,) = self.all(name, **attributes)
        return tag

    def rows(self, kind: str) -> list[list[str]]:
        """The cells of the body of the table of class *kind*, as text."""
        start = next(
            n
            for n, tag in enumerate(self.tags)
            if kind in tag.attributes.get("class", "").split()
        )
        found: list[list[str]] = []
        is_body = False
        for tag in self.tags[start + 1 :]:
            if tag.name == "table":
                break
            is_body = tag.name == "tbody" or (is_body and tag.name != "tfoot")
            if is_body and tag.name == "tr":
                found.append([])
            if is_body and tag.name in ("td", "th"):
                found[-1].append(tag.text)
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.handle_data(" ")
        made = Tag(tag, {key: value or "" for key, value in attrs})
        self.tags.append(made)
        if tag not in _VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open.pop().name == tag, f"{tag} at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            tag.parts.append(data)
