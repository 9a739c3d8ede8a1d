"""The amount of generated cases and their seed, from the environment or else the clock. The report at the end repeats them."""

from __future__ import annotations

import os
import time

from hypothesis import HealthCheck, Phase, settings

from examples import examples

SEED = int(os.environ.get("KUBE_IAM_CONFORMANCE_SEED") or time.time())
CASES = int(os.environ.get("KUBE_IAM_CONFORMANCE_CASES") or examples(3000))
CONFIGS = int(os.environ.get("KUBE_IAM_CONFORMANCE_CONFIGS") or examples(20))
NOTE = f"generated from KUBE_IAM_CONFORMANCE_SEED={SEED}"


def generated(examples: int, *, shrink: bool) -> settings:
    """Hypothesis as it is used here: so many examples, none remembered, no haste."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        print_blob=False,
    )
