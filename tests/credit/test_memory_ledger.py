"""The ledger in memory behaves as the one on disk: what is written beside a range that is being
scanned does not disturb the scan.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.core.ledger import MemoryLedger


@given(
    st.integers(0, 300),
    st.lists(st.tuples(st.sampled_from("ac"), st.integers(0, 400)), max_size=300),
)
def test_writing_beside_a_range_disturbs_no_scan_of_it(
    entries: int, writes: list[tuple[str, int]]
) -> None:
    ledger = MemoryLedger()
    for number in range(entries):
        ledger.put(f"b{number:04d}", number)
    left = iter(writes)
    found = []
    for key, value in ledger.scan("b", "c"):
        found.append(value)
        assert key == f"b{value:04d}"
        for side, number in [one for one in [next(left, None)] if one]:
            ledger.put(f"{side}{number:04d}", 0)
    assert found == list(range(entries))


def test_what_is_deleted_behind_the_scan_is_not_missed_and_what_is_ahead_is_not_seen() -> None:
    ledger = MemoryLedger()
    for number in range(300):
        ledger.put(f"b{number:04d}", number)
    found = []
    for key, value in ledger.scan("b", "c"):
        found.append(value)
        ledger.delete(key)
        ledger.delete("b0299")
    assert found == list(range(299))
