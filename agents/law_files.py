"""Finds the tables of laws: those that ship, and those that replace them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from agents.dunning.law_text import LawBook, LawTextError, parse_laws
from streams.errors import ConfigurationError

_SHIPPED = files("agents.dunning") / "laws"


def load_laws(directory: Path | None) -> LawBook:
    """The laws that ship; files of `directory` stand in for those of the same name, or add to them.

    Raises:
        ConfigurationError: a file cannot be used, or there is none.
    """
    texts = {one.name: one.read_text(encoding="utf-8") for one in _SHIPPED.iterdir()}
    if directory is not None:
        own = sorted(directory.glob("*.toml"))
        if not own:
            raise ConfigurationError(f"no tables of laws (*.toml) in {directory}")
        texts |= {path.name: path.read_text(encoding="utf-8") for path in own}
    try:
        return parse_laws({name.removesuffix(".toml"): text for name, text in texts.items()})
    except LawTextError as error:
        raise ConfigurationError(str(error)) from error
