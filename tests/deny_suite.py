"""What tests of the deny list have in common: sessions, an observer, and a time at which nothing has ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from kube_iam.core.denied import Denial
from kube_iam.core.identity import Identity
from kube_iam.errors import KubeIamError, Problem

PATH, NAME = "/api/v1/namespaces/kube-system/configmaps", "kube-iam-denied"
NOW, END = 1_700_000_000.0, 1_700_003_600.0


def session(name: str) -> Identity:
    arn = f"arn:aws:sts::111122223333:assumed-role/admin/{name}"
    return Identity(arn, "arn:aws:iam::111122223333:role/admin", "111122223333", "AROA1", name, "ASIA1", "sts")


@dataclass
class Heard:
    denials: list[Denial] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost_kept: list[bool] = field(default_factory=list)

    def denying(self, denials: list[Denial], problems: list[Problem]) -> None:
        self.denials, self.problems = denials, problems

    def lost(self, error: KubeIamError, *, kept: bool) -> None:
        self.lost_kept.append(kept)
