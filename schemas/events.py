"""Every event that enters or leaves Headroom, one class each.

The classes are what the rules see; `avro/` holds the same fields as they stand on the wire, and a
test holds the two together. Units are the same everywhere inside the wall:

* money is an `int` of minor units of the currency that the event, its document or its account
  names;
* a day is an `int`, days since 1970-01-01 (Avro `date`);
* an instant is an `int`, microseconds since 1970-01-01T00:00:00Z (Avro `timestamp-micros`).

Names of fields are those of the contract. Optional fields default to None, "not said".
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Minor: TypeAlias = int
"""Money in minor units of a currency, e.g. 125000 for EUR 1,250.00 and for JPY 125,000."""
Day: TypeAlias = int
"""Days since 1970-01-01."""
Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What all events carry. `event_id` is the sender's; `occurred_at` when it happened there."""

    event_id: str
    occurred_at: Instant


# ── customers ───────────────────────────────────────────────────────────────────────────────────


class CustomerUpserted(Event, frozen=True, kw_only=True, gc=False):
    """The customer's master record as it is now. `blocked` None leaves a block as it stands;
    `closed` True ends the relation (nothing more is sold), not True reopens it. `account_manager`
    is who of ours looks after the customer, by a short name or a mail address.
    """

    customer_id: str
    currency: str
    credit_limit: Minor | None
    name: str | None = None
    country: str | None = None
    language: str | None = None
    kind: str | None = None
    group_id: str | None = None
    segment: str | None = None
    payment_terms_days: int | None = None
    limit_valid_until: Day | None = None
    insured_limit: Minor | None = None
    unlimited: bool | None = None
    blocked: bool | None = None
    email: str | None = None
    phone: str | None = None
    closed: bool | None = None
    account_manager: str | None = None


class CreditLimitChanged(Event, frozen=True, kw_only=True, gc=False):
    """A new limit; with `valid_until` a temporary one, after which the standing one counts."""

    customer_id: str
    credit_limit: Minor | None
    valid_until: Day | None = None


