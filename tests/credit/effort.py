"""How hard the property tests try: each says what it needs, the profile in use multiplies it."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_USUAL = 100
"""Examples of the profile that is in use when nobody asks for another."""


def effort(examples: int, steps: int = 50) -> settings:
    """So many made-up examples (state machines: of at most so many steps), or as many times more as
    the profile in use has more than usual.
    """
    times = max(settings().max_examples // _USUAL, 1)
    return settings(
        max_examples=examples * times,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
