"""The profile of property tests for `make mutants`: thousands of short runs, always the same."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutants",
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # that a mutant fails is enough, not how simply
    suppress_health_check=list(HealthCheck),
)
