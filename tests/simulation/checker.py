"""Whether a run kept what docs/guarantees.md promises. Each thing that it did not is one line."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
from simulation.brokers import Brokers
from simulation.log import Written
from simulation.machine import CHANGELOG
from simulation.oracle import Key, header, replay, without_repeats

from agents.core.policy import PolicyBook
from agents.credit.portfolio import NOTE, Totals
from agents.intake.rules import account_of, check
from schemas.catalogue import DEAD_LETTERS, INPUT_TOPICS, JOURNAL, topic_of
from schemas.events import OrderPlaced
from streams.cloud_events import ID, ORIGIN
from streams.codec import Codec
from streams.fast_lane.store import POSITION_KEY, plumbing_of

_ORIGIN = "origin:"
_TOTALS = f"note:{NOTE}"
_EVENTS = tuple(topic_of(name) for name in ("OrderDecision", "CreditLimitAlert", "RiskSignal"))
_FIGURES = tuple(topic_of(name) for name in ("ExposureChanged", "GroupExposureChanged"))


class Checker:
    """Reads the brokers' topics when a run is over."""

    def __init__(
        self, brokers: Brokers, codec: Codec, policy: PolicyBook, *, exactly_once: bool
    ) -> None:
        self._brokers = brokers
        self._codec = codec
        self._exactly_once = exactly_once
        self._journal = [self._read(JOURNAL, n) for n in range(brokers.partitions(JOURNAL))]
        self._said = [replay(records, codec, policy) for records in self._journal]

    def violations(self) -> Iterator[str]:
        yield from self._what_came_in()
        yield from self._what_was_forwarded()
        yield from self._what_went_out()
        yield from self._every_order_once()
        yield from self._figures()
        yield from self._state()

    # ── the journal ─────────────────────────────────────────────────────────────────────────────

    def _what_came_in(self) -> Iterator[str]:
        """Each input record is in the journal, or refused: once, after repeats are left out."""
        wanted: Counter[tuple[bytes, bytes | None]] = Counter()
        for topic in INPUT_TOPICS:
            (facts,) = self._brokers.facts([topic]).values()
            for partition in range(facts.partitions):
                for offset, record in self._with_offsets(topic, partition):
                    event = self._codec.decode(record.value)
                    origin = f"{topic}@{facts.id}:{partition}:{offset}".encode()
                    if check(event) is None:
                        times = 1 if account_of(event) else len(self._journal)
                        wanted[origin, record.value] += times
        found: Counter[tuple[bytes, bytes | None]] = Counter()
        for records in self._journal:
            for record in without_repeats(records):
                origin = header(record, ORIGIN) or b""
                if not origin.startswith(JOURNAL.encode()) and origin:
                    found[origin, record.value] += 1
            yield from self._in_order(records)
        for (origin, _), times in (wanted - found).items():
            yield f"lost: {origin.decode()} is missing in the journal ({times})"
        for (origin, _), times in (found - wanted).items():
            yield f"invented: {origin.decode()} is in the journal {times} times more than sent"

    def _in_order(self, records: Sequence[Written]) -> Iterator[str]:
        """Of each origin's partition the records come in order; a repeat only where it may."""
        highest: dict[bytes, int] = {}
        for record in without_repeats(records):
            origin = header(record, ORIGIN)
            if origin is not None:
                source, _, offset = origin.rpartition(b":")
                if int(offset) < highest.get(source, -1):
                    yield f"out of order: {origin.decode()} comes behind {highest[source]}"
                highest[source] = int(offset)
        if self._exactly_once:
            foreign = [origin for record in records if (origin := _from_intake(record)) is not None]
            for origin, times in Counter(foreign).items():
                if times > 1:
                    yield f"repeated: {origin.decode()} is in the journal {times} times"

    def _what_was_forwarded(self) -> Iterator[str]:
        wanted = Counter(value for said in self._said for value in said.forwards)
        found = Counter(
            record.value or b""
            for records in self._journal
            for record in without_repeats(records)
            if (header(record, ORIGIN) or b"").startswith(JOURNAL.encode())
        )
        if wanted != found:
            missing, more = (wanted - found).total(), (found - wanted).total()
            yield f"forwarded: {missing} records are missing, {more} are too many"

    # ── what went out ───────────────────────────────────────────────────────────────────────────

    def _what_went_out(self) -> Iterator[str]:
        """Decisions, alerts and signals are what the rules say: no other, none missing, in their
        order. An account that moved is spoken of by one partition after the other.
        """
        for topic in _EVENTS:
            yield from self._one_content_per_id(topic)
            found = self._out(topic)
            for key in self._keys("events", topic) | found.keys():
                values = found.get(key, [])
                if not self._exactly_once:
                    values = list(dict.fromkeys(values))
                wanted = [said.events.get(key, []) for said in self._said]
                if Counter(values) != Counter(itertools.chain(*wanted)):
                    yield (
                        f"went out: {_name(key)}: {len(values)} events,"
                        f" the rules say {sum(map(len, wanted))}, or others"
                    )
                for own in wanted:
                    kept = set(own)
                    if [value for value in values if value in kept] != own:
                        yield f"went out: {_name(key)}: not in the order of the journal"
        refused = sum(said.refusals for said in self._said)
        letters = self._all(DEAD_LETTERS)
        from_inputs = 0
        for topic in INPUT_TOPICS:
            for partition in range(self._brokers.partitions(topic)):
                for record in self._read(topic, partition):
                    from_inputs += check(self._codec.decode(record.value)) is not None
        different = letters if self._exactly_once else [*{_letter(one): one for one in letters}]
        if len(different) != refused + from_inputs:
            yield f"dead letters: {len(different)}, wanted {refused + from_inputs}"

    def _one_content_per_id(self, topic: str) -> Iterator[str]:
        contents: dict[bytes, set[bytes | None]] = {}
        for record in self._all(topic):
            contents.setdefault(header(record, ID) or b"", set()).add(record.value)
        for id_, values in contents.items():
            if len(values) > 1:
                yield f"contradiction: {topic} {id_.decode()} has {len(values)} contents"

    def _every_order_once(self) -> Iterator[str]:
        """Every order that was sent has one first decision, or waits with an account that is
        parked, or was discarded there.
        """
        undecided = {order_id for said in self._said for order_id in said.undecided}
        parked = {account_id for said in self._said for account_id in said.parked}
        for said in self._said:
            for account_id in parked & said.waiting.keys():
                undecided |= said.waiting[account_id]
        placed = set()
        for topic in INPUT_TOPICS:
            for partition in range(self._brokers.partitions(topic)):
                for record in self._read(topic, partition):
                    event = self._codec.decode(record.value)
                    if isinstance(event, OrderPlaced) and check(event) is None:
                        placed.add(event.order_id)
        first: Counter[str] = Counter()
        values = [record.value for record in self._all(_EVENTS[0])]
        for value in values if self._exactly_once else dict.fromkeys(values):
            decision = self._codec.decode(value)
            if decision.decision_number == 1:  # type: ignore[attr-defined]  # the topic has decisions only
                first[decision.order_id] += 1  # type: ignore[attr-defined]
        for order_id in sorted(placed | first.keys()):
            if first[order_id] != (0 if order_id in undecided else 1):
                yield f"order {order_id} has {first[order_id]} first decisions"

    def _figures(self) -> Iterator[str]:
        """What was published of an account is what held at some time, in order, and in the end what
        holds in the end.
        """
        under_way = {(_FIGURES[0], one.encode()) for said in self._said for one in said.under_way}
        for topic in _FIGURES:
            found = self._out(topic)
            for key in self._keys("figures", topic) | found.keys():
                published = found.get(key, [])
                holds = [s.last_figures[key] for s in self._said if key in s.last_figures]
                ends = len(holds) == 1 and published and published[-1] in holds[0]
                if not ends and key not in under_way:
                    yield f"figures: {_name(key)} does not end with what holds"
                possible = [s.figures[key] for s in self._said if key in s.figures]
                if not set(published) <= set(itertools.chain(*possible)):
                    yield f"figures: {_name(key)} were never so"
                elif len(possible) == 1 and not _is_part(published, possible[0]):
                    yield f"figures: {_name(key)} were not so in this order"

    def _state(self) -> Iterator[str]:
        """The changelog holds what the rules remember, and stands at the journal's end."""
        for partition, said in enumerate(self._said):
            state = state_of(self._brokers, partition)
            position = position_in(state)
            end = self._brokers.log((JOURNAL, partition)).end
            if position != end:
                yield f"state of {partition} stands at {position}, the journal ends at {end}"
            kept = {name: v for k, v in state.items() if (name := plumbing_of(k)) is not None}
            origins = {
                name.removeprefix(_ORIGIN): int(value)
                for name, value in kept.items()
                if name.startswith(_ORIGIN)
            }
            if origins != said.origins:
                yield f"state of {partition}: other origins than the journal's"
            totals = _totals(kept.get(_TOTALS))
            if totals != said.totals:
                yield f"state of {partition}: {totals}, the accounts add up to {said.totals}"
            own = {key: value for key, value in state.items() if plumbing_of(key) is None}
            if own != said.state:
                differ = {k for k in own.keys() | said.state if own.get(k) != said.state.get(k)}
                yield f"state of {partition} differs in {len(differ)} keys: {min(differ)!r} …"

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def _keys(self, what: str, topic: str) -> set[Key]:
        return {key for said in self._said for key in getattr(said, what) if key[0] == topic}

    def _out(self, topic: str) -> dict[Key, list[bytes]]:
        found: dict[Key, list[bytes]] = {}
        for record in self._all(topic):
            found.setdefault((topic, record.key or b""), []).append(record.value or b"")
        return found

    def _all(self, topic: str) -> list[Written]:
        return [
            record
            for partition in range(self._brokers.partitions(topic))
            for record in self._read(topic, partition)
        ]

    def _read(self, topic: str, partition: int) -> list[Written]:
        return [record for _, record in self._with_offsets(topic, partition)]

    def _with_offsets(self, topic: str, partition: int) -> list[tuple[int, Written]]:
        return _committed(self._brokers, topic, partition)


