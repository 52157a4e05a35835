"""What a key of the state names can be had back from it, whatever the ids are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.credit import state
from agents.dunning import records as dunning

IDS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12)
INSTANTS = st.integers(0, 2**62)
DAYS = st.integers(0, 65_534)


@given(IDS, INSTANTS, IDS)
def test_a_held_order_is_known_by_its_key_in_the_partition(
    account_id: str, placed_at: int, order_id: str
) -> None:
    key = state.held_in_partition(state.held_key(account_id, placed_at, order_id))
    assert key == state.partition_held_key(placed_at, account_id, order_id)
    assert state.held_order(key) == (placed_at, account_id, order_id)


@given(IDS, IDS)
def test_where_dunning_keeps_what_it_did_about_an_invoice(account_id: str, invoice_id: str) -> None:
    found = state.followed_key_of(state.invoice_key(account_id, invoice_id))
    assert found == dunning.followed_key(account_id, invoice_id)


@given(IDS, DAYS, DAYS, st.integers(0, 10**9))
def test_what_is_forgotten_later_stands_there_as_if_it_had_been_put_there(
    account_id: str, day: int, later: int, sequence: int
) -> None:
    moved = state.forgotten_later(state.forget_key(day, account_id, sequence), later)
    assert moved == state.forget_key(later, account_id, sequence)


@given(st.lists(st.tuples(INSTANTS, IDS), min_size=1, max_size=6), INSTANTS, IDS)
def test_orders_that_reserve_are_found_from_an_instant_on_the_youngest_first(
    orders: list[tuple[int, str]], since: int, owner: str
) -> None:
    of_account = {state.rank_key(owner, at, order_id): at for at, order_id in orders}
    of_group = {state.group_rank_key(owner, at, "C", order_id): at for at, order_id in orders}
    for keys, (first, last) in (
        (of_account, state.rank_range(owner, since)),
        (of_group, state.group_rank_range(owner, since)),
    ):
        found = [keys[key] for key in sorted(keys) if first <= key < last]
        assert found == sorted((at for at in keys.values() if at >= since), reverse=True)
