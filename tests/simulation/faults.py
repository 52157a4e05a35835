"""What goes wrong in a simulated run, as chance has it; in the end all is well again.

Workers crash at any step, or a few steps after a request of a kind (in the midst of a commit, of an
opening); their machines lose power or disk; they freeze for longer than a session and go on; they
are cut off from the brokers, with requests under way whose answers come late or never; they are
stopped as planned, and others come. The brokers go away for a while, one by one or all of them,
share out anew without need, or give up a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from simulation.machine import CHANGELOG, Machine
from simulation.plant import Plant
from simulation.world import Process

from schemas.catalogue import JOURNAL, topic_of

TROUBLE_SECONDS = 5.0
"""Faults begin within this time."""
_LONG_SECONDS = 4.5
"""Longer than a session and a transaction may take."""
_COUNTED_STEPS = 14
_OUTGOING = (topic_of("OrderDecision"), topic_of("ExposureChanged"))
_REQUESTS = (
    "produce",
    "produce",
    "commit_transaction",
    "commit_transaction",
    "init_transactions",
    "send_offsets",
    "group commit",
    "committed",
    "watermarks",
    "join",
)


class Faults:
    """Plans them for the machines of a plant, and keeps a diary."""

    def __init__(self, plant: Plant, machines: list[Machine], chance: Random) -> None:
        self.diary: list[str] = []
        self._plant = plant
        self._world = plant.world
        self._machines = machines
        self._chance = chance
        self.until = TROUBLE_SECONDS
        """When the last of it is over."""
        self._fuses: dict[Process, int] = {}
        """Steps that a process has left before something happens to it."""
        self._world.before_step = self._burn
        for machine in machines:
            machine.back_after = self._seconds

    def plan(self, number: int) -> None:
        kinds: list[tuple[Callable[[Machine], None], int]] = [
            (self._at_a_step, 4),
            (self._at_a_request, 8),
            (self._freeze, 2),
            (self._cut_off, 2),
            (self._stop, 2),
            (self._brokers_away, 1),
            (self._give_a_transaction_up, 2),
            (self._leader_away, 3),
            (self._all_crash, 1),
            (self._compact, 2),
        ]
        for _ in range(number):
            (kind,) = self._chance.choices([k for k, _ in kinds], [w for _, w in kinds])
            machine = self._chance.choice(self._machines)
            self._world.at(
                self._chance.uniform(0.3, TROUBLE_SECONDS),
                lambda kind=kind, machine=machine: kind(machine),  # type: ignore[misc]
            )

    def end(self) -> None:
        """All is well again, from now on."""
        self._fuses.clear()
        for machine in self._machines:
            if machine.runs and machine.process is not None:
                machine.process.cut_until = 0.0
                self._plant.networks[machine.process].before_request = _nothing
                if machine.process.frozen:
                    self._world.thaw(machine.process)
            machine.back_after = lambda: 0.1
            machine.start()

    def _note(self, machine: Machine, what: str) -> None:
        self.diary.append(f"{self._world.now:7.3f} {machine.name}: {what}")

    def _seconds(self) -> float:
        """A moment, or longer than a session."""
        return self._chance.choice((0.2, 1.0, 1.0)) * self._chance.random() * _LONG_SECONDS

    # ── at a step ───────────────────────────────────────────────────────────────────────────────

    def _at_a_step(self, machine: Machine) -> None:
        if machine.runs and machine.process is not None:
            self._light(machine, self._chance.randint(1, 40))

    def _at_a_request(self, machine: Machine) -> None:
        """A few steps behind a request of one kind, or as it leaves."""
        if not machine.runs or machine.process is None:
            return
        kind, process = self._chance.choice(_REQUESTS), machine.process
        steps = self._chance.choice((0, 1, 2, self._chance.randint(3, _COUNTED_STEPS)))
        network = self._plant.networks[process]

        def hear(name: str) -> None:
            if name == kind:
                network.before_request = _nothing
                self._note(machine, f"{kind} leaves; {steps} steps more")
                self._light(machine, steps)

        network.before_request = hear

    def _light(self, machine: Machine, steps: int) -> None:
        """Have something happen to the process so many steps later."""
        process = machine.process
        assert process is not None
        if steps:
            self._fuses[process] = steps
        else:
            self._strike(process)

    def _burn(self, process: Process) -> None:
        if process in self._fuses:
            self._fuses[process] -= 1
            if not self._fuses[process]:
                self._strike(process)

    def _strike(self, process: Process) -> None:
        self._fuses.pop(process, None)
        machine = next(one for one in self._machines if one.process is process)
        kinds = (self._kill, self._freeze_long, self._freeze, self._cut_off, self._shake)
        (what,) = self._chance.choices(kinds, (4, 3, 1, 2, 3))
        what(machine)

    # ── what happens then ───────────────────────────────────────────────────────────────────────

    def _kill(self, machine: Machine) -> None:
        loses = self._chance.choice(("nothing", "nothing", "power", "disk"))
        if loses == "power":
            machine.lose_power(self._chance.randint(1, 3))
        elif loses == "disk":
            machine.lose_disk()
        else:
            machine.kill()
        self._note(machine, f"crashed, lost {loses}")

    def _freeze_long(self, machine: Machine) -> None:
        """Until it was replaced, if there is another."""
        self._freeze(machine, self._chance.uniform(0.5, 1.0) * _LONG_SECONDS)

    def _freeze(self, machine: Machine, seconds: float | None = None) -> None:
        process = machine.process
        if process is None or not machine.runs or process.frozen:
            return
        seconds = self._seconds() if seconds is None else seconds
        self._note(machine, f"frozen for {seconds:.1f} s")
        self._world.freeze(process)
        self._world.at(seconds, lambda: self._world.thaw(process))
        self._lasts(seconds)

    def _cut_off(self, machine: Machine) -> None:
        if machine.process is None:
            return
        seconds = self._seconds()
        self._note(machine, f"cut off for {seconds:.1f} s")
        machine.process.cut_until = self._world.now + seconds
        self._lasts(seconds)

    def _brokers_away(self, _machine: Machine) -> None:
        seconds = self._seconds()
        self.diary.append(f"{self._world.now:7.3f} brokers away for {seconds:.1f} s")
        for process in self._plant.networks:
            process.cut_until = self._world.now + seconds
        self._lasts(seconds)

    def _give_a_transaction_up(self, _machine: Machine) -> None:
        """The brokers abort the next transaction that is open, whatever its time-out."""
        self._plant.brokers.impatient = True
        self.diary.append(f"{self._world.now:7.3f} the next transaction is given up")

    def _shake(self, machine: Machine) -> None:
        """The next packet takes its time, meanwhile the groups share out anew, and maybe no open
        transaction is left.
        """
        if machine.process is None:
            return
        self._note(machine, "shaken")
        self._plant.networks[machine.process].next_takes = self._chance.uniform(0.1, 0.6)
        self._plant.share_out_anew()
        if self._chance.random() < 0.7:
            self._plant.brokers.give_up_transactions()

    def _leader_away(self, machine: Machine) -> None:
        """A partition cannot be written to, and maybe a worker does not live to do it."""
        place = (self._chance.choice((JOURNAL, *_OUTGOING)), self._chance.randrange(2))
        seconds = self._seconds()
        self.diary.append(f"{self._world.now:7.3f} {place} without a leader for {seconds:.1f} s")
        self._plant.brokers.away_until[place] = self._world.now + seconds
        if self._chance.random() < 0.7:
            self._world.at(self._chance.random() * seconds, lambda: self._at_a_step(machine))
        self._lasts(seconds)

    def _all_crash(self, _machine: Machine) -> None:
        """The power goes in the whole house."""
        for machine in self._machines:
            if machine.runs:
                self._kill(machine)

    def _compact(self, _machine: Machine) -> None:
        """Not worth a note: nobody may notice."""
        for partition in range(2):
            self._plant.brokers.log((CHANGELOG, partition)).compact()

    def _stop(self, machine: Machine) -> None:
        if machine.runs:
            self._note(machine, "stops as planned")
            machine.stop()

    def _lasts(self, seconds: float) -> None:
        self.until = max(self.until, self._world.now + seconds)


def _nothing(_name: str) -> None:
    pass
