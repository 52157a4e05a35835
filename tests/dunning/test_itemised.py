"""Every amount of a year of letters can be recomputed from the laws, to the cent."""

from __future__ import annotations

from functools import cache

import pytest
from dunning.dunned_year import DunnedYear, rules
from dunning.test_run_in_pieces import at_once
from msgspec.structs import replace

from agents.dunning.book import DunningBook
from agents.dunning.itemised import differences, itemised
from agents.dunning.law import LawMissingError
from schemas.events import DunningStep


def book() -> DunningBook:
    found = rules().dunning
    assert found is not None
    return found


@cache
def steps() -> list[DunningStep]:
    _, said = at_once(DunnedYear(7, 5).inputs)
    return [one for one in said if isinstance(one, DunningStep)]


def test_what_was_asked_is_what_the_laws_come_to() -> None:
    asking = [one for one in steps() if one.interest or one.costs]
    assert len(asking) > 20
    for step in steps():
        claim = itemised(step, book())
        assert differences(step, claim) == [], step.step_id
        assert claim.total == step.principal + step.interest + step.costs


def test_an_amount_that_was_changed_is_named() -> None:
    step = next(one for one in steps() if one.interest and one.costs)
    assert differences(replace(step, interest=step.interest + 1), itemised(step, book())) == [
        "interest"
    ]
    changed = replace(step, costs=step.costs + 1)
    assert differences(changed, itemised(changed, book())) == ["costs"]


def test_a_procedure_that_is_gone_explains_nothing() -> None:
    with pytest.raises(LawMissingError, match="no procedure 'gone'"):
        itemised(replace(steps()[0], procedure="gone"), book())
