"""Brokers, disks and groups of one simulated installation, put in the place of the real ones in the
product's modules.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from simulation.application import App
from simulation.brokers import Brokers
from simulation.consumer import Consumer
from simulation.disk import Disks, ReadOptions, Where, WriteBatch
from simulation.group import Group
from simulation.network import Network
from simulation.producer import Producer
from simulation.senders import POISON
from simulation.threads import Queues, Threading, Time
from simulation.world import Gone, Process, World

import agents.credit.agent
import agents.credit.rules
import agents.intake.agent
import streams.app
import streams.kafka_client
from agents.credit.case import Case
from schemas.events import OrderPlaced
from streams import lately
from streams.app import Wiring
from streams.fast_lane import (
    asker,
    commit,
    fail_stop,
    fetch,
    fetched,
    lane,
    membership,
    outlet,
    partition,
    restore,
    standby,
    store,
    transaction,
)
from streams.fast_lane.assignment import Assignor
from streams.fast_lane.fetch import Fetch
from streams.kafka_client import client_config
from streams.settings import Settings

_WITH_A_CLOCK = (commit, fetch, lane, membership, outlet, partition, restore, standby, transaction)
_STEP_RECORDS = (1, 8)
"""Small steps: there is more between which something may happen."""


_CACHED_KEYS = 60
"""Few: what was forgotten is read from disk again."""
_RECORD_BYTES = 16 << 10
"""Many: with the least that may be in flight, eight records may wait for the agent."""
_LIMITS = (
    (transaction, "TRANSACTION_TIMEOUT_SECONDS"),
    (transaction, "_CALL_SECONDS"),
    (transaction, "_FENCING_SECONDS"),
    (transaction, "_GRACE_SECONDS"),
    (membership, "_ANSWER_SECONDS"),
    (membership, "_GOOD_FOR_SECONDS"),
    (membership, "_LEAVE_SECONDS"),
    (lane, "_CLOSE_SECONDS"),
    (restore, "_REQUEST_SECONDS"),
    (restore, "_PATIENCE_SECONDS"),
    (restore, "_RECOVERY_SECONDS"),
    (partition, "_TELLING_SECONDS"),
)
_SHORTER = 3
"""All limits of time are a third of what they are, that of the session too: the same happens in a
third of the steps.
"""


_HANDLERS = agents.credit.rules._HANDLERS


def _order_placed(case: Case, event: OrderPlaced) -> None:
    """The rule of a release that fails on some orders, when it has changed the account."""
    _HANDLERS[OrderPlaced](case, event)
    if event.amount == POISON:
        raise ZeroDivisionError("a fault of this release")


class Plant:
    """What all workers of one installation share."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.brokers = Brokers(world)
        self.disks = Disks(world)
        self.networks: dict[Process, Network] = {}
        self._groups: dict[str, Group] = {}

    def process(self, name: str) -> Process:
        made = Process(name)
        self.networks[made] = Network(self.world, made)
        return made

    @property
    def network(self) -> Network:
        """That of the process that runs."""
        process = self.world.current
        assert process is not None
        return self.networks[process]

    def group(self, name: str) -> Group:
        return self._groups.setdefault(name, Group(self.world, self.brokers, name))

    def share_out_anew(self) -> None:
        for group in self._groups.values():
            group.share_out_anew()

    def producer(self, config: dict[str, Any]) -> Producer:
        return Producer(self.brokers, self.network, config)

    def consumer(self, config: dict[str, Any]) -> Consumer:
        return Consumer(self.brokers, self.network, config)

    def app(
        self,
        wiring: Wiring,
        agent: str,
        *,
        has_leader: bool = False,
        stateful: Collection[str] = (),
        oldest_first: bool = False,
    ) -> App:
        """`streams.app.build_app`."""
        del has_leader
        settings = wiring.settings
        app_id = f"{settings.app_id}-{agent}"
        process = self.world.current
        assert process is not None
        return App(
            app_id,
            self.network,
            self.group(app_id),
            Fetch(client_config(settings), app_id, oldest_first=oldest_first),
            Assignor(process.name, stateful=stateful, standbys=settings.standbys),
            settings.session_timeout_seconds / _SHORTER,
        )

    def exit(self, code: int) -> None:
        """`os._exit`."""
        process = self.world.current
        assert process is not None
        process.ended_because = process.ended_because or f"exit {code}"
        self.world.kill(process)
        raise Gone

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """The product's modules use this plant, its clock and its threads."""
        stand_ins: list[tuple[Any, str, Any]] = [
            *((module, "time", Time(self.world)) for module in _WITH_A_CLOCK),
            (streams.kafka_client, "time", Time(self.world)),
            (lately, "time", Time(self.world)),
            (agents.credit.rules, "_HANDLERS", _HANDLERS | {OrderPlaced: _order_placed}),
            *((m, "threading", Threading(self.world)) for m in (fetch, outlet, standby)),
            (transaction, "threading", Threading(self.world)),
            (fetch, "queue", Queues(self.world)),
            (transaction, "SimpleQueue", Queues(self.world).SimpleQueue),
            *((module, "Producer", self.producer) for module in (outlet, transaction)),
            *((m, "Consumer", self.consumer) for m in (asker, fetch, restore, streams.app)),
            (streams.app, "_CACHED_KEYS", _CACHED_KEYS),
            (fetched, "RECORD_BYTES", _RECORD_BYTES),
            (fetch, "_WAITING_BYTES", 4 * _RECORD_BYTES),
            (streams.app, "Memory", lambda **_sizes: None),
            (store, "_options", lambda _memory: None),
            (store, "Rdict", self.disks.open),
            (store, "WriteBatch", WriteBatch),
            (store, "ReadOptions", ReadOptions),
            (store, "shutil", SimpleNamespace(rmtree=self.disks.remove)),
            (streams.app, "state_directory", self._state_directory),
            (lane, "_STEP_RECORDS", _STEP_RECORDS),
            (standby, "_LISTEN_SECONDS", 0.1),  # fewer steps in which nothing happens
            (agents.intake.agent, "build_app", self.app),
            (agents.credit.agent, "build_app", self.app),
            (fail_stop, "os", SimpleNamespace(_exit=self.exit)),
            (fail_stop, "logging", SimpleNamespace(shutdown=lambda: None)),
            (fail_stop, "logger", SimpleNamespace(critical=self._note_the_end)),
        ]
        stand_ins += [(m, name, getattr(m, name) / _SHORTER) for m, name in _LIMITS]
        with contextlib.ExitStack() as stack:
            for module, name, stand_in in stand_ins:
                stack.enter_context(patch.object(module, name, stand_in))
            yield

    def _note_the_end(self, _text: str, why: str, exc_info: BaseException | None) -> None:
        process = self.world.current
        assert process is not None
        process.ended_because = why
        logging.getLogger(__name__).error("%s stops: %s", process.name, why, exc_info=exc_info)

    def _state_directory(self, settings: Settings, app_id: str) -> Where:
        return Where(f"/{settings.worker_name}/{app_id}")
