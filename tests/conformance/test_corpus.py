"""Mappings as people and programs write them (tests/corpus), edited by us, and read by both servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml
from clusters import Clusters
from in_cluster import GENERATIONS, KUBECONFIG, shows
from named_sts import NamedSts, Principal
from principals import session, user
from setups import SSO_FEATURE_GATE, Setup
from side_by_side import Pair, Question, running
from tally import Case, Tally
from tokens import Signed

from kube_iam.access.mapping import MappingEntry
from kube_iam.kube.aws_auth import appended, new_user
from kube_iam.kube.mapping_list import MappingList

pytestmark = [pytest.mark.reference, pytest.mark.control_plane, pytest.mark.xdist_group("conformance-clusters")]

FILES = sorted((Path(__file__).parents[1] / "corpus" / "mappings").glob("*.yaml"))
DATA = {path.stem: yaml.safe_load(path.read_bytes())["data"] for path in FILES}
AWS_AUTH = {stem: data for stem, data in DATA.items() if "config.yaml" not in data}
MOUNTED = {stem: data["config.yaml"] for stem, data in DATA.items() if "config.yaml" in data}
BROKEN = "17-broken-indent"
_OF_THE_TEST = ("port:", "stateDir:", "generateKubeconfig:")

ADDED = user(3000, "added-by-us", account="555555555555")
OURS = MappingEntry("arn:aws:iam::555555555555:role/ours", "ours:{{SessionName}}", ("ours: 1", "ü", "yes"))


def principals() -> Iterator[Principal]:
    """Every principal that the corpus names, one of each account in it, and a stranger."""
    said = "\n".join(text for data in DATA.values() for text in data.values())
    numbers = count(1000)
    for account, role in sorted(set(re.findall(r"arn:aws:iam::(\d{12}):role/([\w./-]+)", said))):
        yield session(next(numbers), role.rpartition("/")[2], "i-0123456789abcdef0", account=account)
    for account, name in sorted(set(re.findall(r"arn:aws:iam::(\d{12}):user/([\w./-]+)", said))):
        yield user(next(numbers), name, account=account)
    for account in sorted(set(re.findall(r"\b\d{12}\b", said))):
        yield user(next(numbers), "anybody", account=account)
    yield session(next(numbers), "AWSReservedSSO_ReadOnly_0123456789abcdef", "olga", account="111122223333")
    yield session(next(numbers), "stranger", "nick", account="555555555555")
    yield session(next(numbers), "ours", "carol", account="555555555555")


PEOPLE = {who.key: who for who in (*principals(), ADDED)}


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    yield running_sts
    running_sts.stop()


@pytest.fixture(scope="module")
def config_map(
    tmp_path_factory: pytest.TempPathFactory, reference: Path, sts: NamedSts, clusters: Clusters
) -> Iterator[Pair]:
    setup = Setup("EKSConfigMap", "  backendMode: [EKSConfigMap]\n", (*KUBECONFIG, *SSO_FEATURE_GATE))
    with running(tmp_path_factory.mktemp("config-map"), reference, sts, setup, clusters) as pair:
        yield pair


def ask_everybody(pair: Pair, setup: Setup, tally: Tally, part: str) -> None:
    for who in PEOPLE.values():
        token = Signed(who).token()
        tally.ask(pair, Case(f"{setup.name}: {who.arn}", part, Question.about(token), setup, token, "", who))


@pytest.mark.parametrize("stem", AWS_AUTH)
def test_both_read_aws_auth_of_the_corpus_after_an_edit(
    stem: str, config_map: Pair, clusters: Clusters, tally: Tally
) -> None:
    name = f"added-{next(GENERATIONS)}"
    users = appended(AWS_AUTH[stem].get("mapUsers", ""), new_user(ADDED.arn, name, ["x"]), stem)
    roles = AWS_AUTH[stem].get("mapRoles", "")
    if stem != BROKEN:
        roles = MappingList((), stem, "mapRoles").put(roles, OURS)
    data = {**AWS_AUTH[stem], "mapUsers": users, "mapRoles": roles}
    # Without this a broken key would keep the last good value of the file before.
    clusters.config_map({})
    shows(config_map, ADDED, None)
    clusters.config_map(data)
    shows(config_map, ADDED, name)
    setup = Setup(stem, config_map.setup.text, config_map.setup.flags, config_map=data)
    ask_everybody(config_map, setup, tally, "aws-auth")


@pytest.mark.parametrize("stem", MOUNTED)
def test_both_read_config_yaml_of_the_corpus_after_an_edit(
    stem: str, tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally
) -> None:
    edited = MappingList(("server", "mapRoles"), stem, "config.yaml").put(MOUNTED[stem], OURS)
    section = re.split(r"(?im)^server:.*\n", edited)[1]
    lines = [line for line in section.splitlines(keepends=True) if not line.lstrip().startswith(_OF_THE_TEST)]
    setup = Setup(stem, "".join(lines))
    with running(tmp_path, reference, sts, setup) as pair:
        assert not pair.ended
        ask_everybody(pair, setup, tally, "mappings")