def state_of(brokers: Brokers, partition: int) -> dict[bytes, bytes]:
    """The credit agent's state as it was committed last."""
    state: dict[bytes, bytes] = {}
    for _, record in _committed(brokers, CHANGELOG, partition):
        assert record.key is not None
        if record.value is None:
            state.pop(record.key, None)
        else:
            state[record.key] = record.value
    return state


def position_in(state: dict[bytes, bytes]) -> int:
    return int(state.get(POSITION_KEY, b"0"))


def _committed(brokers: Brokers, topic: str, partition: int) -> list[tuple[int, Written]]:
    log = brokers.log((topic, partition))
    entries, _ = log.read(log.first, log.end + 1, committed=True)
    return [(entry.offset, entry.record) for entry in entries if entry.record is not None]


def _from_intake(record: Written) -> bytes | None:
    origin = header(record, ORIGIN)
    return None if origin is None or origin.startswith(JOURNAL.encode()) else origin


def _is_part(values: list[bytes], of: list[bytes]) -> bool:
    """Whether they stand there in this order, with others between them."""
    rest = iter(of)
    return all(value in rest for value in values)


def _letter(record: Written) -> tuple[object, ...]:
    return record.key, record.value, tuple(record.headers)


def _totals(note: bytes | None) -> Totals:
    return Totals() if note is None else msgspec.msgpack.decode(note, type=Totals)


def _name(key: Key) -> str:
    return f"{key[0]} {key[1].decode()}"
