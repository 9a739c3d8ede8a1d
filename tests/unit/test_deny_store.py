"""Lifting denials out of entries that name several: who is not chosen stays denied."""

from __future__ import annotations

from typing import cast

import pytest

from kube_iam.core.denial_text import read_denial
from kube_iam.core.denied import Denial, about
from kube_iam.kube.client import KubeApi
from kube_iam.kube.deny_store import DenyStore

NOW = 1795507200.0


class Kept(DenyStore):
    """A deny list in memory."""

    def __init__(self, **texts: str) -> None:
        super().__init__(cast("KubeApi", None), "kube-system/kube-iam-denied")
        self.data: dict[str, str | None] = dict(texts)

    def _read(self) -> tuple[dict[str, str], str]:
        return {ident: text for ident, text in self.data.items() if text is not None}, "1"

    def _write(self, data: dict[str, str | None], version: str) -> None:
        self.data |= data

    def denied(self) -> set[str]:
        found = (each for ident, text in self.entries().items() for each in read_denial(ident, text).denials)
        return {denial.value for denial in found if denial.until > NOW}


def chosen(denial: Denial) -> bool:
    return about(denial, "alice")


@pytest.mark.parametrize("text", ['["alice", "bob", "carol"]', '["bob", "alice"]', "value: [bob, alice]", '["alice"]'])
def test_who_shares_an_entry_with_somebody_who_is_lifted_stays_denied(text: str) -> None:
    store = Kept(x=text, y='{"kind": "userName", "value": "dave"}')
    before = store.denied()
    assert [denial.value for denial in store.lift(chosen, "root", NOW)] == ["alice"]
    assert store.denied() == before - {"alice"}
    assert store.lift(chosen, "root", NOW) == ()
