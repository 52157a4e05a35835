"""What money in one currency is worth in another on a day, by the rates that were published.

A pair of currencies is valued by its own rate, in whichever direction it was published, the newer
of the two; else by the rates of both against the policy's pivot. The rate in force is the latest
that is valid on the day; when it is older than the policy allows, it still shows figures, but
nothing new is approved on it. Rates are exact fractions: nothing is rounded before the sum.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from agents.core.ledger import Ledger
from agents.core.policy import Policy
from agents.credit import state
from schemas.events import Day, FxRatePublished, Minor, RateUsed
from schemas.money import exponent

_SHOWN_DIGITS = 10


class Factor(msgspec.Struct, frozen=True):
    """Minor units of the one currency per minor unit of the other, and what that stands on."""

    of_minor: Fraction
    of_major: Fraction
    fresh: bool
    rates: tuple[RateUsed, ...]


def factor(ledger: Ledger, policy: Policy, today: Day, currency: str, into: str) -> Factor | None:
    """The factor from `currency` into another; None: no rate says it."""
    found = _of_pair(ledger, policy, today, currency, into)
    if found is None and policy.fx_pivot not in (currency, into):
        first = _of_pair(ledger, policy, today, currency, policy.fx_pivot)
        second = _of_pair(ledger, policy, today, policy.fx_pivot, into)
        if first is not None and second is not None:
            found = Factor(
                first.of_minor * second.of_minor,
                first.of_major * second.of_major,
                first.fresh and second.fresh,
                first.rates + second.rates,
            )
    return found


def rounded(amount: Minor, by: Factor) -> Minor:
    """An amount in the other currency, half a minor unit going to the even one."""
    return round(amount * by.of_minor)


def shown(by: Factor) -> str:
    """The factor in major units as people read it, at most ten digits behind the point."""
    scaled = round(by.of_major * 10**_SHOWN_DIGITS)
    whole, part = divmod(scaled, 10**_SHOWN_DIGITS)
    return f"{whole}.{part:0{_SHOWN_DIGITS}d}".rstrip("0").rstrip(".")


def publish(ledger: Ledger, event: FxRatePublished, today: Day) -> bool:
    """Keep a rate. Says whether it is the one in force now and was not before.

    Of two rates of a pair for the same day the one that was published last counts. What is older
    than the rate in force is forgotten: no day before today is valued again.
    """
    key = state.rates_key(event.base, event.quote)
    rates: list[state.Rate] = ledger.get(key) or []
    known = next((rate for rate in rates if rate.valid_on == event.valid_on), None)
    if known is not None and (known.at, known.event_id) >= (event.occurred_at, event.event_id):
        return False
    before = in_force(rates, today)
    rates = [rate for rate in rates if rate is not known]
    rates.append(
        state.Rate(event.valid_on, event.rate, event.source, event.occurred_at, event.event_id)
    )
    rates.sort(key=lambda rate: rate.valid_on)
    now = in_force(rates, today)
    ledger.put(key, [rate for rate in rates if now is None or rate.valid_on >= now.valid_on])
    return now is not before


def in_force(rates: list[state.Rate], day: Day) -> state.Rate | None:
    """The latest rate that is valid on a day."""
    return next((rate for rate in reversed(rates) if rate.valid_on <= day), None)


def pairs_moving(ledger: Ledger, policy: Policy, before: Day, today: Day) -> list[tuple[str, str]]:
    """The pairs whose rate in force, or its being fresh, is another today than on a day before."""
    moved = []
    for key, rates in ledger.scan(*state.RATES):
        old, now = in_force(rates, before), in_force(rates, today)
        if old is not now or (
            now is not None and _is_fresh(now, before, policy) is not _is_fresh(now, today, policy)
        ):
            moved.append((key[2:5], key[5:8]))
    return moved


def _of_pair(ledger: Ledger, policy: Policy, today: Day, base: str, quote: str) -> Factor | None:
    direct = in_force(ledger.get(state.rates_key(base, quote)) or [], today)
    inverse = in_force(ledger.get(state.rates_key(quote, base)) or [], today)
    if direct is not None and (inverse is None or direct.valid_on >= inverse.valid_on):
        rate, of_major = direct, Fraction(direct.rate)
        used = RateUsed(
            base=base, quote=quote, rate=rate.rate, valid_on=rate.valid_on, source=rate.source
        )
    elif inverse is not None:
        rate, of_major = inverse, 1 / Fraction(inverse.rate)
        used = RateUsed(
            base=quote, quote=base, rate=rate.rate, valid_on=rate.valid_on, source=rate.source
        )
    else:
        return None
    of_minor = of_major * Fraction(10) ** (exponent(quote) - exponent(base))
    return Factor(of_minor, of_major, _is_fresh(rate, today, policy), (used,))


def _is_fresh(rate: state.Rate, today: Day, policy: Policy) -> bool:
    return today - rate.valid_on <= policy.fx_max_age_days
