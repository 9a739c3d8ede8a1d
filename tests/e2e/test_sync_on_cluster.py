"""`kube-iam sync` on a real kube-apiserver: members have access by name, and lose it at once although their token is remembered."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import pytest
from faulty_iam import error
from synced_site import MAX_AGE, SyncedSite, kill, reads, seconds_until, synced_site

from kube_iam.sandbox.processes import wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("synced-site")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncedSite]:
    with synced_site(tmp_path_factory.mktemp("synced")) as made:
        yield made


@pytest.fixture
def site(cluster: SyncedSite) -> Iterator[SyncedSite]:
    """Yield the cluster with one sync that leads."""
    cluster.iam.heal()
    if not cluster.get("/readyz"):
        cluster.sync()
    assert wait_until(lambda: cluster.get("/readyz") == "ok" and cluster.is_leader("sync"), 40), cluster.log()
    yield cluster
    cluster.iam.heal()


def test_member_is_admitted_and_loses_all_rights_with_a_remembered_token(site: SyncedSite) -> None:
    site.join("alice")
    alice, ops = site.person("alice"), site.kubeconfig("ops")
    assert wait_until(lambda: reads(alice, ops), 30)
    site.leave("alice")
    assert wait_until(lambda: not reads(alice, ops), 30)
    # The session is valid, and kube-apiserver remembers the token: who they are is answered.
    user = json.loads(alice.works("kubectl", "--kubeconfig", ops, "auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert user["username"] == "awsiam:ops:alice"
    assert not [group for group in user["groups"] if "kube-iam" in group]
    events = json.loads(site.administrator.works("kubectl", "get", "events", "-n", "kube-system", "-o", "json"))[
        "items"
    ]
    messages = [each["message"] for each in events if each["reason"] == "SubjectsChanged"]
    assert any("removed awsiam:ops:alice" in each for each in messages)


def test_iam_is_away_longer_than_the_age_and_nobody_has_access_until_it_is_back(site: SyncedSite) -> None:
    site.join("bob")
    assert wait_until(lambda: site.has("bob"), 30)
    site.iam.fault = lambda _: error("ServiceUnavailable", 503)
    site.join("late")
    assert wait_until(lambda: site.users() == [], MAX_AGE + 30)
    assert "IAM could not be read" in site.get("/readyz")
    site.iam.heal()
    assert wait_until(lambda: site.has("bob") and site.has("late"), 60)


def test_throttled_reads_keep_members_and_add_nobody(site: SyncedSite) -> None:
    site.join("carl")
    assert wait_until(lambda: site.has("carl"), 30)
    calls = len(site.iam.calls)
    site.iam.fault = lambda call: error("Throttling") if call["Action"] == "GetGroup" else None
    site.join("dora")
    assert wait_until(lambda: len(site.iam.calls) > calls + 2, 30)
    assert site.has("carl")
    assert not site.has("dora")


def test_open_trust_policy_removes_all_users_of_the_role(site: SyncedSite) -> None:
    site.join("eva", "audit")
    assert wait_until(lambda: site.has("eva", "audit"), 30)
    iam = site.iam.account.administrator
    before = iam.get_role(RoleName="sandbox-audit")["Role"]["AssumeRolePolicyDocument"]
    statement = {key: value for key, value in before["Statement"][0].items() if key != "Condition"}
    iam.update_assume_role_policy(
        RoleName="sandbox-audit", PolicyDocument=json.dumps({**before, "Statement": [statement]})
    )
    assert wait_until(lambda: site.users("kube-iam:audit:view") == [], 30)
    site.administrator.works("kube-iam", "apply", "--yes")
    # Sessions that were begun under a chosen name live on.
    assert wait_until(lambda: site.users("kube-iam:audit:view") == [], 30)
    iam.delete_role(RoleName="sandbox-audit")
    site.administrator.works("kube-iam", "apply", "--yes")
    assert wait_until(lambda: site.has("eva", "audit"), 30)


def test_subjects_of_others_are_removed_and_foreign_bindings_stay(site: SyncedSite) -> None:
    site.join("fay")
    assert wait_until(lambda: site.has("fay"), 30)
    administrator = site.administrator
    administrator.works("kubectl", "create", "clusterrolebinding", "foreign", "--clusterrole=view", "--user=somebody")
    wrong = json.dumps(
        [
            {
                "op": "add",
                "path": "/subjects/-",
                "value": {"kind": "Group", "name": "all", "apiGroup": "rbac.authorization.k8s.io"},
            }
        ]
    )
    administrator.works("kubectl", "patch", "clusterrolebinding", "kube-iam:ops:view", "--type=json", "-p", wrong)
    assert wait_until(lambda: "Group:all" not in site.users(), 30)
    administrator.works(
        "kubectl", "patch", "clusterrolebinding", "kube-iam:ops:view", "-p", '{"subjects":[]}', "--type=merge"
    )
    assert wait_until(lambda: site.has("fay"), 30)
    assert site.users("foreign") == ["User:somebody"]
    administrator.works("kubectl", "delete", "clusterrolebinding", "foreign")


def test_plan_has_nothing_to_change_beside_the_sync(site: SyncedSite) -> None:
    site.join("gus")
    assert wait_until(lambda: site.has("gus") and "User:awsiam:ops:gus" in site.users("kube-iam:ops:edit", "shop"), 30)
    assert "Nothing to change" in site.administrator.works("kube-iam", "plan")


def test_denied_user_loses_access_and_returns_when_the_denial_is_removed(site: SyncedSite) -> None:
    site.join("hugo")
    assert wait_until(lambda: site.has("hugo"), 30)
    entry = json.dumps({"kind": "userName", "value": "hugo"})
    site.administrator.works(
        "kubectl", "create", "configmap", "-n", "kube-system", "kube-iam-denied", f"--from-literal=hugo={entry}"
    )
    assert wait_until(lambda: not site.has("hugo"), 30)
    assert "hugo" not in site.administrator.works("kube-iam", "plan", "-o", "json").partition('"denied"')[0]
    gone = json.dumps({"kind": "userName", "value": "hugo", "until": "1970-01-01T00:00:00Z"})
    site.administrator.works(
        "kubectl",
        "patch",
        "configmap",
        "-n",
        "kube-system",
        "kube-iam-denied",
        "-p",
        json.dumps({"data": {"hugo": gone}}),
    )
    assert wait_until(lambda: site.has("hugo"), 30)


@pytest.mark.parametrize(
    ("command", "back", "result"),
    [
        (
            ("revoke", "lou", "ops"),
            ("grant", "lou", "ops"),
            "awsiam:ops:lou: removed from ClusterRoleBinding kube-iam:ops:view",
        ),
        (("revoke", "max", "ops", "--now"), ("grant", "max", "ops"), "max is removed from 2 bindings after"),
        (("deny", "nia"), ("undeny", "nia"), "nia is removed from 2 bindings after"),
    ],
)
def test_command_refuses_the_next_read_with_a_remembered_token(
    site: SyncedSite, command: tuple[str, ...], back: tuple[str, ...], result: str
) -> None:
    user = command[1]
    site.join(user)
    person, ops = site.person(user), site.kubeconfig("ops")
    assert wait_until(lambda: reads(person, ops), 30)
    done = site.administrator.run("kube-iam", *command)
    assert done.returncode == 0, done.stderr
    # The session is valid, the token is remembered, and the command has just ended.
    assert not reads(person, ops)
    assert result in done.stdout + done.stderr
    assert person.stays_in(ops)
    calls = len(site.iam.calls)
    assert wait_until(lambda: len(site.iam.calls) > calls + 8, 30)
    assert not site.has(user)
    site.administrator.works("kube-iam", *back)
    assert wait_until(lambda: reads(person, ops), 30)


def test_deny_changes_the_bindings_without_a_sync(site: SyncedSite) -> None:
    site.join("ole")
    assert wait_until(lambda: site.has("ole"), 30)
    site.processes["sync"][0].stop()
    data = json.loads(site.administrator.works("kube-iam", "deny", "ole", "-o", "json"))
    assert (data["serverAnswers"], data["syncedBindings"]["checked"]) == (False, True)
    assert len(data["syncedBindings"]["removedFrom"]) == 2
    assert not site.has("ole")
    assert "Nothing to change" in site.administrator.works("kube-iam", "plan")
    site.administrator.works("kube-iam", "undeny", "ole")
    site.administrator.works("kube-iam", "apply", "--yes")
    assert site.has("ole")


def test_temporary_access_ends_by_itself_with_a_remembered_token(site: SyncedSite) -> None:
    site.person("per")
    per, ops, administrator = site.person("per"), site.kubeconfig("ops"), site.administrator
    granted = administrator.run("kube-iam", "grant", "per", "ops", "--for", "2h", "--reason", "on call")
    assert granted.returncode == 0
    assert "`kube-iam sync` gives the rights of ops, and takes them at the end" in granted.stderr
    assert wait_until(lambda: per.signs_in(ops) and reads(per, ops), 60)
    (level,) = json.loads(administrator.works("kube-iam", "who", "ops", "-o", "json"))
    assert [each["user"] for each in level["temporary"]] == ["per"]
    assert "Nothing to change" in administrator.works("kube-iam", "plan")
    assert "has temporary access until" in administrator.works("kube-iam", "explain", "per", "ops")
    administrator.works("kube-iam", "grant", "per", "ops", "--for", "5s")
    assert wait_until(lambda: not reads(per, ops), 60)
    assert per.stays_in(ops)
    assert "- temporary access per in ops" in administrator.works("kube-iam", "plan")
    administrator.works("kube-iam", "apply", "--yes")
    assert "Nothing to change" in administrator.works("kube-iam", "plan")


def test_revoked_temporary_access_is_refused_at_the_next_read(site: SyncedSite) -> None:
    site.person("pia")
    pia, ops, administrator = site.person("pia"), site.kubeconfig("ops"), site.administrator
    administrator.works("kube-iam", "grant", "pia", "ops", "--for", "2h")
    assert wait_until(lambda: pia.signs_in(ops) and reads(pia, ops), 60)
    administrator.works("kube-iam", "revoke", "pia", "ops")
    assert not reads(pia, ops)
    assert pia.stays_in(ops)
    assert "pia" not in administrator.works("kube-iam", "who")


def test_temporary_access_ends_without_a_sync_at_the_next_apply(site: SyncedSite) -> None:
    site.person("pau")
    site.processes["sync"][0].stop()
    administrator = site.administrator
    administrator.works("kube-iam", "grant", "pau", "ops", "--for", "2h")
    administrator.works("kube-iam", "apply", "--yes")
    assert site.has("pau")
    administrator.works("kube-iam", "grant", "pau", "ops", "--for", "1s")
    assert wait_until(lambda: "temporary access pau in ops" in administrator.works("kube-iam", "plan"), 30)
    administrator.works("kube-iam", "apply", "--yes")
    assert not site.has("pau")


def test_of_two_processes_one_writes_and_the_other_takes_over_after_a_kill(site: SyncedSite) -> None:
    site.sync("second")
    assert wait_until(lambda: site.get("/readyz", "second") == "ok", 30)
    assert not site.is_leader("second")
    site.join("ida")
    assert wait_until(lambda: site.has("ida"), 30)
    assert re.search(r"kube_iam_sync_writes_total 0$", site.get("/metrics", "second"), re.MULTILINE)
    kill(site.processes["sync"][0])
    site.leave("ida")
    assert wait_until(lambda: not site.has("ida"), 40)
    assert site.is_leader("second")
    # A process that ends gives the Lease back.
    site.sync("sync")
    assert wait_until(lambda: site.get("/readyz", "sync") == "ok", 30)
    site.processes["second"][0].stop()
    assert seconds_until(lambda: site.is_leader("sync"), 10) < 10


def test_suspended_leader_writes_nothing_after_another_one_took_over(site: SyncedSite) -> None:
    first = site.processes["sync"][0]
    site.sync("second")
    assert wait_until(lambda: site.get("/readyz", "second") == "ok", 30)
    site.join("jan")
    assert wait_until(lambda: site.has("jan"), 30)
    first.signal(signal.SIGSTOP)
    try:
        assert wait_until(lambda: site.is_leader("second"), 40)
        site.leave("jan")
        assert wait_until(lambda: not site.has("jan"), 30)
    finally:
        first.signal(signal.SIGCONT)
    assert wait_until(lambda: site.get("/readyz") == "ok", 30)
    assert not site.is_leader("sync")
    assert not site.has("jan")
    site.processes["second"][0].stop()
    assert wait_until(lambda: site.is_leader("sync"), 30)


def test_changes_during_an_outage_of_the_api_server_are_made_after_it(site: SyncedSite) -> None:
    site.join("kim")
    assert wait_until(lambda: site.has("kim"), 30)
    site.leave("kim")
    site.restart_api_server()
    assert wait_until(lambda: site.get("/readyz") == "ok" and not site.has("kim"), 60)
