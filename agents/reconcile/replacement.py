"""Writes re-derived state in the place of the live one, while no worker runs.

The changelog is the state, so it is written there: in transactions of the partition's own id, which
fence whoever still has the partition, and with the figures of every account that changed. A worker
that starts afterwards reads it as any other commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from confluent_kafka.admin import AdminClient
from faust.types import TP

from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.rules import figures, group_figures
from agents.reconcile.states import changes_between
from schemas.catalogue import JOURNAL, credit_changelog, topic_of
from schemas.events import ExposureChanged, GroupExposureChanged
from streams.app import open_transactions
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.errors import HeadroomError
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.store import PartitionStore
from streams.fast_lane.transaction import Transactions
from streams.kafka_client import client_config
from streams.settings import Settings

_CHANGES_PER_TRANSACTION = 5_000
_Changes = dict[bytes, bytes | None]


class WorkersRunError(HeadroomError):
    """The credit agent's group has members: they would go on from the state that is replaced."""


class Replacement:
    """Puts live states right, one partition after the other.

    Raises `WorkersRunError`.
    """

    def __init__(self, settings: Settings, codec: Codec, policies: PolicyBook) -> None:
        self._settings = settings
        self._codec = codec
        self._policies = policies
        self._group = f"{settings.app_id}-credit"
        self._headers = headers_of("credit")
        self.entries = 0
        """Keys that were changed."""
        admin: Any = AdminClient(client_config(settings))  # the stubs know no futures here
        asked = admin.describe_consumer_groups([self._group])
        members = asked[self._group].result().members
        if members:
            raise WorkersRunError(
                f"{len(members)} workers run the credit agent; stop them before their state is "
                "replaced"
            )

    def put_right(
        self, partition: int, at: int, live: PartitionStore, recomputed: PartitionStore
    ) -> None:
        """Make the live state of a partition, which stands at `at`, the recomputed one.

        Raises `FencedError` and `CommitError` as a transaction does; run again, it goes on.
        """
        transactions: Transactions | None = None
        for changes in _in_lots(changes_between(live, recomputed)):
            transactions = transactions or open_transactions(
                self._settings, self._group, TP(JOURNAL, partition)
            )
            transactions.write(
                at,
                list(self._figures(recomputed, changes)),
                changelog=credit_changelog(self._settings.app_id),
                changes=changes,
            )
            self.entries += len(changes)

    def _figures(self, recomputed: PartitionStore, changes: _Changes) -> Iterator[Outgoing]:
        """Of the accounts and groups that are other than they were."""
        for raw_key, raw in changes.items():
            account_id, _, own = raw_key.decode("utf-8", "replace").partition(state.NUL)
            said: ExposureChanged | GroupExposureChanged
            if raw is None or not account_id:
                continue
            if state.NUL + own == state.account_key(""):
                said = figures(recomputed, account_id, self._policies)
            elif state.NUL + own == state.group_key(""):
                said = group_figures(recomputed, account_id, self._policies)
            else:
                continue
            topic = topic_of(type(said).__name__)
            value = self._codec.encode(said)
            yield Outgoing(topic, account_id.encode(), value, self._headers(said))


def _in_lots(changes: Iterable[tuple[bytes, bytes | None]]) -> Iterator[_Changes]:
    rest = iter(changes)
    while lot := dict(islice(rest, _CHANGES_PER_TRANSACTION)):
        yield lot
