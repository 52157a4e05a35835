"""Finds the dunning procedures: those that ship, or those of an installation."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from agents.dunning.procedure import ProcedureBook
from agents.dunning.procedure_text import ProcedureTextError, parse_procedures
from streams.errors import ConfigurationError

_SHIPPED = files("agents.dunning") / "procedures"


def load_procedures(directory: Path | None) -> ProcedureBook:
    """The worked examples that ship, or all files of `directory` in their place.

    Raises:
        ConfigurationError: a file cannot be used, or there is none; every fault is told.
    """
    if directory is None:
        texts = {one.name: one.read_text(encoding="utf-8") for one in _SHIPPED.iterdir()}
    else:
        texts = {path.name: path.read_text("utf-8") for path in sorted(directory.glob("*.toml"))}
    if not texts:
        raise ConfigurationError(f"no procedures (*.toml) in {directory}")
    try:
        return parse_procedures({name.removesuffix(".toml"): text for name, text in texts.items()})
    except ProcedureTextError as error:
        raise ConfigurationError(str(error)) from error
