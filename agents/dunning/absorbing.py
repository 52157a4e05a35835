"""What becomes of dunning when two customers become one: what was done about invoices counts on,
promises hold, and what was still to be sent to the one who goes is withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.credit.case import Case
from agents.dunning import records
from agents.dunning.agenda import look_on
from agents.dunning.messages import tell
from agents.dunning.promises import wake_for_all
from agents.dunning.records import UNDER_WAY, WITHDRAWN, Debtor, Followed, Message, Promise
from agents.dunning.terms import debtor_of, put_debtor, put_followed

Rename = Callable[[str], str]
"""From a document's id to the one that it has here."""


def absorb_followed(
    case: Case,
    other: str,
    invoice_id: str,
    followed: Followed,
    rename: Rename,
    rename_payment: Rename,
) -> None:
    """Promises have come before, and payments."""
    followed.under_way = ""
    followed.debits = [rename_payment(one) for one in followed.debits]
    followed.promises = [_promise_here(case, other, one) for one in followed.promises]
    put_followed(case, rename(invoice_id), followed)
    look_on(case, case.today + 1)


def absorb_handed(case: Case, debtor: Debtor, rename: Rename) -> None:
    """What was handed over stays so. Invoices have come before."""
    if not debtor.handed:
        return
    here = debtor_of(case)
    for one in debtor.handed:
        one.invoice_id = rename(one.invoice_id)
    here.handed += debtor.handed
    case.account.handed = len(here.handed)
    put_debtor(case, here)


def absorb_message(case: Case, step_id: str, message: Message, rename: Rename) -> None:
    """Should it have been sent, the report is still understood."""
    for item in message.items:
        item.invoice_id = rename(item.invoice_id)
    if message.state in UNDER_WAY:
        message.state = WITHDRAWN
        tell(case, step_id, message, "withdrawn", case.at, "the customer was merged into another")
    case.ledger.put(records.message_key(case.account_id, step_id), message)


def absorb_promise(
    case: Case, other: str, promise_id: str, promise: Promise, rename: Rename
) -> None:
    promise.invoice_ids = [rename(one) for one in promise.invoice_ids]
    key = records.promise_key(case.account_id, promise_id)
    if case.ledger.get(key) is not None:
        promise_id = f"{other}/{promise_id}"
        key = records.promise_key(case.account_id, promise_id)
    case.ledger.put(key, promise)
    if not promise.outcome:
        case.account.promises += 1
        wake_for_all(case, [promise])


def _promise_here(case: Case, other: str, promise_id: str) -> str:
    renamed = f"{other}/{promise_id}"
    known = case.ledger.get(records.promise_key(case.account_id, renamed)) is not None
    return renamed if known else promise_id
