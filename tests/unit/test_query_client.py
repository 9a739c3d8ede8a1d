"""Calls of commands without botocore, compared with botocore's: requests, answers, and what is left to it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from xml.sax.saxutils import escape

import pytest
from botocore.handlers import json_decode_policies
from botocore.model import OperationModel
from botocore.parsers import QueryParser
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from botocore.serialize import QuerySerializer
from botocore.session import Session
from faulty_http import FaultyHttp
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.aws import iam_calls
from kube_iam.aws.command_clients import CommandClients
from kube_iam.aws.iam import IamDirectory
from kube_iam.aws.iam_calls import PERMISSIONS, document_of
from kube_iam.aws.query_api import VERSIONS, parse_answer
from kube_iam.aws.query_client import (
    _BOOLEANS,
    _INTEGERS,
    _LISTS,
    _STRUCTURES,
    _TIMES,
    LEFT_TO_SDK,
    REPEATED,
    QueryClient,
    _answer,
    action_of,
    form_fields,
)
from kube_iam.errors import AccessDenied, AwsError, NotFound, Unreachable

MODELS = {service: Session().get_service_model(service) for service in ("iam", "sts")}
ACTIONS = sorted({action for actions in PERMISSIONS.values() for action in actions})
SERIALIZER: Any = QuerySerializer()
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8)
TIMES = st.datetimes(datetime(1971, 1, 1)).map(lambda when: when.replace(microsecond=0).isoformat() + "Z")


def model_of(action: str) -> OperationModel:
    service, _, name = action.partition(":")
    return MODELS[service].operation_model(name)


def read_here(action: str) -> bool:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", action.partition(":")[2]).lower() not in LEFT_TO_SDK


def arguments_for(shape: Any, *, whole: bool = False) -> st.SearchStrategy[Any]:
    """Return arguments of an operation. Of a structure in a list all members are there."""
    match shape.type_name:
        case "structure":
            members = {name: arguments_for(of) for name, of in shape.members.items()}
            return st.fixed_dictionaries(members) if whole else st.fixed_dictionaries({}, optional=members)
        case "list":
            return st.lists(arguments_for(shape.member, whole=True), max_size=3)
        case "integer":
            return st.integers(-10, 10)
        case "boolean":
            return st.booleans()
    return TEXTS


def answers_for(shape: Any, name: str) -> st.SearchStrategy[str]:
    """Return XML for a shape of an answer, as IAM writes it: of a structure in a list at least the first member is there."""
    inner: st.SearchStrategy[str]
    match shape.type_name:
        case "structure":
            first = next(iter(shape.members), "")
            each = [
                answers_for(of, member)
                if name == "member" and member == first
                else st.one_of(st.just(""), answers_for(of, member))
                for member, of in shape.members.items()
            ]
            inner = st.tuples(*each).map("".join)
        case "list":
            inner = st.lists(answers_for(shape.member, "member"), max_size=2).map("".join)
        case "integer":
            inner = st.integers(-10, 10).map(str)
        case "boolean":
            inner = st.sampled_from(["true", "false"])
        case "timestamp":
            inner = TIMES
        case _ if shape.name == "policyDocumentType":
            inner = st.sampled_from(["%7B%22Version%22%3A%222012-10-17%22%7D", "[]"])
        case _:
            inner = TEXTS.map(escape)
    return inner.map(lambda text: f"<{name}>{text}</{name}>")


@given(data=st.data())
def test_forms_are_those_of_botocore(data: st.DataObject) -> None:
    action = data.draw(st.sampled_from(ACTIONS))
    model = model_of(action)
    arguments = data.draw(arguments_for(model.input_shape)) if model.input_shape is not None else {}
    service, _, name = action.partition(":")
    expected = {field: str(value) for field, value in SERIALIZER.serialize_to_request(arguments, model)["body"].items()}
    assert {"Action": name, "Version": VERSIONS[service], **form_fields(arguments)} == expected


@given(data=st.data())
def test_answers_are_read_as_botocore_reads_them(data: st.DataObject) -> None:
    action = data.draw(st.sampled_from([action for action in ACTIONS if read_here(action)]))
    model = model_of(action)
    name = action.partition(":")[2]
    shape: Any = model.output_shape
    result = data.draw(answers_for(shape, f"{name}Result")) if shape is not None else ""
    body = f'<{name}Response xmlns="https://example.com/doc/">{result}</{name}Response>'.encode()
    expected: Any = QueryParser().parse({"body": body, "headers": {}, "status_code": 200}, shape)
    json_decode_policies(expected, model)
    expected.pop("ResponseMetadata", None)
    root = parse_answer(body)
    assert root is not None
    assert with_documents(_answer(root.find(f"{name}Result"))) == expected


def kinds_of(shape: Any, name: str, seen: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each value in an answer. A member of a list has no name."""
    yield name, shape.type_name
    if shape.name in seen:
        return
    if shape.type_name == "structure":
        for member, of in shape.members.items():
            yield from kinds_of(of, member, (*seen, shape.name))
    elif shape.type_name == "list":
        yield from kinds_of(shape.member, "", (*seen, shape.name))


