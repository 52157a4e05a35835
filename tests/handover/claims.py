"""A customer who pays a part, contests a part, breaks a promise; an agency gets the rest."""

from __future__ import annotations

from credit.journals import DAY, Journal
from notify.letters import CREDITOR

from agents.core.policy import PolicyBook
from agents.dunning.book import DunningBook
from agents.dunning.itemised import itemised
from agents.dunning.rehearsal import arrived
from agents.handover.dossier import Dossier, build
from agents.handover.history import History
from agents.journal.entries import Entry
from agents.law_files import load_laws
from agents.notify.texts_file import load_texts
from agents.policy_file import load_policy
from agents.procedure_files import load_procedures
from agents.simulate import Simulation, business_day
from agents.working_days import known_holidays
from schemas import events as ev
from schemas.events import DunningStep, DunningStepSettled, Event


def rules() -> PolicyBook:
    """The procedures that ship."""
    return load_policy(None).with_dunning(
        DunningBook(load_procedures(None), load_laws(None), known_holidays)
    )


def owing() -> Journal:
    """Two invoices that are due on the first day and one that is paid; what happens meanwhile."""
    journal = Journal()
    contact = {"country": "NL", "segment": "strict", "language": "nl", "name": "Bakkerij De Vries"}
    journal.customer(None, **contact, email="oud@bakker.example")
    journal.customer(None, **contact, email="ap@bakker.example", phone="+31205550100")
    journal.invoice("I-1", 1_000_00, 0, order_id="O-1")
    journal.invoice("I-2", 500_00, 0)
    journal.invoice("I-3", 80_00, 0)
    journal.pay("P-3", 80_00, "I-3")
    journal.pay("P-1", 250_00, "I-1")
    journal.say(ev.PaymentReversed, payment_id="P-1", reason="charge-back")
    journal.pay("P-2", 100_00, "I-1")
    journal.say(
        ev.CreditNoteIssued, credit_note_id="N-1", amount=50_00, currency="EUR", invoice_id="I-2"
    )
    journal.say(
        ev.InvoiceDisputed, invoice_id="I-2", dispute_id="D-1", reason="broken", amount=9_00
    )
    journal.say(ev.DisputeResolved, invoice_id="I-2", dispute_id="D-1", outcome="rejected")
    journal.say(
        ev.PromiseToPayMade, promise_id="R-1", invoice_ids=["I-1"], amount=900_00,
        promised_on=DAY + 5,
    )  # fmt: skip
    return journal


class Collected:
    """The journal and the days after it, until the handover; letters are written and arrive."""

    def __init__(self, journal: Journal, days: int = 60) -> None:
        self.rules = rules()
        texts = load_texts(None)
        simulation = Simulation(self.rules)
        self.history = History([[]])
        self.step: DunningStep | None = None
        waiting: list[Event] = [
            *journal,
            *(business_day(journal.today + n) for n in range(1, days + 1)),
        ]
        while waiting and self.step is None:
            event = waiting.pop(0)
            self._note(event)
            for effect in list(simulation.feed(event)):
                if isinstance(effect, DunningStepSettled):
                    self.history.steps.append(effect)
                elif isinstance(effect, DunningStep):
                    self.history.steps.append(effect)
                    waiting[:0] = self._answers(effect)
                    if effect.channel == "agency" and not effect.proposed:
                        self.step = effect
                    elif not effect.proposed:
                        letter = texts.render(effect, CREDITOR)
                        self.history.letters[effect.step_id, effect.attempt or 1] = (
                            ev.LetterWritten(
                                event_id=f"written-{effect.event_id}",
                                occurred_at=effect.occurred_at,
                                customer_id=effect.customer_id,
                                step_id=effect.step_id,
                                attempt=effect.attempt or 1,
                                channel=effect.channel,
                                to=effect.email or "",
                                language=letter.language,
                                subject=letter.subject,
                                text=letter.text,
                                html=letter.html,
                            )
                        )

    def _note(self, event: Event) -> None:
        part = self.history.partitions[0]
        key = getattr(event, "customer_id", "")
        part.append(Entry(0, len(part), len(part), key, event))

    def _answers(self, step: DunningStep) -> list[Event]:
        if not step.proposed:
            return [arrived(step)]
        return [
            ev.DunningStepDecided(
                event_id=f"decided-{step.step_id}",
                occurred_at=step.occurred_at,
                customer_id=step.customer_id,
                step_id=step.step_id,
                decision="approve",
                by="ann",
                reason="as agreed",
            )
        ]

    def dossier(self) -> Dossier:
        assert self.step is not None
        assert self.rules.dunning is not None
        claim = itemised(self.step, self.rules.dunning)
        return build(self.step, claim, self.history, self.rules, CREDITOR)
