"""A verifier of tokens with a clock and an STS of the test, and the answers of that STS."""

from __future__ import annotations

import asyncio
import time

from kube_iam.aws.sts import StsAnswer
from kube_iam.core.credentials import Credentials
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_hosts import StsHosts
from kube_iam.core.tokens import mint
from kube_iam.core.utc import basic_timestamp
from kube_iam.server.metrics import Metrics
from kube_iam.server.verifier import StsVerifier

HOST = "sts.us-east-1.amazonaws.com"
NOW = float(int(time.time()))
ALICE = (
    b'{"GetCallerIdentityResponse":{"GetCallerIdentityResult":'
    b'{"Account":"123456789012","Arn":"arn:aws:iam::123456789012:user/alice","UserId":"AIDA1"}}}'
)
YES = StsAnswer(200, "application/json", ALICE)
NO = StsAnswer(403, "application/json", b'{"Error":{"Code":"SignatureDoesNotMatch"}}')
AWAY = Refusal(Reason.STS_UNREACHABLE)
BUSY = StsAnswer(400, "application/json", b'{"Error":{"Code":"Throttling"}}')


class ScriptedSts:
    def __init__(self, answer: StsAnswer | Refusal | Exception) -> None:
        self.answer = answer
        self.calls = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        self.calls += 1
        await self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Clock:
    """Both clocks of a machine: setting `now` lets time pass, `step` sets the wall clock."""

    def __init__(self) -> None:
        self._now = self.wall = NOW
        self.steady = 5.0

    @property
    def now(self) -> float:
        return self._now

    @now.setter
    def now(self, value: float) -> None:
        self.wall += value - self._now
        self.steady += value - self._now
        self._now = value

    def step(self, seconds: float) -> None:
        self.wall += seconds

    def __call__(self) -> float:
        return self.wall


def token(signed: float = NOW) -> str:
    credentials = Credentials("AKIAEXAMPLEEXAMPLE00", "secret")
    return mint(credentials, cluster_id="c", region="us-east-1", host=HOST, timestamp=basic_timestamp(signed))


def make(answer: StsAnswer | Refusal | Exception) -> tuple[StsVerifier, ScriptedSts, Clock]:
    sts, clock = ScriptedSts(answer), Clock()
    return StsVerifier(sts, StsHosts("aws", ["us-east-1"]), "c", Metrics(), clock, lambda: clock.steady), sts, clock
