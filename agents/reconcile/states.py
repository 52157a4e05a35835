"""Two states of one partition, key by key."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from agents.credit import state
from agents.reconcile.findings import Difference
from agents.reconcile.words import NOTHING, differing, subject, summary
from streams.fast_lane.store import PartitionStore, plumbing_of

_IGNORED = "layout"
_REPEATS = "origin:"


def compare_states(
    live: PartitionStore, recomputed: PartitionStore, place: str
) -> Iterator[Difference]:
    """Every difference, in the order of the keys; `place` says of which offset both are."""
    both = heapq.merge(
        ((raw_key, 0, raw) for raw_key, raw in live.committed()),
        ((raw_key, 1, raw) for raw_key, raw in recomputed.committed()),
    )
    for raw_key, found in groupby(both, key=lambda entry: entry[0]):
        raws: list[bytes | None] = [None, None]
        for _, side, raw in found:
            raws[side] = raw
        if raws[0] == raws[1]:
            continue
        name = plumbing_of(raw_key)
        if name is None:
            yield from _of_rules(raw_key.decode(), raws, live, recomputed, place)
        elif name != _IGNORED:
            yield _of_plumbing(name, raws, place)


def changes_between(
    live: PartitionStore, recomputed: PartitionStore
) -> Iterator[tuple[bytes, bytes | None]]:
    """What makes the live state the recomputed one: raw keys and values, None deletes."""
    for raw_key, raw in recomputed.committed():
        if live.raw(raw_key) != raw:
            yield raw_key, raw
    for raw_key, _ in live.committed():
        if recomputed.raw(raw_key) is None:
            yield raw_key, None


def accounts_in(store: PartitionStore) -> int:
    """How many accounts and groups a state has."""
    names = (state.account_key(""), state.group_key(""))
    return sum(1 for raw_key, _ in store.committed() if raw_key.decode("latin-1").endswith(names))


def _of_rules(
    key: str,
    raws: list[bytes | None],
    live: PartitionStore,
    recomputed: PartitionStore,
    place: str,
) -> Iterator[Difference]:
    account_id, what = subject(key)
    cause = _cause(account_id, live, recomputed)

    def difference(field: str, found: str, expected: str) -> Difference:
        return Difference("live_state", account_id, what, field, found, expected, cause, place)

    values: list[Any] = []
    for raw in raws:
        try:
            values.append(None if raw is None else state.decode(key, raw))
        except ValueError as error:
            yield difference("", f"cannot be read ({error})", "can")
            return
    found, expected = values
    if found is None or expected is None:
        yield difference(
            "",
            NOTHING if found is None else summary(found),
            NOTHING if expected is None else summary(expected),
        )
        return
    told = False
    for field, left, right in differing(found, expected):
        told = True
        yield difference(field, left, right)
    if not told:
        yield difference("", "other bytes for the same content", "as this release writes them")


def _of_plumbing(name: str, raws: list[bytes | None], place: str) -> Difference:
    what = f"repeats known of {name.removeprefix(_REPEATS)}" if name.startswith(_REPEATS) else name
    left, right = ("nothing" if raw is None else repr(raw) for raw in raws)
    cause = "the state was not made of this journal alone"
    return Difference("live_state", "", what, "", left, right, cause, place)


def _cause(account_id: str, live: PartitionStore, recomputed: PartitionStore) -> str:
    """Why an account differs, as far as its count of events can tell."""
    key = state.account_key(account_id)
    try:
        found: state.Account | None = live.get(key)
    except ValueError:
        return "the live state is of another release, or damaged"
    expected: state.Account | None = recomputed.get(key)
    if found is None or expected is None or found.sequence == expected.sequence:
        return (
            "the same events, another outcome: another policy or release of the rules decided, "
            "or the live state was changed by hand"
        )
    if found.sequence < expected.sequence:
        missing = expected.sequence - found.sequence
        return f"the live state is behind: it lacks {missing} events of the account"
    more = found.sequence - expected.sequence
    return f"the live state counts {more} events of the account that the journal does not have"
