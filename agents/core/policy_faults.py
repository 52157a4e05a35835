"""What is wrong in a policy file, in words for the person who wrote it, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import msgspec
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from agents.core.policy_lines import Path, line_of, lines_of
from agents.core.policy_sections import Terms

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: in which line, in which setting, and what.

    `line` is None and `setting` empty where it is the text as a whole.
    """

    line: int | None
    setting: str
    what: str

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}"
        place = ", ".join(part for part in (line, self.setting) if part)
        return f"{place}: {self.what}" if place else self.what


def faults_of(text: str, wrong: Iterable[tuple[Path, str]]) -> list[Fault]:
    """What is wrong at these places of a TOML text, from top to bottom."""
    lines = lines_of(text)
    faults = [Fault(line_of(path, lines), _setting(path), what) for path, what in wrong]
    return sorted(faults, key=lambda fault: fault.line or 0)


def in_plain_words(error: ErrorDetails) -> str:
    """What pydantic found, said to somebody who writes TOML and has never heard of it."""
    bound = error.get("ctx", {})
    match error["type"]:
        case "value_error":
            return str(bound["error"])
        case "extra_forbidden":
            return _no_such_setting(error["loc"])
        case "missing":
            return "is missing"
        case "model_type":
            return "write it as a section with its settings below"
        case "dict_type":
            return 'write it as a section, each line a role and its amount, or "none"'
        case "bool_type":
            return "write true or false, without quotes"
        case "int_type":
            return "write a whole number, without quotes"
        case "string_type":
            return "write a text in quotes"
        case "list_type":
            return 'write a list, as in ["0.80", "0.90"]'
        case "too_short":
            return "name at least one"
        case "greater_than_equal":
            return f"must be at least {bound['ge']}"
        case "less_than_equal":
            return f"must be at most {bound['le']}"
        case "literal_error":
            return f"write {bound['expected']}".replace("'", '"')
        case _:
            return error["msg"]


def _no_such_setting(path: Path) -> str:
    """What may be meant is a setting of that name elsewhere, or one of a similar name here."""
    section, _, name = ".".join(map(str, path)).rpartition(".")
    known = [one.rpartition(".") for one in _names(Terms)]
    meant = [f"{where}.{one}" for where, _, one in known if one == name and where]
    if not meant:
        here = [one for where, _, one in known if where == section]
        meant = [f"{section}.{one}".removeprefix(".") for one in get_close_matches(name, here, n=1)]
    return "there is no such setting" + (f", is {meant[0]} meant?" if meant else "")


def _names(section: type[BaseModel], under: str = "") -> Iterable[str]:
    """Every section and setting by its full name."""
    for name, field in section.model_fields.items():
        yield under + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, f"{under}{name}.")


def _setting(path: Path) -> str:
    """A path as people write it; places in lists are counted from 1."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if _BARE_KEY.fullmatch(part) else f'."{part}"'
    return text.removeprefix(".")
