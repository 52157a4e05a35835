"""`headroom dunning`: what the law lets ask of somebody who pays late, and the steps that are taken
about it.
"""

from __future__ import annotations

from agents.cli.verbs import Verb, group

VERBS = {
    "preview": Verb("The letters of a coming day, none of them sent.", "dunning_preview"),
    "list": Verb("What people have to do about steps.", "dunning_steps", "list_"),
    "approve": Verb("Have a proposed step go out.", "dunning_steps"),
    "skip": Verb("Pass a proposed step over.", "dunning_steps"),
    "recall": Verb("Take a claim back that was handed over.", "dunning_steps"),
    "report": Verb("Say what became of a step.", "dunning_steps"),
    "bounces": Verb("Report the mails that came back.", "dunning_bounces"),
    "pause": Verb("Send nothing more to a customer, or about an invoice.", "dunning_pauses"),
    "resume": Verb("Have dunning go on where it was.", "dunning_pauses"),
    "explain": Verb("What a step asked, sum by sum, with the law behind each.", "dunning_claims"),
    "dossier": Verb("What there is to show of a claim, as a ZIP.", "dunning_claims"),
    "claim": Verb("Interest and costs that one letter may ask.", "dunning_law", "claim_"),
    "timetable": Verb("On which days the steps follow.", "dunning_law", "timetable_"),
    "procedures": Verb("Check procedures and show them.", "dunning_law"),
}

app = group(
    "dunning",
    "What the law lets ask of somebody who pays late, and the steps that are taken.",
    VERBS,
)
