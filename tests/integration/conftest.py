"""Parts of the sandbox as fixtures, started once per worker: an AWS account, and a real control plane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from account_in_a_box import Account

from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down, start_account


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The AWS account of a sandbox, with nothing else running."""
    home = Home(tmp_path_factory.mktemp("account") / "sandbox")
    home.create()
    try:
        yield Account(home, start_account(home, Authority(home.tls), lambda _: None))
    finally:
        down(home)