class CustomerBlocked(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    reason: str
    by: str


class CustomerUnblocked(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    reason: str
    by: str


class CreditGroupUpserted(Event, frozen=True, kw_only=True, gc=False):
    group_id: str
    currency: str
    credit_limit: Minor | None


class CustomersMerged(Event, frozen=True, kw_only=True, gc=False):
    """Two customers are one: what `merged_customer_id` had is `customer_id`'s from now on, who
    keeps the own limit, block and terms.
    """

    customer_id: str
    merged_customer_id: str
    by: str
    reason: str


class ParkedAccountRetried(Event, frozen=True, kw_only=True, gc=False):
    """What waits behind an event that failed is to be applied, in order; the account goes on."""

    customer_id: str
    by: str
    reason: str


class ParkedEventDiscarded(Event, frozen=True, kw_only=True, gc=False):
    """One of the events that wait with a parked account is not to be applied."""

    customer_id: str
    parked_event_id: str
    by: str
    reason: str


# ── orders ──────────────────────────────────────────────────────────────────────────────────────


class OrderPlaced(Event, frozen=True, kw_only=True, gc=False):
    """A customer ordered for `amount`, gross; Headroom answers with an `OrderDecision`.

    `net_amount`: the same without VAT, for policies that count net.
    """

    customer_id: str
    order_id: str
    amount: Minor
    currency: str
    deliver_on: Day | None = None
    net_amount: Minor | None = None


class OrderChanged(Event, frozen=True, kw_only=True, gc=False):
    """The order's new total."""

    customer_id: str
    order_id: str
    amount: Minor


class OrderDelivered(Event, frozen=True, kw_only=True, gc=False):
    """Delivered: a part of `amount`, or all of it when None."""

    customer_id: str
    order_id: str
    amount: Minor | None = None


class OrderCancelled(Event, frozen=True, kw_only=True, gc=False):
    """Cancelled: a part of `amount`, or all that is undelivered when None."""

    customer_id: str
    order_id: str
    amount: Minor | None = None


class OrderReleased(Event, frozen=True, kw_only=True, gc=False):
    """A person releases the order against the rules (an override)."""

    customer_id: str
    order_id: str
    by: str
    reason: str
    valid_until: Day | None = None
    role: str | None = None
    confirmed_by: str | None = None


class OrderHeld(Event, frozen=True, kw_only=True, gc=False):
    """A person holds the order, until a person releases it or `valid_until`, the last day of the
    hold, is over.
    """

    customer_id: str
    order_id: str
    by: str
    reason: str
    valid_until: Day | None = None
    role: str | None = None
    confirmed_by: str | None = None


class OrderReleaseProposed(Event, frozen=True, kw_only=True, gc=False):
    """A person would release the order, and asks another one to confirm it or to do it. Nothing
    follows from it by itself. It is about the order's decision of this number: after another one,
    nothing is proposed any more.
    """

    customer_id: str
    order_id: str
    by: str
    reason: str
    role: str | None = None
    decision_number: int | None = None


class OrderReleaseDeclined(Event, frozen=True, kw_only=True, gc=False):
    """What was proposed is not done: somebody else declined it, or who proposed it took it back."""

    customer_id: str
    order_id: str
    by: str
    reason: str
    role: str | None = None


class CustomerNoteAdded(Event, frozen=True, kw_only=True, gc=False):
    """What a person wrote down about a customer, for the others. It changes no decision."""

    customer_id: str
    text: str
    by: str
    role: str | None = None


# ── invoices ────────────────────────────────────────────────────────────────────────────────────


class InvoicedOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of an invoice that is for one order."""

    order_id: str
    amount: Minor


class InvoiceIssued(Event, frozen=True, kw_only=True, gc=False):
    """An invoice, for one order (`order_id`), for several (`orders`, at most its amount together),
    or for none.

    `final_for_order`: nothing more of any order that it names will be invoiced.
    """

    customer_id: str
    invoice_id: str
    amount: Minor
    currency: str
    issued_on: Day
    due_on: Day
    order_id: str | None = None
    final_for_order: bool | None = None
    revision: int | None = None
    net_amount: Minor | None = None
    orders: list[InvoicedOrder] = []


class CreditNoteIssued(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    credit_note_id: str
    amount: Minor
    currency: str
    invoice_id: str | None = None


class InvoiceCancelled(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    invoice_id: str


class InvoiceWrittenOff(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    invoice_id: str


class InvoiceDisputed(Event, frozen=True, kw_only=True, gc=False):
    """The customer contests `amount` of the invoice, or all of it when None."""

    customer_id: str
    invoice_id: str
    dispute_id: str
    reason: str
    amount: Minor | None = None


class DisputeResolved(Event, frozen=True, kw_only=True, gc=False):
    """`outcome` is `upheld`, `partly` or `rejected`."""

    customer_id: str
    invoice_id: str
    dispute_id: str
    outcome: str
    credited_amount: Minor | None = None


# ── payments ────────────────────────────────────────────────────────────────────────────────────


class Allocation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part of a payment that is meant for one invoice."""

    invoice_id: str
    amount: Minor


class PaymentReceived(Event, frozen=True, kw_only=True, gc=False):
    """Money came. `cleared` False while it can still bounce (direct debit, cheque); None means
    True.
    """

    customer_id: str
    payment_id: str
    amount: Minor
    currency: str
    value_on: Day
    allocations: list[Allocation] = []
    cleared: bool | None = None


class PaymentCleared(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    payment_id: str


class PaymentAllocated(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    payment_id: str
    invoice_id: str
    amount: Minor


class PaymentReversed(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    payment_id: str
    reason: str


class PaymentFailed(Event, frozen=True, kw_only=True, gc=False):
    """An attempt to collect failed; nothing was booked."""

    customer_id: str
    payment_id: str
    reason: str
    invoice_id: str | None = None


class PromiseToPayMade(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    promise_id: str
    invoice_ids: list[str]
    amount: Minor
    promised_on: Day


class Instalment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    due_on: Day
    amount: Minor


class PaymentPlanAgreed(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    plan_id: str
    invoice_ids: list[str] = []
    instalments: list[Instalment] = []


class PaymentPlanCancelled(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    plan_id: str
    invoice_ids: list[str] = []
    instalments: list[Instalment] = []


# ── credit information, acts of people, reference, time ─────────────────────────────────────────


class CreditReportReceived(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    provider: str
    score: int
    recommended_limit: Minor | None = None
    currency: str | None = None
    report_on: Day | None = None


class CreditReviewed(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    by: str
    next_review_on: Day | None = None


class FxRatePublished(Event, frozen=True, kw_only=True, gc=False):
    """One unit of `base` costs `rate` (a decimal string) units of `quote` from `valid_on`."""

    base: str
    quote: str
    rate: str
    valid_on: Day
    source: str | None = None


class FeedAdvanced(Event, frozen=True, kw_only=True, gc=False):
    """An input feed says up to when it is complete."""

    feed: str
    complete_until: Instant


class DunningPaused(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    reason: str
    by: str
    invoice_id: str | None = None
    until: Day | None = None


class DunningResumed(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    reason: str
    by: str
    invoice_id: str | None = None
    until: Day | None = None


class DunningStepReported(Event, frozen=True, kw_only=True, gc=False):
    """What became of an attempt to send a step. `result` is `sent`, `bounced` (it may follow what
    was sent), `failed`, `late` (the day by which to pay had come before it could be sent), or
    `uncertain`: sending was cut short, and a person has to find out.
    """

    customer_id: str
    step_id: str
    attempt: int
    channel: str
    result: str
    on: Day
    detail: str | None = None


class DunningStepDecided(Event, frozen=True, kw_only=True, gc=False):
    """What a person decides about a step: `approve` or `skip` a proposed one; with `channel` it is
    to go that way. `recall` one by which a claim was handed over.
    """

    customer_id: str
    step_id: str
    decision: str
    by: str
    reason: str
    channel: str | None = None


class AlertAcknowledged(Event, frozen=True, kw_only=True, gc=False):
    """Somebody has seen to an alert, so that nobody else has to be told of it. `alert_id` is the
    `event_id` of the `CreditLimitAlert`, `OrderDecision` or `RiskSignal`.
    """

    customer_id: str
    alert_id: str
    by: str
    reason: str | None = None


class AlertSnoozed(Event, frozen=True, kw_only=True, gc=False):
    """Nobody is to be told of an alert, or of anything about the customer, before `until`."""

    customer_id: str
    by: str
    until: Instant
    alert_id: str | None = None
    reason: str | None = None


class BusinessDayContinued(Event, frozen=True, kw_only=True, gc=False):
    """The next accounts of a partition for which the business day `date` changes something have
    their turn. Only the journal has it.
    """

    date: Day
    number: int


class MovedEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of an account's state: its key within the account, and its value as JSON."""

    key: str
    value: str


class AccountMoved(Event, frozen=True, kw_only=True, gc=False):
    """The state of the account of `customer_id` on its way to where it is kept from now on, in
    `parts` parts, `part` counting from 1; with `into_customer_id` it becomes part of that
    customer's account. Only the journal has it.
    """

    customer_id: str
    part: int
    parts: int
    entries: list[MovedEntry]
    into_customer_id: str | None = None


class AccountRecalled(Event, frozen=True, kw_only=True, gc=False):
    """The customer leaves the group that keeps its account, which is to be sent back. Only the
    journal has it.
    """

    customer_id: str
    group_id: str


class BusinessDayStarted(Event, frozen=True, kw_only=True, gc=False):
    """The day `date` began. The only clock that rules know."""

    date: Day


# ── what goes out ───────────────────────────────────────────────────────────────────────────────


class RateUsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A published rate that a decision stands on, as it was published."""

    base: str
    quote: str
    rate: str
    valid_on: Day
    source: str | None


class OrderDecision(Event, frozen=True, kw_only=True, gc=False):
    """A change of an order's credit status.

    `amount` is in the order's `currency`; exposure, limit and headroom are in `account_currency`,
    those of the group in `group_currency`. `credit_limit` None: none given or unlimited;
    `utilisation` None: infinite or no limit. `by` and `why`: the person's act that caused it.
    """

    customer_id: str
    order_id: str
    decision: str
    reasons: list[str]
    amount: Minor
    currency: str
    exposure_before: Minor
    exposure_after: Minor
    credit_limit: Minor | None
    headroom: Minor | None
    utilisation: str | None
    decision_number: int
    cause_event_id: str
    policy_version: str
    account_currency: str
    by: str | None = None
    fx_rate: str | None = None
    why: str | None = None
    fx_rates: list[RateUsed] = []
    group_id: str | None = None
    group_currency: str | None = None
    group_exposure: Minor | None = None
    group_limit: Minor | None = None


class CreditLimitAlert(Event, frozen=True, kw_only=True, gc=False):
    """Utilisation crossed `threshold` upwards (`raised`) or fell well below it (`cleared`).

    With `group_id` the figures are the group's, and `customer_id` is the group's id as well.
    """

    customer_id: str
    threshold: str
    direction: str
    exposure: Minor
    credit_limit: Minor | None
    utilisation: str | None
    cause_event_id: str
    currency: str
    group_id: str | None = None


class ExposureChanged(Event, frozen=True, kw_only=True, gc=False):
    """The account's figures now; the latest per customer is kept."""

    customer_id: str
    currency: str
    exposure: Minor
    open_receivables: Minor
    delivered_not_invoiced: Minor
    open_orders: Minor
    unapplied_credit: Minor
    credit_limit: Minor | None
    headroom: Minor | None
    utilisation: str | None
    overdue: Minor
    oldest_overdue_days: int
    held_orders: int
    cause_event_id: str
    group_id: str | None = None


class GroupExposureChanged(Event, frozen=True, kw_only=True, gc=False):
    """The figures of a credit group now, the sums of its members; the latest per group is kept."""

    group_id: str
    currency: str
    exposure: Minor
    open_receivables: Minor
    delivered_not_invoiced: Minor
    open_orders: Minor
    unapplied_credit: Minor
    credit_limit: Minor | None
    headroom: Minor | None
    utilisation: str | None
    members: int
    held_orders: int
    cause_event_id: str


class DunnedInvoice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    invoice_id: str
    open_amount: Minor
    due_on: Day
    days_overdue: int
    level: int | None = None
    interest: Minor | None = None


class DunningStep(Event, frozen=True, kw_only=True, gc=False):
    """A message to a customer that is due to go out, by the first channel that works: `attempt`
    counts them. One that is `proposed` waits for a person.
    """

    customer_id: str
    step_id: str
    level: int
    procedure: str
    channel: str
    template: str
    language: str
    invoices: list[DunnedInvoice]
    principal: Minor
    interest: Minor
    costs: Minor
    currency: str
    legal_basis: str
    pay_by: Day
    attempt: int | None = None
    proposed: bool | None = None
    kind: str | None = None
    country: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    costs_to_come: Minor | None = None


class DunningStepSettled(Event, frozen=True, kw_only=True, gc=False):
    """What became of a step: `sent`; `bounced` or `failed` (another channel follows, if there is
    one); `undeliverable` (no channel is left: a task for a person); `uncertain` (a person has to
    find out whether it was sent); `unsent` (it was not, and goes again); `withdrawn` (it is not to
    be sent, for what it says is no longer so); `skipped` by a person; `impossible` (no table of
    laws says what may be asked); `recalled` (the claim is no longer with whoever it was handed over
    to).
    """

    customer_id: str
    step_id: str
    level: int
    outcome: str
    channel: str
    attempt: int
    on: Day
    detail: str | None = None
    by: str | None = None


class HandedInvoice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    invoice_id: str
    open_before: Minor
    open_after: Minor


class HandoverChanged(Event, frozen=True, kw_only=True, gc=False):
    """Something has changed for whoever a claim was handed over to: `kind` is `amounts` (what is
    open of its invoices is another amount, since somebody paid, or a payment was taken back) or
    `recalled` (it is no longer theirs).
    """

    customer_id: str
    step_id: str
    channel: str
    kind: str
    currency: str
    invoices: list[HandedInvoice]
    on: Day
    by: str | None = None
    reason: str | None = None
    cause_event_id: str | None = None


class LetterWritten(Event, frozen=True, kw_only=True, gc=False):
    """The words of a letter that is about to leave, as they stand in it. Whether it left is told by
    the step's `DunningStepSettled`. One that is tried again has the same id.
    """

    customer_id: str
    step_id: str
    attempt: int
    channel: str
    to: str
    language: str
    subject: str
    text: str
    html: str


class RiskSignal(Event, frozen=True, kw_only=True, gc=False):
    customer_id: str
    kind: str
    severity: str
    detail: str
    expected_on: Day | None = None
    cause_event_id: str | None = None
    promise_id: str | None = None


INCOMING: tuple[type[Event], ...] = (
    CustomerUpserted,
    CreditLimitChanged,
    CustomerBlocked,
    CustomerUnblocked,
    CreditGroupUpserted,
    CustomersMerged,
    ParkedAccountRetried,
    ParkedEventDiscarded,
    OrderPlaced,
    OrderChanged,
    OrderDelivered,
    OrderCancelled,
    OrderReleased,
    OrderHeld,
    OrderReleaseProposed,
    OrderReleaseDeclined,
    InvoiceIssued,
    CreditNoteIssued,
    InvoiceCancelled,
    InvoiceWrittenOff,
    InvoiceDisputed,
    DisputeResolved,
    PaymentReceived,
    PaymentCleared,
    PaymentAllocated,
    PaymentReversed,
    PaymentFailed,
    PromiseToPayMade,
    PaymentPlanAgreed,
    PaymentPlanCancelled,
    CreditReportReceived,
    CreditReviewed,
    FxRatePublished,
    FeedAdvanced,
    DunningPaused,
    DunningResumed,
    DunningStepReported,
    DunningStepDecided,
    AlertAcknowledged,
    AlertSnoozed,
    CustomerNoteAdded,
    BusinessDayContinued,
    AccountMoved,
    AccountRecalled,
    BusinessDayStarted,
)
"""All that the journal may hold."""

JOURNAL_ONLY: tuple[type[Event], ...] = (
    AccountMoved,
    AccountRecalled,
    BusinessDayContinued,
    BusinessDayStarted,
)
"""What of it Headroom itself writes there; nobody may send it in."""

OUTGOING: tuple[type[Event], ...] = (
    OrderDecision,
    CreditLimitAlert,
    ExposureChanged,
    GroupExposureChanged,
    DunningStep,
    DunningStepSettled,
    HandoverChanged,
    LetterWritten,
    RiskSignal,
)
"""All that Headroom publishes."""

BROADCAST: tuple[type[Event], ...] = (
    FxRatePublished,
    FeedAdvanced,
    BusinessDayStarted,
)
"""Events that concern every account: they are written into every partition of the journal."""

BY_NAME: dict[str, type[Event]] = {kind.__name__: kind for kind in (*INCOMING, *OUTGOING)}
