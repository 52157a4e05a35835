"""The console within a gateway's process: what it follows, and what its pages are given."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zoneinfo import ZoneInfo

from agents.console.access import Sessions
from agents.console.app import Console, Explain
from agents.console.desk import Sources
from agents.console.history import year_in
from agents.console.hub import Hub
from agents.console.index import Index
from agents.console.kept import ACT, ALERTS, CONTROLS, Kept, Reader, Refusals
from agents.console.outcomes import Witnesses
from agents.core.policy import PolicyBook
from agents.credit.explanation import Explanation, Witness
from agents.gateway.callers import Callers
from agents.gateway.desk import Desk
from agents.gateway.sign_in import SignIn
from agents.intake.rules import account_of
from agents.journal.order_search import replay_journal
from agents.live_copy import LiveCopy
from schemas.events import Event, OrderDecision
from streams.codec import Codec
from streams.errors import ConfigurationError
from streams.kafka_client import client_config
from streams.registry import open_codec
from streams.settings import Settings

_SECRET_CHARACTERS_MIN = 32

LatestOn = Callable[[str, str], list[OrderDecision]]


class ConsoleParts:
    """Belongs to one event loop.

    Args:
        settings: of the installation.
        codec: decodes and encodes events.
        policies: by which figures are told.
        directory: of the disk.
        latest_on: the last decisions on an order, by its id and customer.

    Raises:
        ConfigurationError: the secret is too short.
    """

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        policies: PolicyBook,
        directory: Path,
        latest_on: LatestOn,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._policies = policies
        self._latest_on = latest_on
        self._sessions = Sessions(secrets_of(settings), settings.console_session_hours)
        self._hub = Hub()
        self._kept = Kept(directory / "kept.sqlite")
        self._readers: list[Reader | Refusals] = []
        self.index = Index(directory / "lists.sqlite", policies, latest_on, self._hub.changed)

    def heard(self, decisions: list[OrderDecision]) -> None:
        """Of what was decided; called by any thread."""
        self.index.heard(decisions)
        acts = [one.cause_event_id for one in decisions if one.cause_event_id.startswith(ACT)]
        if acts:
            self._hub.settled(acts)

    def opened(
        self,
        callers: Callers,
        desk: Desk,
        copy: LiveCopy,
        sign_in: SignIn | None,
        *,
        is_open: bool,
    ) -> Console:
        """What the pages need; what they show is followed from now on.

        Args:
            callers: recognises who asks.
            desk: writes what people do.
            copy: of the live state; `index` watches it.
            sign_in: with an identity provider, where there is one.
            is_open: nobody has to say who they are.
        """
        config = client_config(self._settings)
        refusals = Refusals(config, self._codec, self._hub.settled)
        self._readers = [
            Reader(config, self._codec, CONTROLS, self._kept, self._hub.noted),
            Reader(config, self._codec, ALERTS, self._kept, self._hub.alerted),
            refusals,
        ]
        self.index.follow(copy.of_partition, copy.partitions)

        async def write(event: Event) -> None:
            await desk.write(event, account_of(event) or "")

        return Console(
            callers=callers,
            is_open=is_open,
            sessions=self._sessions,
            sources=Sources(
                place_of=copy.place_of,
                latest_on=self._latest_on,
                index=self.index,
                kept=self._kept,
                policies=self._policies,
                partitions=copy.partitions,
            ),
            witnesses=Witnesses(copy.place_of, self._latest_on, refusals.get, self._kept),
            write=write,
            hub=self._hub,
            year=year_in(self._settings),
            explain=_explaining(self._settings, self._policies),
            zone=ZoneInfo(self._settings.time_zone),
            sign_in=sign_in,
        )

    def close(self) -> None:
        """Let go of clients and disk."""
        # At once: where no broker answers, each waits for what it has just asked.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one.close(), self._readers))
        self.index.close()
        self._kept.close()


def _explaining(settings: Settings, policies: PolicyBook) -> Explain:
    def explain(customer_id: str, order_id: str) -> list[Explanation]:
        witness = Witness(order_id, policies, follow=False)
        replay_journal(
            client_config(settings), open_codec(settings), witness, order_id, _tell_nobody
        )
        return [one for one in witness.explanations() if one.customer_id == customer_id]

    return explain


def _tell_nobody(_what: str, _count: int) -> Callable[[int], None]:
    return lambda _more: None


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The secrets of sessions; none where none is set.

    Raises:
        ConfigurationError: one is too short to keep anything.
    """
    if settings.console_secret is None:
        return ()
    secrets = tuple(one.strip() for one in settings.console_secret.get_secret_value().split(","))
    if any(len(one) < _SECRET_CHARACTERS_MIN for one in secrets):
        raise ConfigurationError(
            f"HEADROOM_CONSOLE_SECRET: each secret has {_SECRET_CHARACTERS_MIN} characters or more"
        )
    return secrets
