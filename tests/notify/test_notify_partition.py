"""A partition of the notify agent that is let go of while it commits."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from agents.notify.letters import Letters
from agents.notify.outbox import Now
from agents.notify.partition import NotifyPartition


def test_a_commit_that_ends_while_the_partition_is_closed_is_no_trouble() -> None:
    office = cast(
        "Any",
        SimpleNamespace(carriers=dict, trade=Letters, now=lambda: Now(0, 0)),
    )

    async def story() -> None:
        with ThreadPoolExecutor(1) as executor:
            partition = NotifyPartition(
                TP("steps", 0),
                office,
                cast("Any", None),
                "changelog",
                {},
                None,
                may_send=lambda _tp: True,
                tell_group=lambda _tp, _offset: asyncio.sleep(0),
                executor=executor,
            )
            partition._work = asyncio.create_task(asyncio.sleep(0.01))
            await asyncio.gather(partition.commit(), partition.close())

    asyncio.run(story())
