"""Leader election by a Lease: never two leaders at once, whatever fails and however the clocks differ."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.errors import Conflict, KubeIamError, NotFound, Unreachable
from kube_iam.kube import lease
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.lease import LeaderElection, LeaseTiming
from kube_iam.kube.writer import Write

TIMING = LeaseTiming(duration=15, leads=10.0)


@dataclass
class Api:
    """One Lease at an API server. `error` is raised instead of an answer; with `lost` the write happens all the same."""

    lease: dict[str, Any] | None = None
    version: int = 0
    error: KubeIamError | None = None
    lost: bool = False
    writes: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, _: EndpointSource, write: Write) -> bytes:
        if self.error is not None and not self.lost:
            raise self.error
        if write.method == "GET":
            if self.lease is None:
                raise NotFound("no Lease")
            return json.dumps(self.lease).encode()
        if (self.lease is None) is not (write.method == "POST"):
            raise Conflict("there is one")
        if self.lease is not None and write.body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("another version")
        self.version += 1
        self.lease = json.loads(json.dumps(write.body))
        assert self.lease is not None
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        self.writes.append(self.lease)
        if self.error is not None:
            raise self.error
        return b"{}"


class Candidate:
    """One process. Its clock began at any time."""

    def __init__(self, api: Api, name: str, clock: list[float], offset: float = 0.0) -> None:
        self.api = api
        self.changes: list[bool] = []
        self.errors: list[KubeIamError] = []
        self.read: list[dict[str, str]] = []
        self.election = LeaderElection(
            cast(EndpointSource, None),
            "kube-system",
            "kube-iam-sync",
            name,
            lambda: clock[0] + offset,
            changed=self.changes.append,
            failed=self.errors.append,
            annotations=lambda: {"by": name},
            on_read=self.read.append,
            timing=TIMING,
        )

    def step(self) -> None:
        """Do what `run` does once."""

        async def once() -> None:
            task = asyncio.ensure_future(self.election.run())
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()

        asyncio.run(once())

    @property
    def leads(self) -> bool:
        return self.election.is_leader


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    monkeypatch.setattr(lease, "send", made.send)
    return made


def test_first_candidate_leads_and_the_second_one_waits(api: Api) -> None:
    clock = [0.0]
    one, two = Candidate(api, "one", clock), Candidate(api, "two", clock, 5000.0)
    one.step()
    two.step()
    assert (one.leads, two.leads) == (True, False)
    assert two.read == [{"by": "one"}]


def test_lease_of_a_dead_process_is_taken_after_its_duration(api: Api) -> None:
    clock = [0.0]
    one, two = Candidate(api, "one", clock), Candidate(api, "two", clock)
    one.step()
    two.step()
    clock[0] = 14.0
    two.step()
    assert (one.leads, two.leads) == (False, False)
    clock[0] = 15.5
    two.step()
    assert two.leads
    assert api.writes[-1]["spec"]["leaseTransitions"] == 2


def test_renewals_let_the_other_one_wait(api: Api) -> None:
    clock = [0.0]
    one, two = Candidate(api, "one", clock), Candidate(api, "two", clock)
    for _ in range(20):
        one.step()
        two.step()
        clock[0] += 4.0
    assert one.leads
    assert two.changes == []


def test_release_lets_the_other_one_lead_at_once(api: Api) -> None:
    clock = [0.0]
    one, two = Candidate(api, "one", clock), Candidate(api, "two", clock)
    one.step()
    two.step()
    asyncio.run(one.election.release())
    two.step()
    assert (one.leads, two.leads, one.changes) == (False, True, [True, False])


def test_leader_that_cannot_renew_stops_before_the_lease_ends(api: Api) -> None:
    clock = [0.0]
    one = Candidate(api, "one", clock)
    one.step()
    api.error = Unreachable("away")
    clock[0] = 10.0
    one.step()
    assert not one.leads
    assert one.changes == [True, False]
    assert one.errors == [api.error]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from([0.0, 1.0, 4.0, 9.0, 16.0]), st.sampled_from(["", "away", "lost"])
        ),
        max_size=30,
    ),
    offset=st.sampled_from([0.0, -7.0, 100_000.0]),
)
def test_two_candidates_never_lead_at_once(steps: list[tuple[str, float, str]], offset: float) -> None:
    made, clock = Api(), [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "send", made.send)
        each = {"a": Candidate(made, "a", clock), "b": Candidate(made, "b", clock, offset)}
        for name, wait, fault in steps:
            clock[0] += wait
            made.error, made.lost = (Unreachable(fault) if fault else None), fault == "lost"
            each[name].step()
            assert not (each["a"].leads and each["b"].leads)
