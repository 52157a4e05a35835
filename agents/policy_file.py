"""Finds policies: the one in force, the one that ships, the worked examples."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from agents.core.policy import PolicyBook
from agents.core.policy_text import PolicyError, parse_policy

_SHIPPED = files("agents.policy") / "default.toml"
_EXAMPLES = files("agents.policy") / "examples"


def load_policy(path: Path | None) -> PolicyBook:
    """The policy in `path`, on top of the one that ships; or the one that ships.

    Raises `PolicyError` naming file and faults.
    """
    if path is None:
        return parse_policy(shipped_text())
    try:
        return parse_policy(_text(path), shipped_text())
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}", error.faults) from error


def shipped_text() -> str:
    """The policy that ships, every setting with what it does."""
    return _text(_SHIPPED)


def example_names() -> list[str]:
    """The worked examples, each a policy file."""
    return sorted(one.name.removesuffix(".toml") for one in _EXAMPLES.iterdir())


def example_text(name: str) -> str:
    """A worked example by its name."""
    return _text(_EXAMPLES / f"{name}.toml")


def _text(source: Path | Traversable) -> str:
    try:
        # Some editors put a mark before the first character.
        return source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PolicyError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"is no text in UTF-8 (byte {error.start + 1})") from error
