"""Reads the policy that is in force."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from agents.core.policy import Policy, PolicyError, parse_policy


def load_policy(path: Path | None) -> Policy:
    """The policy in `path`, or the one that ships. Raises `PolicyError` naming file and faults."""
    source = files("agents.policy") / "default.toml" if path is None else path
    try:
        return parse_policy(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, PolicyError) as error:
        raise PolicyError(f"{source}: {error}") from error
