"""What the installation decides and writes by: policy, procedures, laws, the words of letters."""

from __future__ import annotations

from collections.abc import Iterator

from agents.core.policy import PolicyBook
from agents.doctor.findings import Finding
from agents.dunning.law import Rates
from agents.dunning.law_text import LawBook
from agents.law_files import load_laws
from agents.notify.creditor import creditor_of
from agents.notify.texts_file import load_texts
from agents.policy_file import load_policy
from agents.procedure_files import load_procedures
from schemas.dates import format_day
from schemas.events import Day
from streams.settings import Settings

POLICY_DO = "`headroom policy check` names each fault with its place (HEADROOM_POLICY_FILE)"
DUNNING_DO = "see HEADROOM_PROCEDURES_DIR and HEADROOM_LAWS_DIR; docs/dunning.md, docs/law.md"
LETTERS_DO = "see HEADROOM_CREDITOR_* and HEADROOM_TEXTS_DIR; docs/dunning.md"
_SOON_DAYS = 14


def policy_findings(settings: Settings, today: Day) -> Iterator[Finding]:
    """Whether the policy can be used, and which version is in force."""
    yield version_finding(load_policy(settings.policy_file), today)


def version_finding(book: PolicyBook, today: Day) -> Finding:
    """Which version is in force, and which comes next."""
    now = book.at(today)
    text = f"version {now.version} is in force"
    later = [one for one in book.versions if one.valid_from > today]
    if later:
        text += f"; {later[0].version} follows on {format_day(later[0].valid_from)}"
    return Finding("policy", "ok", text)


def dunning_findings(settings: Settings, today: Day) -> Iterator[Finding]:
    """Whether procedures and laws can be used, and whether today's rates are known."""
    if settings.procedures_dir is None:
        yield Finding("dunning", "ok", "nobody is dunned: HEADROOM_PROCEDURES_DIR is not set")
        return
    procedures = load_procedures(settings.procedures_dir)
    yield Finding("dunning", "ok", f"{len(procedures.procedures)} procedures")
    yield from rate_findings(load_laws(settings.laws_dir), today)


def rate_findings(laws: LawBook, today: Day) -> Iterator[Finding]:
    """Tables of interest that do not speak for today, or not for long."""
    tables: dict[str, Rates] = {
        law.interest.rates.name: law.interest.rates for law in laws.laws.values()
    }
    do = (
        "copy the table into HEADROOM_LAWS_DIR, add the rate of the half-year, move `known_until`"
        " (docs/law.md)"
    )
    ending = [one for one in tables.values() if one.known_until < today + _SOON_DAYS]
    for rates in ending:
        until = f"the rates of {rates.name} are known until {format_day(rates.known_until)}"
        if rates.known_until < today:
            text = f"{until}: steps that ask for interest are not possible"
            yield Finding("laws", "warning", text, do)
        else:
            yield Finding("laws", "warning", until, do)
    if not ending:
        yield Finding("laws", "ok", f"{len(tables)} tables of rates speak for today")


def letter_findings(settings: Settings) -> Iterator[Finding]:
    """Whether letters can be written: who writes them, and their words."""
    creditor = creditor_of(settings)
    load_texts(settings.texts_dir, load_procedures(settings.procedures_dir))
    yield Finding("letters", "ok", f"{creditor.name} writes them")
