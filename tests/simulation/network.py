"""The way between a process and the brokers: packets take a while, are held up while the process is
cut off, and arrive or not when it dies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException
from simulation.brokers import refusal
from simulation.world import Process, World

from streams.kafka_client import cause_of

_Answer = TypeVar("_Answer")
_RETRY_SECONDS = 0.002
_TRY_AGAIN = frozenset({KafkaError.CONCURRENT_TRANSACTIONS, KafkaError.UNSTABLE_OFFSET_COMMIT})
"""What a client asks again by itself."""

_Deliver = Callable[[object, KafkaException | None], None]


class Network:
    """The connections of one process."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process
        self.before_request: Callable[[str], None] = lambda _name: None
        """Hears the name of each request before it leaves; may kill the process."""
        self.next_takes = 0.0
        """How much longer the next packet travels."""

    def send(self, name: str, request: Callable[[], object], deliver: _Deliver) -> None:
        """Have the brokers do something, and hear of it. Once sent it may arrive though the sender
        is gone by then.
        """
        self.before_request(name)
        self.world.still_alive(self.process)
        self.world.at(self._journey(), lambda: self._arrive(request, deliver))

    def ask(self, name: str, request: Callable[[], _Answer], seconds: float) -> _Answer:
        """The same, and wait for the answer.

        Raises `KafkaException`: the refusal; or that nobody answered in time, when it may have
        been done or may be done yet.
        """
        deadline = self.world.now + seconds
        while True:
            answer, error = self._ask_once(name, request, deadline - self.world.now)
            if error is None:
                return answer  # type: ignore[return-value]  # there is one when there is no error
            if cause_of(error).code() not in _TRY_AGAIN:
                raise error
            self.world.sleep(_RETRY_SECONDS)
            if self.world.now > deadline:
                raise refusal(KafkaError._TIMED_OUT, retriable=True)

    def _ask_once(
        self, name: str, request: Callable[[], object], seconds: float
    ) -> tuple[object, KafkaException | None]:
        answers: list[tuple[object, KafkaException | None]] = []

        def register(wake: Callable[[], None]) -> None:
            def deliver(answer: object, error: KafkaException | None) -> None:
                answers.append((answer, error))
                wake()

            self.send(name, request, deliver)

        if not self.world.suspend(register, max(seconds, 1e-6)):
            raise refusal(KafkaError._TIMED_OUT, retriable=True)
        return answers[0]

    def _arrive(self, request: Callable[[], object], deliver: _Deliver) -> None:
        if not self.process.alive and self.world.chance.random() < 0.5:
            return  # it was lost with the machine
        answer: object = None
        error: KafkaException | None = None
        try:
            answer = request()
        except KafkaException as refused:
            error = refused
        self.world.at(self._journey(), lambda: deliver(answer, error), self.process)

    def _journey(self) -> float:
        held_up = max(self.process.cut_until - self.world.now, self.next_takes)
        self.next_takes = 0.0
        return held_up + self.world.latency()
