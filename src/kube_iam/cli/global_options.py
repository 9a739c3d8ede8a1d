"""Values of the global options. The server reads them without click."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

CLUSTER_ID_VARIABLE = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"
VERBOSITY_VARIABLE = "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY"
VERBOSITIES = ("panic", "fatal", "error", "warning", "warn", "info", "debug", "trace")


@dataclass(slots=True)
class GlobalOptions:
    """The values of the global options: of the last flag, else of the environment, else empty.

    `cluster_id_given` tells an empty `-i ""` from no flag: the configuration file replaces only a missing flag.
    """

    config: str = ""
    cluster_id: str = ""
    log_format: str = "text"
    log_verbosity: str = "info"
    feature_gates: str = ""
    cluster_id_given: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> GlobalOptions:
        """Return the options before any flag. An empty variable counts as not set."""
        return cls(
            cluster_id=environ.get(CLUSTER_ID_VARIABLE, ""),
            log_verbosity=environ.get(VERBOSITY_VARIABLE, "").lower() or "info",
        )
