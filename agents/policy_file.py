"""Reads the policy that is in force."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from agents.core.policy import PolicyBook
from agents.core.policy_text import PolicyError, parse_policy


def load_policy(path: Path | None) -> PolicyBook:
    """The policy in `path`, on top of the one that ships; or the one that ships.

    Raises `PolicyError` naming file and faults.
    """
    shipped = files("agents.policy") / "default.toml"
    source = shipped if path is None else path
    try:
        text = source.read_text(encoding="utf-8")
        return parse_policy(text, "" if path is None else shipped.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, PolicyError) as error:
        raise PolicyError(f"{source}: {error}") from error
