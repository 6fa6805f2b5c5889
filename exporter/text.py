"""What remote parties wrote, made safe to print: the only place that escapes and cuts it."""

from __future__ import annotations

import hashlib

#: Long enough for every honest identifier, short enough for a label and a table.
IDENTIFIER_CHARACTERS = 128


def clean(text: str, limit: int = 200) -> str:
    r"""*text* on one line, nothing hidden in it, of at most *limit* characters.

    Control characters, line ends, bidi marks, invisible and unassigned characters and lone
    surrogates become their escapes (`\n`, `\u202e`, `\ud800`): the result can always be
    encoded, and reads in the order it is written. What was cut off is marked by `…`.
    """
    # Cut before the work is done: a value may be as long as a whole body.
    head = text[: limit + 1]
    safe = head if head.isprintable() else head.translate(_ESCAPES)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def quoted(text: str, limit: int = 200) -> str:
    """*text* as `clean` gives it, in quotes, for the middle of a sentence."""
    return f'"{clean(text, limit)}"'


def identifier(text: str) -> str:
    """*text* as `clean` gives it, and still distinct from others where it had to be cut."""
    safe = clean(text, IDENTIFIER_CHARACTERS)
    if not safe.endswith("…"):
        return safe
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe[: IDENTIFIER_CHARACTERS - 9]}…{mark}"


def listed(items: list[str], most: int = 5) -> str:
    """*items* joined by commas, those after the first *most* only counted."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


class _Escapes(dict[int, str]):
    """What stands for a character, by its number: made when it is first met.

    A key set may hold a hundred thousand such characters, and the event loop waits meanwhile.
    """

    def __missing__(self, number: int) -> str:
        if len(self) >= _MOST_ESCAPES:
            self.clear()
        character = chr(number)
        if not character.isprintable():
            character = character.encode("unicode_escape").decode("ascii")
        self[number] = character
        return character


# Unicode has a million characters that cannot be seen, and somebody may send them all.
_MOST_ESCAPES = 4096
_ESCAPES = _Escapes()
