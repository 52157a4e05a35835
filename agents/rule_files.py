"""All that the rules go by, as an installation has it: the policy, and by what is dunned."""

from __future__ import annotations

from pathlib import Path

from agents.core.policy import PolicyBook
from agents.dunning.book import DunningBook
from agents.policy_file import load_policy
from agents.procedure_files import load_procedures
from streams.settings import Settings


def load_rules(settings: Settings, policy: Path | None = None) -> PolicyBook:
    """The policy of the installation, or the one in `policy`, with the dunning that goes by it.

    Raises:
        PolicyError: the policy cannot be used.
        ConfigurationError: the procedures or the laws cannot.
    """
    book = load_policy(policy or settings.policy_file)
    return book.with_dunning(load_dunning(settings.procedures_dir, settings.laws_dir))


def load_dunning(procedures_dir: Path | None, laws_dir: Path | None) -> DunningBook | None:
    """The procedures of a directory, with laws and holidays; None without one: nobody is dunned.

    Raises:
        ConfigurationError: a file cannot be used; every fault is told.
    """
    if procedures_dir is None:
        return None
    # Half a second, for who duns.
    from agents.law_files import load_laws  # noqa: PLC0415
    from agents.working_days import known_holidays  # noqa: PLC0415

    known_holidays("NL", 2026)  # the first country takes half a second, which no order has to wait
    return DunningBook(load_procedures(procedures_dir), load_laws(laws_dir), known_holidays)
