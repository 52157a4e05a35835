"""The look of the dunning run at one account: which step is due, and whether anything may go out.

What is decided depends on the account and the day alone. So it does not matter when on that day the
account has its turn, as long as it has it before the next event of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.credit import state
from agents.credit.case import Case
from agents.dunning.agenda import look_on
from agents.dunning.letter import Chosen, Ready, grouped
from agents.dunning.messages import begin, issue, message_of, start_of
from agents.dunning.records import ISSUED, QUEUED, Item
from agents.dunning.terms import Terms, debtor_of, followed_of, terms_of


def look(case: Case) -> None:
    """Take the steps that are due for the account, at most one message; note the day of the next
    look.
    """
    debtor = debtor_of(case)
    terms = terms_of(case, debtor)
    if terms is None or debtor.unreachable:
        return
    if debtor.is_paused(case.today):
        if debtor.paused_until is not None:
            look_on(case, debtor.paused_until + 1)
        return
    if terms.working_day(case.today) != case.today:
        look_on(case, terms.next_working_day())
        return
    groups = list(grouped(list(_ready(case, terms))))
    groups = [one for one in groups if not _is_covered(case, terms, one)]
    for chosen in groups:
        if chosen.step.proposed:
            _start(case, terms, chosen)
    waiting = next((one for one in groups if not one.step.proposed), None)
    _send_one(case, terms, waiting)


def _send_one(case: Case, terms: Terms, waiting: Chosen | None) -> None:
    """Send what waits already, or else what is ready; one message, and none behind one of which
    nobody has said yet what became of it.
    """
    under_way = [(one, message_of(case, one)) for one in terms.debtor.under_way]
    if any(message is not None and message.state == ISSUED for _, message in under_way):
        return
    queued = next(
        ((one, message) for one, message in under_way if message and message.state == QUEUED), None
    )
    if queued is None and waiting is None:
        return
    free_from = terms.free_from()
    if free_from > case.today:
        look_on(case, free_from)
    elif queued is not None:
        issue(case, terms, *queued, start_of(case.today))
    elif waiting is not None:
        _start(case, terms, waiting)


def _start(case: Case, terms: Terms, chosen: Chosen) -> None:
    step = chosen.step
    step_id, message = begin(
        case, terms, chosen.currency, chosen.items, step.template, step.level,
        proposed=step.proposed,
    )  # fmt: skip
    issue(case, terms, step_id, message, start_of(case.today))


def _ready(case: Case, terms: Terms) -> Iterator[Ready]:
    """Every open invoice whose next step may be taken; the day of any other is noted."""
    procedure = terms.procedure
    for key, due in case.ledger.scan(*state.due_range(case.account_id, None, None)):
        due_on = state.due_day(key)
        if due_on + procedure.earliest > case.today:
            look_on(case, due_on + procedure.earliest)
            return  # those behind it are due later still
        invoice_id = state.last_part(key)
        followed = followed_of(case, invoice_id)
        step = procedure.after(followed.level)
        if step is None or followed.under_way:
            continue
        if followed.is_deferred(case.today):
            if followed.paused and followed.paused_until is not None:
                look_on(case, followed.paused_until + 1)
            continue
        if step.days < 0:
            # What was to be said before the due day is not said behind it.
            if due_on < case.today:
                step = procedure.after(step.level)
                if step is None:
                    continue
            else:
                look_on(case, due_on + 1)
        day = terms.day_of(step, followed, due_on)
        if day > case.today:
            look_on(case, day)
            continue
        item = Item(invoice_id, step.level, due.amount, due_on)
        yield Ready(item, due.currency, step, day)


def _is_covered(case: Case, terms: Terms, chosen: Chosen) -> bool:
    """Whether the account has as much credit as is asked for: then there is nothing to ask."""
    book = case.account.books.get(chosen.currency)
    covered = book is not None and book.unapplied >= chosen.amount > 0
    if covered:
        look_on(case, terms.next_working_day())
    return covered
