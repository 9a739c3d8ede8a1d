"""Plans and members as text for people and as JSON for programs."""

import json
from dataclasses import replace

from fake_account import FakeAccount
from levels_for_tests import ADMIN, EDITOR, access, run
from ruamel.yaml import YAML

from kube_iam.access.members import LevelMembers
from kube_iam.access.plan import plan_apply
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.report.data import as_json, as_yaml
from kube_iam.report.members_data import levels_data, users_data
from kube_iam.report.members_text import levels_table, users_table
from kube_iam.report.plan_text import counts, document_sentences, plan_text


def test_a_first_plan_reads_like_this() -> None:
    text = plan_text(plan_apply(access(replace(ADMIN, mfa=True)), FakeAccount().ports))
    assert text == (
        "Cluster prod.example.com, AWS account 123456789012, mapping in a fake mapping\n"
        "\n"
        "+ policy prod-admin (admin)\n"
        "    path: /kube-iam/prod/\n"
        "    allows sts:AssumeRole on arn:aws:iam::123456789012:role/prod-admin\n"
        "    tags: kube-iam.dev/cluster=prod.example.com, kube-iam.dev/level=admin\n"
        "+ role prod-admin (admin)\n"
        "    path: /\n"
        "    allows sts:AssumeRole by AWS=arn:aws:iam::123456789012:root"
        " when sts:RoleSessionName = ${aws:username} and aws:MultiFactorAuthPresent = true\n"
        "    maxSessionDuration: 3600\n"
        "    description: Level admin of the Kubernetes cluster prod\n"
        "    tags: kube-iam.dev/cluster=prod.example.com, kube-iam.dev/level=admin\n"
        "+ group prod-admin (admin)\n"
        "    path: /kube-iam/prod/\n"
        "+ attachment prod-admin on prod-admin (admin)\n"
        "    policy: arn:aws:iam::123456789012:policy/kube-iam/prod/prod-admin\n"
        "+ binding kube-iam:admin:cluster-admin (admin)\n"
        "    grants: ClusterRole cluster-admin\n"
        "    where: the whole cluster\n"
        "    groups: kube-iam:admin\n"
        "    level: admin\n"
        "+ mapping arn:aws:iam::123456789012:role/prod-admin (admin)\n"
        "    username: awsiam:{{SessionNameRaw}}\n"
        "    groups: kube-iam:admin\n"
        "    iamGroup: prod-admin\n"
        "    level: admin\n"
        "\n"
        "Plan: 6 to create, 0 to update, 0 to delete.\n"
    )


def changed_account() -> FakeAccount:
    account = FakeAccount()
    run(account, plan_apply(access(), account.ports))
    return account


def test_a_change_shows_what_was_and_what_will_be() -> None:
    account = changed_account()
    wanted = access(replace(ADMIN, mfa=True, session_seconds=7200, groups=("a",)), EDITOR)
    plan = plan_apply(wanted, account.ports)
    text = plan_text(plan)
    assert "~ role prod-admin (admin)\n    trust:\n" in text
    assert '      +          "aws:MultiFactorAuthPresent": "true"\n' in text
    assert "    maxSessionDuration: 3600 -> 7200\n" in text
    assert "~ mapping arn:aws:iam::123456789012:role/prod-admin (admin)\n    groups: kube-iam:admin -> a\n" in text
    assert "- policy prod-viewer (viewer)\n" in text
    assert counts(plan) == "Plan: 0 to create, 4 to update, 6 to delete."  # the binding first names both groups


def test_nothing_to_change_says_so() -> None:
    assert (
        plan_text(plan_apply(access(), changed_account().ports))
        == "Nothing to change: cluster prod.example.com, AWS account 123456789012, is as the file says.\n"
    )


def test_warnings_and_guards_stand_below() -> None:
    plan = plan_apply(access(replace(ADMIN, groups=("system:masters",))), changed_account().ports)
    text = plan_text(plan, {colour: (f"<{colour}>", "") for colour in ("green", "yellow", "cyan", "red")})
    assert "<yellow>warning: level admin is in system:masters" in text
    assert "<red>needs --force: 2 of 3 levels would be removed (editor, viewer): more than a third\n" in text
    assert "<red>- mapping" in text


def test_what_others_wrote_cannot_command_the_terminal() -> None:
    account = changed_account()
    roles = account.directory.role_states
    roles["prod-admin"] = replace(roles["prod-admin"], description="\x1b[2Jevil\r", policies=("\x1b]0;x\x07",))
    text = plan_text(plan_apply(access(), account.ports))
    assert r"description: \u001b[2Jevil\u000d -> Level admin" in text
    assert not set("\x1b\x07\r") & set(text)


def test_a_strange_document_is_still_shown() -> None:
    assert list(document_sentences("x")) == []
    statement = {"Effect": "Deny", "Action": ["a", "b"], "Condition": {"Bool": {"k": "true"}}}
    assert list(document_sentences({"Statement": [statement]})) == ["denies a, b when k = true"]


def test_json_and_yaml_hold_the_same_plan() -> None:
    data = plan_apply(access(), FakeAccount().ports).as_data()
    assert json.loads(as_json(data)) == json.loads(json.dumps(data))
    assert YAML(typ="safe", pure=True).load(as_yaml(data)) == json.loads(json.dumps(data))
    assert data["counts"] == {"create": 20, "update": 0, "adopt": 0, "delete": 0}


def test_members_are_tables_that_say_when_there_is_nobody() -> None:
    levels = [
        LevelMembers("admin", "prod-admin", ("alice", "bob")),
        LevelMembers("editor", "prod-editor", ()),
        LevelMembers("viewer", "prod-viewer", None),
    ]
    assert levels_table(levels, 0) == (
        "LEVEL    IAM GROUP     USER\n"
        "admin    prod-admin    alice\n"
        "admin    prod-admin    bob\n"
        "editor   prod-editor   (nobody)\n"
        "viewer   prod-viewer   (not applied)\n"
    )
    viewer = LevelMembers("viewer", "prod-viewer", ("alice",))
    assert users_table([levels[0], viewer], 0).startswith("USER    LEVELS\nalice   admin, viewer\n")


def test_temporary_member_is_listed_with_the_remaining_time() -> None:
    carol = TemporaryGrant("carol", "AIDACAROL", "1970-01-02T03:50:40Z", "on call\x1b")
    levels = [
        LevelMembers("admin", "prod-admin", (), (carol,)),
        LevelMembers("viewer", "prod-viewer", ("alice", "carol")),
    ]
    assert levels_table(levels, 40) == (
        "LEVEL    IAM GROUP     USER    TIME LEFT   REASON\n"
        "admin    prod-admin    carol   1d3h        on call\\u001b\n"
        "viewer   prod-viewer   alice\n"
        "viewer   prod-viewer   carol\n"
    )
    assert users_table(levels, 90_000) == "USER    LEVELS\nalice   viewer\ncarol   admin (2h50m left), viewer\n"
    assert users_data(levels, 90_000)[1] == {
        "user": "carol",
        "levels": ["admin", "viewer"],
        "temporary": [{"level": "admin", "until": carol.until, "secondsLeft": 10_240, "reason": carol.reason}],
    }
    assert levels_data(levels, 90_000)[0]["temporary"] == [
        {"user": "carol", "until": carol.until, "secondsLeft": 10_240, "reason": carol.reason}
    ]
