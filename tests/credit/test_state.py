"""How the room's memory stands in a store."""

from __future__ import annotations

import pytest

from agents.credit import state


def test_a_value_that_another_release_wrote_is_not_read() -> None:
    key = state.account_key("C-1")
    stored = state.encode(key, state.Account())
    assert state.decode(key, stored) == state.Account()
    with pytest.raises(ValueError, match=r"state of version b'\\x02' under 'C-1.*reads b'\\x01'"):
        state.decode(key, b"\x02" + stored[1:])
