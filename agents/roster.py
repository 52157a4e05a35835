"""Which agents there are, and which of them an installation has work for.

It imports none of them: whoever starts a worker needs their names only.
"""

from __future__ import annotations

from streams.settings import Settings

AGENTS = ("intake", "credit", "sink", "notify", "alerts")
"""All agents there are, in the order of an event's way."""


def usual_agents(settings: Settings) -> tuple[str, ...]:
    """Those that run when none is named: all, but notify only if letters are sent, and alerts only
    if somebody is to be told.
    """
    wanted = {"notify": sends_letters(settings), "alerts": settings.alert_routes is not None}
    return tuple(one for one in AGENTS if wanted.get(one, True))


def sends_letters(settings: Settings) -> bool:
    """Whether the notify agent has anything to do. Where nobody is dunned, a mail server that is
    there for alerts sends no letters.
    """
    only_alerts = settings.alert_routes is not None and settings.procedures_dir is None
    return has_carriers(settings) and not only_alerts


def has_carriers(settings: Settings) -> bool:
    """Whether any letter could leave."""
    return any(
        (
            settings.smtp_url,
            settings.sms_webhook_url,
            settings.print_webhook_url,
            settings.agency_url,
            settings.legal_url,
        )
    )
