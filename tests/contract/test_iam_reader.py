"""A group or role is read whole or not at all. The answers are those of an HTTPS server in IAM's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest

from https_server import HttpsServer, Request
from kube_iam.errors import AccessDenied, CredentialsError, KubeIamError, Throttled, Unreachable
from kube_iam.membership.iam_reader import GroupFound, IamReader

ALICE, BOB = ("alice", "AIDAALICE"), ("bob", "AIDABOB")
TRUST = '{"Version": "2012-10-17", "Statement": []}'


class Iam:
    """Gives the answers in turn, the last one for ever. A call holds what was asked."""

    def __init__(self, directory: Path) -> None:
        self.answers: list[tuple[int, str]] = []
        self.calls: list[dict[str, str]] = []
        self.server = HttpsServer(directory, self._answer)

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        self.calls.append(dict(parse_qsl(request.body.decode())))
        status, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return status, "text/xml", text.encode()


@pytest.fixture
def iam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Iam]:
    made = Iam(tmp_path)
    for name, value in {
        "AWS_ENDPOINT_URL_IAM": f"https://{made.server.authority}",
        "AWS_CA_BUNDLE": str(made.server.ca),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    yield made
    made.server.stop()


def group(arn: str = "arn:aws:iam::111122223333:group/staff/admins", group_id: str = "AGPAADMINS") -> str:
    name = arn.rpartition("/")[2]
    return (
        f"<Group><Path>/</Path><GroupName>{name}</GroupName><GroupId>{group_id}</GroupId><Arn>{arn}</Arn>"
        "<CreateDate>2026-01-01T00:00:00Z</CreateDate></Group>"
    )


def users(*members: tuple[str, str]) -> str:
    return (
        "<Users>"
        + "".join(
            f"<member><UserName>{name}</UserName><UserId>{user_id}</UserId></member>" for name, user_id in members
        )
        + "</Users>"
    )


def answer(*parts: str, action: str = "GetGroup") -> tuple[int, str]:
    namespace = 'xmlns="https://iam.amazonaws.com/doc/2010-05-08/"'
    return 200, f"<{action}Response {namespace}><{action}Result>{''.join(parts)}</{action}Result></{action}Response>"


def page(*members: tuple[str, str], more: str = "", of: str = "") -> tuple[int, str]:
    truncated = f"true</IsTruncated><Marker>{more}</Marker>" if more else "false</IsTruncated>"
    return answer(of or group(), users(*members), f"<IsTruncated>{truncated}")


def refusal(code: str, status: int) -> tuple[int, str]:
    return status, f"<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"


def role(**changes: str) -> tuple[int, str]:
    elements = {
        "Path": "/",
        "RoleName": "Admin",
        "RoleId": "AROAADMIN",
        "Arn": "arn:aws:iam::111122223333:role/Admin",
        "CreateDate": "2026-01-01T00:00:00Z",
        "AssumeRolePolicyDocument": quote(TRUST),
        "MaxSessionDuration": "7200",
    } | changes
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in elements.items() if text)
    return answer(f"<Role>{inner}</Role>", action="GetRole")


def test_all_pages_of_a_group_make_one_answer(iam: Iam) -> None:
    iam.answers = [page(ALICE, more="m1"), page(more="m2"), page(BOB)]
    assert IamReader().group("admins") == GroupFound("111122223333", dict([ALICE, BOB]))
    assert [call.get("Marker", "") for call in iam.calls] == ["", "m1", "m2"]
    assert {(call["GroupName"], call["MaxItems"]) for call in iam.calls} == {("admins", "1000")}


def test_a_group_without_members_is_whole_and_one_that_is_not_there_is_none(iam: Iam) -> None:
    iam.answers = [page()]
    assert IamReader().group("admins") == GroupFound("111122223333", {})
    iam.answers = [refusal("NoSuchEntity", 404)]
    assert IamReader().group("admins") is None
    assert IamReader().role("Admin") is None


NOT_WHOLE: dict[str, list[tuple[int, str]]] = {
    "the second page throttled": [page(ALICE, more="m"), refusal("Throttling", 400)],
    "the second page denied": [page(ALICE, more="m"), refusal("AccessDenied", 403)],
    "the second page gone": [page(ALICE, more="m"), refusal("NoSuchEntity", 404)],
    "the second page of a group made anew": [page(ALICE, more="m"), page(BOB, of=group(group_id="AGPANEW"))],
    "the second page of another account": [
        page(ALICE, more="m"),
        page(BOB, of=group("arn:aws:iam::999900001111:group/admins")),
    ],
    "the same page for ever": [page(ALICE, more="m")],
    "ever more pages": [page(ALICE, more="a"), page(BOB, more="b")] * 100,
    "more, but not where": [answer(group(), users(ALICE), "<IsTruncated>true</IsTruncated>")],
    "not said whether there is more": [answer(group(), users(ALICE))],
    "no list of members": [answer(group(), "<IsTruncated>false</IsTruncated>")],
    "no group": [answer(users(ALICE), "<IsTruncated>false</IsTruncated>")],
    "another group": [page(ALICE, of=group("arn:aws:iam::111122223333:group/viewers"))],
    "a member without an id": [page(ALICE, ("bob", ""))],
    "a member without a name": [page(("", "AIDANOBODY"))],
    "half the text": [(200, page(ALICE, BOB)[1][:300])],
    "nothing": [(200, "")],
    "a page of a proxy": [(200, "<html><body>sign in</body></html>")],
    "a proxy that finds nothing": [(404, "<html><body>404</body></html>")],
    "a bare 404": [(404, "")],
    "another document": [(200, "<GetGroupResponse></GetGroupResponse>")],
    "an error where there is none": [(200, refusal("NoSuchEntity", 404)[1])],
    "no answer": [(0, "")],
}


@pytest.mark.parametrize("name", NOT_WHOLE)
def test_a_part_of_a_group_is_an_error(iam: Iam, name: str) -> None:
    iam.answers = NOT_WHOLE[name]
    with pytest.raises(KubeIamError) as caught:
        IamReader().group("admins")
    assert str(caught.value).startswith("cannot read the members of group admins")
    assert isinstance(caught.value, AccessDenied if "denied" in name else (Unreachable, Throttled))


def test_a_role_is_read_with_its_trust_policy_as_iam_holds_it(iam: Iam) -> None:
    iam.answers = [role()]
    found = IamReader().role("Admin")
    assert found is not None
    assert (found.arn, found.role_id, found.longest) == ("arn:aws:iam::111122223333:role/Admin", "AROAADMIN", 7200)
    assert found.trust == TRUST
    assert found.created == 1767225600.0  # CreateDate


@pytest.mark.parametrize("missing", ["Arn", "RoleId", "AssumeRolePolicyDocument"])
def test_a_part_of_a_role_is_an_error(iam: Iam, missing: str) -> None:
    iam.answers = [role(**{missing: ""})]
    with pytest.raises(Unreachable, match="cannot read role Admin"):
        IamReader().role("Admin")


def test_an_answer_about_nothing_is_an_error(iam: Iam) -> None:
    iam.answers = [answer(action="GetRole")]
    with pytest.raises(Unreachable):
        IamReader().role("Admin")


def test_credentials_that_are_missing_are_looked_for_again(iam: Iam, monkeypatch: pytest.MonkeyPatch) -> None:
    iam.answers = [page(ALICE)]
    reader = IamReader()
    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(CredentialsError):
            reader.group("admins")
    assert reader.group("admins") is not None


def test_throttled_call_is_left_to_the_refreshers_backoff(iam: Iam) -> None:
    iam.answers = [refusal("Throttling", 400)]
    with pytest.raises(Throttled):
        IamReader().group("admins")
    assert len(iam.calls) == 1


def test_no_message_holds_the_answer(iam: Iam) -> None:
    iam.answers = [(200, "<html>password=hunter2</html>")]
    reader: Any = IamReader()
    for read in (reader.group, reader.role):
        with pytest.raises(KubeIamError) as caught:
            read("admins")
        assert "hunter2" not in str(caught.value)