def test_every_value_of_the_answers_has_the_kind_of_the_model() -> None:
    kinds = {"list": _LISTS, "integer": _INTEGERS, "boolean": _BOOLEANS, "timestamp": _TIMES, "structure": _STRUCTURES}
    shapes = [model_of(action).output_shape for action in ACTIONS if read_here(action)]
    found = {each for shape in shapes if shape is not None for each in kinds_of(shape, "") if each[0]}
    assert found - {(name, kind) for kind, names in kinds.items() for name in names} == {
        each for each in found if each[1] == "string"
    }
    assert not {name for name, kind in found if kind == "string"} & {name for names in kinds.values() for name in names}


def with_documents(value: Any) -> Any:
    """Return the value with policy documents as data, as callers read them."""
    if isinstance(value, dict):
        documents = ("PolicyDocument", "AssumeRolePolicyDocument", "Document")
        return {
            key: document_of(inner) if key in documents and inner else with_documents(inner)
            for key, inner in value.items()
        }
    return [with_documents(inner) for inner in value] if isinstance(value, list) else value


def test_actions_have_the_names_that_botocore_gives_them() -> None:
    from botocore import xform_name

    for action in ACTIONS:
        assert action_of(xform_name(action.partition(":")[2])) == action.partition(":")[2]


def test_botocore_repeats_the_calls_that_are_left_to_it() -> None:
    throttled, transient = cast("Any", ThrottledRetryableChecker), cast("Any", TransientRetryableChecker)
    assert {*throttled._THROTTLED_ERROR_CODES, *transient._TRANSIENT_ERROR_CODES} == REPEATED


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultyHttp]:
    """Yield an address where IAM answers as the test says, for the keys in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    with FaultyHttp() as served:
        for name, value in {
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": served.url,
        }.items():
            monkeypatch.setenv(name, value)
        yield served


def directory(profile: str = "") -> IamDirectory:
    return IamDirectory(CommandClients(profile, "eu-west-1", lambda: "eu-west-1"), page_size=iam_calls.PAGE_SIZE)


def users(*names: str, marker: str = "") -> bytes:
    path = "arn:aws:iam::123456789012:user"
    members = "".join(
        f"<member><UserName>{n}</UserName><Arn>{path}/{n}</Arn><UserId>AIDA</UserId></member>" for n in names
    )
    more = f"<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>" if marker else "<IsTruncated>false</IsTruncated>"
    return f"<ListUsersResponse><ListUsersResult><Users>{members}</Users>{more}</ListUsersResult></ListUsersResponse>".encode()


def error(code: str, message: str = "words of AWS") -> bytes:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()


def test_pages_are_read_to_the_last(iam: FaultyHttp) -> None:
    iam.answers = [(200, users("alice", marker="1")), (200, users("bob", marker="2")), (200, users("carol"))]
    assert [user.name for user in directory().users()] == ["alice", "bob", "carol"]
    assert [form.get("Marker") for form in iam.forms] == [None, "1", "2"]
    assert {form["MaxItems"] for form in iam.forms} == {"1000"}


def test_a_page_that_names_itself_as_the_next_ends_in_an_error(iam: FaultyHttp) -> None:
    iam.answers = [(200, users("alice", marker="1")), (200, users("bob", marker="1"))]
    with pytest.raises(AwsError, match="cannot list users"):
        list(directory().users())


@pytest.mark.parametrize(
    "fault",
    [
        (400, error("Throttling")),
        (503, error("ServiceUnavailable")),
        (500, b""),
        (0, b""),
        (200, b"<html>sign in to the network</html>"),
        (403, b"<html>blocked</html>"),
        (200, b"<ListUsersResponse><ListUsersResult><Users>"),
    ],
    ids=["throttled", "unavailable", "empty", "connection cut", "not AWS", "no code", "answer cut"],
)
def test_a_call_without_an_ordinary_answer_is_made_by_botocore(fault: tuple[int, bytes], iam: FaultyHttp) -> None:
    iam.answers = [fault, (200, users("alice"))]
    assert [user.name for user in directory().users()] == ["alice"]
    assert "Botocore" not in iam.agents[0]
    assert "Botocore" in iam.agents[1]


def test_after_throttling_all_calls_are_those_of_botocore_which_slows_down(iam: FaultyHttp) -> None:
    iam.answers = [(400, error("Throttling")), (200, users("alice")), (200, users("bob"))]
    held = directory()
    assert [len(list(held.users())), len(list(held.users()))] == [1, 1]
    assert ["Botocore" in agent for agent in iam.agents] == [False, True, True]


def test_errors_read_as_those_of_botocore(iam: FaultyHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = error("AccessDenied", "User: u is not authorized to perform: iam:ListUsers on resource: x")
    asked: list[tuple[bytes, type[Exception], Callable[[IamDirectory], object]]] = [
        (denied, AccessDenied, lambda held: list(held.users())),
        (error("NoSuchEntity"), NotFound, lambda held: held.members("none")),
        (error("InvalidClientTokenId"), AwsError, lambda held: held.user("alice")),
        (error("SignatureDoesNotMatch", "The Canonical String was secret"), AwsError, lambda held: held.user("alice")),
    ]
    for body, kind, ask in asked:
        said = []
        for attempts in ("", "1"):  # with this variable botocore makes the calls
            monkeypatch.setenv("AWS_MAX_ATTEMPTS", attempts)
            iam.answers = [(403, body)]
            with pytest.raises(Exception) as caught:
                ask(directory())
            said.append((type(caught.value), str(caught.value), getattr(caught.value, "hint", "")))
        assert said[0] == said[1]
        assert issubclass(said[0][0], kind) or kind is AwsError
        assert "Canonical" not in said[0][1]
    assert ["Botocore" in agent for agent in iam.agents] == [False, True] * len(asked)


def test_a_call_that_gets_no_answer_in_time_is_not_repeated(iam: FaultyHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_iam.aws.time_limits.READ_SECONDS", 0.2)
    iam.answers = []
    with pytest.raises(Unreachable, match="does not answer in time"):
        list(directory().users())
    assert len(iam.forms) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_MAX_ATTEMPTS", "2"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "legacy"),
    ],
)
def test_settings_of_the_sdk_are_left_to_it(
    name: str, value: str, iam: FaultyHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(CommandClients("", "eu-west-1", lambda: "eu-west-1")("iam"), QueryClient)
    monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert not isinstance(CommandClients("", "eu-west-1", lambda: "eu-west-1")("iam"), QueryClient)


def test_a_named_profile_has_precedence_over_keys_in_the_environment(iam: FaultyHttp, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[ops]\naws_access_key_id = AKIDOPS\naws_secret_access_key = s\n")
    iam.answers = [(200, users("alice")), (200, users("alice"))]
    for profile in ("", "ops"):
        assert len(list(directory(profile).users())) == 1
    assert ["AKIDEXAMPLE" in iam.authorizations[0], "AKIDOPS" in iam.authorizations[1]] == [True, True]


@pytest.mark.parametrize("setting", ["ca_bundle = x", "max_attempts = 1", "role_arn = r", "region = eu-nowhere-1"])
def test_other_settings_of_a_profile_are_left_to_the_sdk(setting: str, iam: FaultyHttp, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        f"[profile ops]\naws_access_key_id = AKIDOPS\naws_secret_access_key = s\n{setting}\n"
    )
    assert CommandClients("ops", "", lambda: "")._direct is None
