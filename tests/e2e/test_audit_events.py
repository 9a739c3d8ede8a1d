"""Audit events on real parts: the events of the cluster name the actor and the subject, and its audit log shows requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from whole_sandbox import ROLE, Sandbox

from kube_iam.sandbox.processes import wait_until

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
QUICK = ("--cache-ttl", "2s", "--no-wait")
AUDIT = '{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}'


def events(levels: Sandbox, subject: str) -> list[dict[str, Any]]:
    """Return the events about a subject, the oldest first."""
    chosen = ("-n", "kube-system", "-l", "app.kubernetes.io/managed-by=kube-iam", "-o", "json")
    items = json.loads(levels.administrator.works("kubectl", "get", "events", *chosen))["items"]
    found = [each for each in items if each["involvedObject"]["name"] == subject]
    return sorted(found, key=lambda each: (each["firstTimestamp"], int(each["metadata"]["resourceVersion"])))


def test_every_change_of_access_is_written_as_an_event(levels: Sandbox) -> None:
    levels.person("eva")
    administrator = levels.administrator
    administrator.works("kube-iam", "grant", "eva", "viewer", "--dry-run")
    administrator.works("kube-iam", "deny", "--list")
    assert events(levels, "eva") == []
    administrator.works("kube-iam", "grant", "eva", "viewer", "--for", "1h", "--reason", "on call")
    administrator.works("kube-iam", "grant", "eva", "viewer", "-o", "json")
    administrator.works("kube-iam", "revoke", "eva", "viewer", "--now", "--reason", "left", *QUICK)
    administrator.works("kube-iam", "grant", "eva", "viewer")
    administrator.works("kube-iam", "deny", "eva", "--reason", "lost laptop", *QUICK)
    administrator.works("kube-iam", "undeny", "eva")
    audit = events(levels, "eva")
    assert [each["reason"] for each in audit] == [
        "AccessGranted",
        "AccessGranted",
        "AccessRevoked",
        "AccessDenied",
        "AccessGranted",
        "DenialRemoved",
        "AccessDenied",
        "DenialRemoved",
    ]
    messages = [each["message"] for each in audit]
    assert all(message.startswith("kubernetes-admin ") for message in messages)
    assert "granted eva viewer until 20" in messages[0]
    assert messages[0].endswith("Z: on call")
    assert messages[2] == "kubernetes-admin revoked viewer from eva: left"
    assert "denied eva everything until 20" in messages[6]
    (applied, *_) = events(levels, "sandbox")
    assert applied["reason"] == "AccessApplied"
    assert "created" in applied["message"]


def test_revoke_without_the_right_to_write_events_warns_and_removes_the_member(levels: Sandbox) -> None:
    """An administrator in AWS who is nobody in the cluster."""
    levels.person("ewan")
    levels.administrator.works("kube-iam", "grant", "ewan", "viewer")
    nobody = levels.home.root / "nobody.yaml"
    nobody.write_text(levels.home.kubeconfig.read_text().replace("client-certificate", "x-certificate"))
    # What is not known is told, but the temporary access that may be there makes it an error.
    done = levels.administrator.run("kube-iam", "revoke", "ewan", "viewer", KUBECONFIG=str(nobody))
    assert "ewan: revoked viewer" in done.stdout
    assert "warning: done, but not written as an event into the cluster" in done.stderr
    assert "ewan" not in levels.administrator.works("kube-iam", "who", "viewer")


def test_the_audit_log_names_the_person_the_principal_the_session_and_the_level(levels: Sandbox) -> None:
    (levels.home.root / "audit.yaml").write_text(AUDIT)
    log = levels.home.root / "logs" / "audit.log"
    levels.restart_api_server(f"--audit-policy-file={levels.home.root / 'audit.yaml'}", f"--audit-log-path={log}")
    levels.person("emma")
    levels.administrator.works("kube-iam", "grant", "emma", "viewer")
    emma, viewer = levels.person("emma"), levels.kubeconfig("viewer")
    assert wait_until(lambda: emma.signs_in(viewer), 60)
    extra = json.loads(emma.whoami(viewer).stdout)["status"]["userInfo"]["extra"]
    arn = f"{ROLE}viewer".replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/emma"
    assert extra["arn"] == [arn]
    assert extra["canonicalArn"] == [f"{ROLE}viewer"]
    assert extra["sessionName"] == ["emma"]
    assert extra["principalId"] == extra["sigs.k8s.io/aws-iam-authenticator/principalId"]
    assert extra["principalId"][0].startswith("AROA")
    assert extra["kube-iam.dev/level"] == ["viewer"]
    emma.works("kubectl", "--kubeconfig", viewer, "get", "configmaps", "-n", "shop")

    def logged() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        return [each for each in lines if "/namespaces/shop/configmaps" in each["requestURI"]]

    assert wait_until(lambda: bool(logged()), 10)
    user = logged()[-1]["user"]
    assert user["username"] == "awsiam:emma"
    assert {key: user["extra"][key] for key in extra} == extra
