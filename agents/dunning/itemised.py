"""What a step asked, recomputed from the laws, sum by sum."""

from __future__ import annotations

from agents.dunning.book import DunningBook
from agents.dunning.claim import Claim
from agents.dunning.law import CostClaim, Law, LawMissingError, costs, interest
from agents.dunning.letter import step_of
from agents.dunning.procedure import Procedure
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, DunnedInvoice, DunningStep

_NOTHING = "the step asks for none"


def itemised(step: DunningStep, book: DunningBook) -> Claim:
    """The claim of a step as it was published: the interest of each invoice for which it asks some,
    and the costs, by the procedure and the tables of `book`.

    Which invoices bear interest, and whether costs are asked, is taken from the step. The amounts
    are not: `differences` tells where they are others.

    Raises:
        LawMissingError: no table says what holds, or the procedure is not there.
    """
    procedure = book.procedures.named(step.procedure)
    if procedure is None:
        raise LawMissingError(f"there is no procedure {step.procedure!r}")
    principal = sum(one.open_amount for one in step.invoices)
    if not step.interest and not step.costs:
        return Claim(step.currency, principal, (), None, _NOTHING)
    day = day_of_letter(step)
    law = book.law(step.country or "", step.kind or "b2b")
    return Claim(
        currency=step.currency,
        principal=principal,
        interest=tuple(
            interest(law.interest, one.open_amount, one.due_on, day)
            for one in step.invoices
            if one.interest
        ),
        costs=_costs(step, procedure, law, day) if step.costs else None,
        without_costs="" if step.costs else _NOTHING,
    )


def differences(step: DunningStep, claim: Claim) -> list[str]:
    """Which of the step's amounts are not what the claim comes to."""
    bearing = [one for one in step.invoices if one.interest]
    pairs = [
        ("principal", step.principal, claim.principal),
        ("interest", step.interest, sum(one.amount for one in claim.interest)),
        ("costs", step.costs, 0 if claim.costs is None else claim.costs.amount),
        *(
            (f"interest of {invoice.invoice_id}", invoice.interest or 0, one.amount)
            for invoice, one in zip(bearing, claim.interest, strict=True)
        ),
    ]
    return [name for name, published, recomputed in pairs if published != recomputed]


def day_of_letter(step: DunningStep) -> Day:
    """The day on which it was made: interest runs up to and including it."""
    return step.occurred_at // MICROSECONDS_PER_DAY


def _costs(step: DunningStep, procedure: Procedure, law: Law, day: Day) -> CostClaim:
    """On all invoices at levels that ask for costs; where that is not what was asked, on those at
    the step's own level: the notice of the others had not run out.
    """
    asking = [one for one in step.invoices if one.due_on < day and _asks(procedure, one, step)]
    on_all = costs(law.costs_on(day), [one.open_amount for one in asking])
    if on_all.amount == step.costs:
        return on_all
    highest = [one.open_amount for one in asking if (one.level or step.level) == step.level]
    on_highest = costs(law.costs_on(day), highest)
    return on_highest if on_highest.amount == step.costs else on_all


def _asks(procedure: Procedure, invoice: DunnedInvoice, step: DunningStep) -> bool:
    own = step_of(procedure, invoice.level or step.level)
    return own is not None and own.costs
