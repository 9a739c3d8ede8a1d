"""Sessions, an observer, and a time at which nothing has ended, for the tests of the deny list."""

from __future__ import annotations

from dataclasses import dataclass, field

from identities import role_session
from kube_iam.core.identity import Identity
from kube_iam.denylist.denial import Denial
from kube_iam.errors import KubeIamError, Problem

PATH, NAME = "/api/v1/namespaces/kube-system/configmaps", "kube-iam-denied"
NOW, END = 1_700_000_000.0, 1_700_003_600.0


def session(name: str) -> Identity:
    return role_session(name, "admin", user_id="AROA1", key="ASIA1")


@dataclass
class RecordingDenyObserver:
    denials: list[Denial] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost_kept: list[bool] = field(default_factory=list)

    def on_denials(self, denials: list[Denial], problems: list[Problem]) -> None:
        self.denials, self.problems = denials, problems

    def on_error(self, error: KubeIamError, *, kept: bool) -> None:
        self.lost_kept.append(kept)
