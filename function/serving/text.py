"""Names and messages as text that a file, a terminal or a spreadsheet takes."""

from __future__ import annotations

import unicodedata

# First characters for which a spreadsheet runs a cell as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full width


def encodable(name: str) -> str:
    """Return a file's name with the bytes that are no UTF-8 escaped, as Python's `backslashreplace` does."""
    return name.encode(errors="backslashreplace").decode()


def printable(text: str) -> str:
    r"""Return a text without control characters: each is escaped, so that a terminal shows it, such as `\x1b`.

    Characters that only change the direction or the place of others count as control characters.
    """
    if text.isprintable():
        return text
    return "".join(each if _is_visible(each) else each.encode("unicode_escape").decode() for each in encodable(text))


def printable_lines(text: str) -> str:
    """Return a text without control characters other than its line breaks."""
    return "\n".join(map(printable, text.split("\n")))


def spreadsheet_cell(text: str) -> str:
    """Return a printable text that no spreadsheet runs: an apostrophe precedes what would start a formula."""
    shown = printable(text)
    return f"'{shown}" if text.startswith(_FORMULA) else shown


def _is_visible(character: str) -> bool:
    # Spaces of other widths are common in names, for example in those of screenshots.
    return character.isprintable() or unicodedata.category(character) == "Zs"
