"""One simulated run of the whole pipeline, told apart from all others by its seed.

python -m simulation.run SEED [GUARANTEE]       tells what happened, step by step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random

from simulation.checker import Checker, position_in, state_of
from simulation.faults import Faults
from simulation.machine import APP_ID, Machine, topics
from simulation.plant import Plant
from simulation.senders import events, topic_for
from simulation.world import World

from agents.core.policy import PolicyBook
from agents.policy_file import load_policy
from agents.simulate import business_day
from schemas.catalogue import INPUT_TOPICS, JOURNAL
from streams.codec import Codec
from streams.registry import open_schema_ids

GUARANTEES = ("effectively_once", "exactly_once")
_PARTITIONS = 2
_LOAD_SECONDS = 6.0
_DRAIN_SECONDS = 60.0
_SENDING_SECONDS = 1000.0
_LOOK_SECONDS = 0.2


@dataclass
class Outcome:
    """What became of a run."""

    seed: int
    guarantee: str
    violations: list[str] = field(default_factory=list)
    diary: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """On the world's clock."""
    steps: int = 0
    digest: int = 0
    """Two runs that went the same way have the same."""

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}, {self.guarantee}: {len(self.violations)} violations",
            *self.diary,
            *self.violations,
        ]
        if self.violations:
            again = f"--seed {self.seed} --guarantee {self.guarantee}"
            lines.append(f'again: make simulation ARGS="{again}"')
        return "\n".join(lines)


@cache
def _shared() -> tuple[Codec, PolicyBook]:
    return Codec(open_schema_ids(None)), load_policy(None)


def simulate(seed: int, guarantee: str, *, faults: int | None = None) -> Outcome:
    """Run, drain and check."""
    outcome = Outcome(seed, guarantee)
    world = World(f"{seed} {guarantee}")
    plant = Plant(world)
    with plant.installed():
        _simulate(plant, outcome, faults)
    return outcome


def _simulate(plant: Plant, outcome: Outcome, faults: int | None) -> None:
    world, chance = plant.world, plant.world.chance
    codec, policy = _shared()
    for topic in topics():
        plant.brokers.make(topic, _PARTITIONS)
    settings = {
        "guarantee": outcome.guarantee,
        "partitions": _PARTITIONS,
        "standbys": chance.choice((0, 1, 1, 2)),
        "in_flight_bytes": chance.choice((1 << 20, 64 << 20)),
        "commit_interval_seconds": chance.choice((0.1, 0.2, 0.5)),
    }
    machines = [
        Machine(plant, name, codec, policy, **settings)
        for name in ("a", "b", "c")[: chance.choice((1, 2, 2, 3))]
    ]
    trouble = Faults(plant, machines, chance)
    trouble.plan(chance.randint(0, 7) if faults is None else faults)
    for machine in machines:
        world.at(chance.choice((0.0, 0.0, 2.0)) * chance.random(), machine.start)
    sent = _send(plant, codec, Random(chance.random()))
    world.run(sent, _SENDING_SECONDS)
    while world.now < trouble.until:
        world.run(lambda: False, trouble.until - world.now)
    trouble.end()
    deadline = world.now + _DRAIN_SECONDS
    while not (drained := _drained(plant)) and world.now < deadline:
        world.run(lambda: False, _LOOK_SECONDS)
    outcome.diary = trouble.diary
    outcome.seconds = world.now
    outcome.steps = world.steps
    outcome.digest = plant.brokers.digest()
    if not drained:
        outcome.violations.append("does not come to an end: " + ", ".join(_behind(plant)))
    for machine in machines:
        outcome.violations += machine.report()
        machine.retire()
    world.bury()
    checker = Checker(
        plant.brokers, codec, policy, exactly_once=outcome.guarantee == "exactly_once"
    )
    outcome.violations += checker.violations()


def _send(plant: Plant, codec: Codec, chance: Random) -> Callable[[], bool]:
    """Start what sends; the function says whether all was sent."""
    process = plant.process("sender")
    done: list[bool] = []

    def send() -> None:
        producer = plant.producer({})
        day = 0
        number = chance.randint(15, 80)
        pause = 2 * _LOAD_SECONDS / number
        for event in events(chance, number):
            for _ in range(1 if chance.random() < 0.95 else 2):
                producer.produce(topic_for(event), codec.encode(event), _key(event))
            if chance.random() < 0.03:
                day += 1
                for partition in range(_PARTITIONS):
                    value = codec.encode(business_day(20_514 + day))
                    producer.produce(JOURNAL, value, partition=partition)
            plant.world.sleep(chance.random() * pause)
        producer.flush(1000.0)
        done.append(True)

    plant.world.at(0, lambda: plant.world.spawn(process, send), process)
    return lambda: bool(done)


def _key(event: object) -> bytes | None:
    customer_id = getattr(event, "customer_id", None)
    return None if customer_id is None else customer_id.encode()


def _drained(plant: Plant) -> bool:
    return not plant.brokers.open_transactions() and not _behind(plant)


def _behind(plant: Plant) -> list[str]:
    """The partitions that have not been worked off."""
    behind = []
    for partition in range(_PARTITIONS):
        for topic in INPUT_TOPICS:
            place = (topic, partition)
            end = plant.brokers.log(place).end
            if end != (plant.brokers.offset_of(f"{APP_ID}-intake", place, stable=False) or 0):
                behind.append(f"{topic}-{partition}")
        position = position_in(state_of(plant.brokers, partition))
        if position != plant.brokers.log((JOURNAL, partition)).end:
            behind.append(f"{JOURNAL}-{partition}")
    return behind
