"""A slow and obvious second opinion on the order check: every reason against an order that is true
now, stated again from the pages of the domain, without looking at the rules.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

from credit.credit_oracle import Oracle, Order, remembered

from agents.core.policy import SHARE_ONE, in_minor
from schemas import events as ev
from schemas.events import Event, Instant

REASONS = (
    "customer_unknown",
    "customer_blocked",
    "limit_missing",
    "limit_expired",
    "prepayment_required",
    "overdue",
    "dunning_block",
    "credit_limit_exceeded",
    "group_limit_exceeded",
    "insurance_cover_stopped",
    "fx_rate_missing",
    "stale_data",
    "manual_hold",
)
"""In the order in which a decision lists them."""

_MINUTE: Instant = 60_000_000
L = TypeVar("L", bound=Event)


class CheckOracle(Oracle):
    """What is true of orders, accounts and groups at the moment of `at`."""

    at: Instant = 0

    # ── orders ────────────────────────────────────────────────────────────────────────────────────

    @remembered
    def hold_reasons(self, order_id: str) -> list[str]:
        """Against an order that wants credit, or wants to keep it, as if it had none now."""
        order = self.orders[order_id]
        account_id = self.owner(order_id)
        group_id = self.group_of(account_id)
        found = set(self.standing_reasons(account_id))
        if self.master(account_id) is not None:
            known = [account_id]
            if group_id is not None and self.group_record(group_id) is not None:
                known.append(group_id)
            for holder in known:
                if not self.rate(order.placed.currency, self.currency(holder))[1]:
                    found.add("fx_rate_missing")
            if self.asked(order) > 0 or self.is_uncovered(order):
                found |= self._amount_reasons(
                    account_id,
                    self._after(account_id, account_id, order),
                    None if group_id is None else self._after(account_id, group_id, order),
                )
                if self.terms(account_id).strict_fifo and self._waits_behind(order):
                    found.add("credit_limit_exceeded")
        return self._with_manual_hold(order_id, found)

    def delivery_reasons(self, order_id: str) -> list[str]:
        """Against an order of which goods go out: orders that are younger make way for it."""
        order = self.orders[order_id]
        account_id = self.owner(order_id)
        group_id = self.group_of(account_id)
        found = set(self.standing_reasons(account_id))
        if self.master(account_id) is not None:
            found |= self._amount_reasons(
                account_id,
                self.exact_exposure(account_id) - self._reserved_after(order, account_id),
                None
                if group_id is None
                else self.exact_exposure(group_id) - self._reserved_after(order, group_id),
            )
        return self._with_manual_hold(order_id, found)

    def is_uncovered(self, order: Order) -> bool:
        """Whether some of it is out or invoiced, and so is exposure before it has its credit."""
        return bool(self.about(ev.OrderDelivered, order.order_id)) or order.is_invoiced

    def is_held_by_person(self, order_id: str) -> bool:
        last = self.latest(order_id, ev.OrderHeld, ev.OrderReleased)
        return isinstance(last, ev.OrderHeld) and (
            last.valid_until is None or self.today <= last.valid_until
        )

    def _with_manual_hold(self, order_id: str, found: set[str]) -> list[str]:
        manual = {"manual_hold"} if self.is_held_by_person(order_id) else set()
        return [reason for reason in REASONS if reason in found | manual]

    def _after(self, account_id: str, holder: str, order: Order) -> Fraction:
        """What the account, or its group, would owe with the order."""
        currency, own = order.placed.currency, self.currency(holder)
        after = self.exact_exposure(holder) + self.exact(self.asked(order), currency, own)
        if order.status in ("approved", "released"):
            after -= self.exact(self.asked(order), currency, own)
        if self.terms(account_id).held_orders_consume:
            after += self._held_before(order, holder)
        return after

    def _held_before(self, order: Order, holder: str) -> Fraction:
        """What held orders placed before this one ask for."""
        accounts = {holder, *self.members(holder)}
        return sum(
            (
                self.exact(self.asked(one), one.placed.currency, self.currency(holder))
                for one in self.orders.values()
                if self.owner(one.order_id) in accounts
                and one.status == "held"
                and _age(one) < _age(order)
            ),
            Fraction(),
        )

    def _reserved_after(self, order: Order, holder: str) -> Fraction:
        """What orders placed after this one reserve."""
        accounts = {holder, *self.members(holder)}
        return sum(
            (
                self.exact(self.asked(one), one.placed.currency, self.currency(holder))
                for one in self.orders.values()
                if self.owner(one.order_id) in accounts
                and one.status in ("approved", "released")
                and _age(one) > _age(order)
            ),
            Fraction(),
        )

    def _waits_behind(self, order: Order) -> bool:
        return any(
            one.status == "held"
            and one.placed.occurred_at < order.placed.occurred_at
            and self.owner(one.order_id) == self.owner(order.order_id)
            and not self.is_held_by_person(one.order_id)
            for one in self.orders.values()
        )

    def _amount_reasons(
        self, account_id: str, after: Fraction, group_after: Fraction | None
    ) -> set[str]:
        terms, limit, found = self.terms(account_id), self.limit(account_id), set()
        share = terms.overdue_above_utilisation
        if (
            share is not None
            and self.is_overdue(account_id)
            and (limit is None or after * SHARE_ONE > share * limit)
        ):
            found.add("overdue")
        if self.prepays(account_id):
            if after > 0:
                found.add("prepayment_required")
        elif limit is not None and after > limit:
            found.add("credit_limit_exceeded")
            if self._may_be_paid_already(account_id, after - limit):
                found.add("stale_data")
        group_id = self.group_of(account_id)
        if group_id is not None and group_after is not None:
            group_limit = self.group_limit(group_id)
            if group_limit is not None and group_after > group_limit:
                found.add("group_limit_exceeded")
        return found

    def _may_be_paid_already(self, account_id: str, missing: Fraction) -> bool:
        promise = self.terms(account_id).payments_feed_minutes
        told = [one.complete_until for one in self.all(ev.FeedAdvanced) if one.feed == "payments"]
        return (
            promise is not None
            and bool(told)
            and self.at - max(told) > promise * _MINUTE
            and missing <= self.valued(account_id).receivables
        )

    # ── accounts and groups ───────────────────────────────────────────────────────────────────────

    @remembered
    def standing_reasons(self, account_id: str) -> set[str]:
        """What is against every order of the account."""
        master, group_id, found = self.master(account_id), self.group_of(account_id), set()
        if master is None:
            return {"customer_unknown"}
        if self.is_blocked(account_id) or master.closed:
            found.add("customer_blocked")
        if not self.prepays(account_id):
            if not master.unlimited and self.limit(account_id) is None:
                found.add("limit_missing")
            if (
                not master.unlimited
                and self.limit(account_id) is not None
                and self._expired(master)
            ):
                found.add("limit_expired")
            if group_id is not None and self.group_limit(group_id) is None:
                found.add("limit_missing")
        terms = self.terms(account_id)
        if terms.overdue_above_utilisation is None and self.is_overdue(account_id):
            found.add("overdue")
        own = [one for key, one in self.invoices.items() if self.owner(key) == account_id]
        level, extension = terms.block_from_level, terms.max_extension_days
        if level is not None and any(one.open and one.dunned_to >= level for one in own):
            found.add("dunning_block")
        if (
            master.insured_limit is not None
            and extension is not None
            and any(one.open and self.today - one.original_due_on > extension for one in own)
        ):
            found.add("insurance_cover_stopped")
        if any(self.has_unvalued_currency(one) for one in filter(None, (account_id, group_id))):
            found.add("fx_rate_missing")
        return found

    @remembered
    def prepays(self, account_id: str) -> bool:
        master, terms = self.master(account_id), self.terms(account_id)
        written_off = any(
            self.owner(one.invoice_id) == account_id for one in self.all(ev.InvoiceWrittenOff)
        )
        return (
            terms.prepayment
            or (master is not None and master.payment_terms_days == 0)
            or (terms.prepayment_after_write_off and written_off)
        )

    @remembered
    def is_blocked(self, account_id: str) -> bool:
        said: list[Event] = [
            one
            for one in self.events
            if (isinstance(one, ev.CustomerUpserted) and one.blocked is not None)
            or isinstance(one, ev.CustomerBlocked | ev.CustomerUnblocked)
        ]
        own = [one for one in said if getattr(one, "customer_id", None) == account_id]
        last = max(reversed(own), key=lambda one: one.occurred_at, default=None)
        if isinstance(last, ev.CustomerUpserted):
            return bool(last.blocked)
        return isinstance(last, ev.CustomerBlocked)

    @remembered
    def limit(self, account_id: str) -> int | None:
        """The effective limit; None: unlimited, or none given."""
        master, terms = self.master(account_id), self.terms(account_id)
        if master is not None and master.unlimited:
            return None
        given: int | None = None
        standing, temporary = self._standing(account_id), self._temporary(account_id)
        if temporary is not None:
            given = temporary.credit_limit
        elif standing is not None and standing.credit_limit is not None:
            given = standing.credit_limit
        elif terms.default_limit is not None:
            given = self._policy_amount(account_id, terms.default_limit)
        if given is None or master is None or master.insured_limit is None:
            return given
        if not terms.cap_by_insurance:
            return given
        return min(given, master.insured_limit * (SHARE_ONE + terms.own_risk_margin) // SHARE_ONE)

    def group_limit(self, group_id: str) -> int | None:
        record = self.group_record(group_id)
        return None if record is None else record.credit_limit

    @remembered
    def is_overdue(self, account_id: str) -> bool:
        terms = self.terms(account_id)
        late = [
            one
            for key, one in self.invoices.items()
            if self.owner(key) == account_id and one.open > one.contested
        ]
        oldest = min((one.issued.due_on for one in late), default=self.today)
        if self.today - oldest <= terms.max_overdue_days:
            return False
        least = self._policy_amount(account_id, terms.min_overdue_amount)
        return (
            least is None
            or self.valued(account_id).overdue >= least
            or self.has_unvalued_currency(account_id)
        )

    @remembered
    def has_unvalued_currency(self, account_or_group_id: str) -> bool:
        own = self.currency(account_or_group_id)
        return any(
            parts.exposure != 0 and not self.rate(currency, own)[1]
            for currency, parts in self.books(account_or_group_id).items()
        )

    @remembered
    def _standing(self, account_id: str) -> ev.CustomerUpserted | ev.CreditLimitChanged | None:
        return _last(
            [
                one
                for one in self.events
                if isinstance(one, ev.CustomerUpserted | ev.CreditLimitChanged)
                and one.customer_id == account_id
                and getattr(one, "valid_until", None) is None
            ]
        )

    @remembered
    def _temporary(self, account_id: str) -> ev.CreditLimitChanged | None:
        """The temporary limit that counts today, unless a standing one was given after it."""
        temporary = _last(
            [
                one
                for one in self.all(ev.CreditLimitChanged)
                if one.customer_id == account_id and one.valid_until is not None
            ]
        )
        if temporary is None or temporary.valid_until is None or self.today > temporary.valid_until:
            return None
        decided = [
            one.occurred_at
            for one in self.all(ev.CreditLimitChanged)
            if one.customer_id == account_id and one.valid_until is None
        ]
        return temporary if temporary.occurred_at >= max(decided, default=0) else None

    def _expired(self, master: ev.CustomerUpserted) -> bool:
        until = getattr(self._standing(master.customer_id), "limit_valid_until", None)
        return (
            until is not None and self.today > until and self._temporary(master.customer_id) is None
        )

    def _policy_amount(self, account_id: str, text: str) -> int | None:
        own, named = self.currency(account_id), self.terms(account_id).currency
        if own and named in (None, own):
            return in_minor(text, own)
        if not own or named is None:
            return None
        by, _ = self.rate(named, own)
        return int(in_minor(text, named) * by) if by else None


def _age(order: Order) -> tuple[Instant, str]:
    return order.placed.occurred_at, order.order_id


def _last(said: list[L]) -> L | None:
    """The fact that arose last; of one instant the later one to arrive."""
    return max(reversed(said), key=lambda one: one.occurred_at, default=None)
