"""What the clients in memory hand out, shaped like confluent-kafka's own."""

from __future__ import annotations

from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError
from simulation.log import Headers, Place, Written


class Message:
    """A record that was read, the end of a partition, or a record that was delivered or not."""

    def __init__(
        self,
        place: Place,
        offset: int | None,
        record: Written | None,
        error: KafkaError | None = None,
    ) -> None:
        self._place = place
        self._offset = offset
        self._record = record
        self._error = error

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int | None:
        return self._offset

    def error(self) -> KafkaError | None:
        return self._error

    def key(self) -> bytes | None:
        return None if self._record is None else self._record.key

    def value(self) -> bytes | None:
        return None if self._record is None else self._record.value

    def headers(self) -> Headers | None:
        return None if self._record is None or not self._record.headers else self._record.headers

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, 0 if self._record is None else self._record.timestamp

    def latency(self) -> float:
        return 0.001
