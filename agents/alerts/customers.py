"""What routes ask of customers, from a copy of the live state."""

from __future__ import annotations

from agents.alerts.alert import Alert, Customer
from agents.credit import state
from agents.credit.reasons import CUSTOMER_UNKNOWN
from agents.dunning import records
from agents.dunning.records import Debtor
from agents.live_copy import CopyNotReadyError, LiveCopy

NOBODY = Customer()


def customer_of(alert: Alert, copy: LiveCopy) -> Customer | None:
    """The customer that an alert is about; None: the copy does not know them yet. Of a group, and
    of a customer whom nobody knows, there is nothing to know.
    """
    if alert.said.get("group_id") and alert.kind == "limit_alert":
        return NOBODY
    if CUSTOMER_UNKNOWN in alert.said.get("reasons", ()):
        return NOBODY
    try:
        ledger, account_id = copy.place_of(alert.customer_id)
    except CopyNotReadyError:
        return None
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None or not account.known:
        return None
    debtor: Debtor | None = ledger.get(records.debtor_key(account_id))
    name = "" if debtor is None else debtor.name or ""
    return Customer(name, account.segment, account.account_manager)
