"""Finds the texts of letters: those that ship, and those that replace or add to them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from agents.dunning.procedure import TO_NOBODY, ProcedureBook
from agents.notify.rendering import LANGUAGES, Text, Texts
from streams.errors import ConfigurationError

_SHIPPED = files("agents.notify") / "texts"


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    subject: str
    text: str


def load_texts(directory: Path | None, procedures: ProcedureBook | None = None) -> Texts:
    """The texts that ship; a file of `directory` stands in for that of the same name, language by
    language: its tables for the tables of the same name.

    Raises:
        ConfigurationError: a file cannot be used, or a text is missing that a procedure names.
    """
    read = {name: _read(_SHIPPED / name) for name in _names(_SHIPPED)}
    if directory is not None:
        for name in _names(directory):
            read[name] = _merged(name, read.get(name), _read(directory / name))
    texts = Texts(
        layouts={name.removesuffix(".j2"): text for name, text in read.items() if _is_layout(name)},
        labels={language: _labels(read, language) for language in LANGUAGES},
        texts={
            (language, template): text
            for language in LANGUAGES
            for template, text in _texts(read, language)
        },
    )
    faults = (
        texts.faults() if procedures is None else [*texts.faults(), *_missing(texts, procedures)]
    )
    if faults:
        raise ConfigurationError("\n".join(faults))
    return texts


def _is_layout(name: str) -> bool:
    return name.endswith(".j2")


def _names(directory: Traversable | Path) -> list[str]:
    names = sorted(one.name for one in directory.iterdir())
    return [name for name in names if name.endswith((".toml", ".j2"))]


def _read(path: Traversable | Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if _is_layout(path.name):
        return text
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path.name}: {error}") from error


def _merged(name: str, shipped: Any, own: Any) -> Any:
    if _is_layout(name):
        return own
    if shipped is None:
        raise ConfigurationError(f"{name}: no such language ({', '.join(LANGUAGES)})")
    return shipped | {
        table: shipped.get(table, {}) | rows if table == "labels" else rows
        for table, rows in own.items()
    }


def _labels(read: dict[str, Any], language: str) -> dict[str, str]:
    name = f"{language}.toml"
    try:
        return msgspec.convert(read[name].get("labels"), dict[str, str])
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{name}: labels: {error}") from error


def _texts(read: dict[str, Any], language: str) -> Iterable[tuple[str, Text]]:
    name = f"{language}.toml"
    for template, rows in read[name].items():
        if template == "labels":
            continue
        try:
            one = msgspec.convert(rows, _Text)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"{name}: {template}: {error}") from error
        yield template, Text(one.subject, one.text)


def _missing(texts: Texts, procedures: ProcedureBook) -> Iterable[str]:
    named = {
        step.template
        for procedure in procedures.procedures
        for step in procedure.steps
        if not set(step.channels) <= set(TO_NOBODY)
    }
    for template in sorted(named):
        for language in LANGUAGES:
            if (language, template) not in texts.texts:
                yield f"{language}.toml: no text {template!r}, which a procedure names"
