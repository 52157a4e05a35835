"""Two independent runs over one journal say the same, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from credit.journals import DAY, Journal

from schemas import events as ev
from schemas.currencies import Currencies
from schemas.json_lines import to_line

_RUN = """
import sys
from pathlib import Path
from agents.journal.from_file import entries
from agents.policy_file import load_policy
from agents.simulate import Simulation
from schemas.events import Event
from streams.codec import Codec
from streams.registry import open_schema_ids
codec, simulation = Codec(open_schema_ids(None)), Simulation(load_policy(None))
for entry in entries(Path(sys.argv[1]), sys.exit):
    for said in simulation.feed(entry.event):
        if isinstance(said, Event):
            print(codec.encode(said).hex())
for figures in (*simulation.figures(), *simulation.group_figures()):
    print(codec.encode(figures).hex())
"""


def journal() -> Journal:
    """Many customers, a group, two currencies, days on which several accounts are looked at."""
    told = Journal()
    told.say(ev.FxRatePublished, base="EUR", quote="USD", rate="1.10", valid_on=DAY)
    told.say(ev.CreditGroupUpserted, group_id="G-1", currency="EUR", credit_limit=900_00)
    customers = [f"C-{n}" for n in range(20)]
    for number, customer_id in enumerate(customers):
        group = {"group_id": "G-1"} if number % 4 == 0 else {}
        told.customer(300_00, customer_id, **group)
    for number in range(120):
        currency = "USD" if number % 3 == 0 else "EUR"
        told.order(f"O-{number}", 70_00 + number, customers[number % 20], currency=currency)
    told.invoice("I-1", 250_00, due_in=1)
    for _ in range(40):
        told.wait()
    told.say(ev.FxRatePublished, base="EUR", quote="USD", rate="1.30", valid_on=told.today)
    told.wait()
    return told


def test_another_process_with_another_hash_seed_says_the_same_bytes(tmp_path: Path) -> None:
    events = journal()
    currencies = Currencies()
    for event in events:
        currencies.learn(event)
    path = tmp_path / "journal.jsonl"
    lines = [to_line(event, currencies.of(event)) for event in events]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = [
        subprocess.run(
            [sys.executable, "-c", _RUN, str(path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert len(said[0].splitlines()) > 140
    assert said[0] == said[1] == said[2]
