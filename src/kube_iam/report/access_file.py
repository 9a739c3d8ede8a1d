"""The text of a new access file: what was found with its source, and commented placeholders for the rest."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Iterator

from kube_iam.access.levels import MappingTarget, TargetKind
from kube_iam.config.findings import Finding, Findings
from kube_iam.core.printable import escaped
from kube_iam.kube.yaml.text import block, quoted

_HEAD = """\
# The access levels of one cluster. `kube-iam validate` checks this file, `kube-iam schema` prints all its keys.
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess

cluster:"""
_NAME = """\
  # The short name in the names of IAM roles, policies and groups. Each cluster of the account needs its own. Default: the id.
  # name: prod"""
_EKS_CHECK = """\
# EKS's own authenticator admits every live session of a role. Only AWS checks membership, when the role is assumed.
membershipCheck: assumeRole"""
_CHECK = """\
# signIn: kube-iam's server asks IAM for members at each sign-in. assumeRole: for aws-iam-authenticator, which cannot.
membershipCheck: signIn"""
_LEVELS = """\
levels:
  - name: admin
    description: Everything in the cluster
    bind:
      - clusterRole: cluster-admin
    # mfa: true                  # the role is assumed with MFA only

  - name: developer
    description: Changes applications in these namespaces, and reads the rest but secrets
    bind:
      - clusterRole: edit
        namespaces: [default]    # write the namespaces of your applications
      - clusterRole: view

  - name: viewer
    description: Reads everything but secrets
    bind:
      - clusterRole: view
"""
_EXAMPLES = {
    "id": "id: prod.example.com",
    "endpoint": "endpoint: https://api.prod.example.com",
    "certificateAuthorityData": "certificateAuthorityData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t…",
    "account": 'account: "123456789012"',
    "region": "region: eu-central-1",
    "mapping": "mapping: {configFile: {}}",
}
_WIDTH = 118


def access_file_text(found: Findings, levels: str = _LEVELS) -> str:
    """Return the file. It is valid where everything was found. The certificate authority stands in it, so that git has one file.

    `levels` is the text of the levels, by default of three to start from.
    """
    return "\n".join(_lines(found, levels)) + "\n"


def _lines(found: Findings, levels: str) -> Iterator[str]:
    yield _HEAD
    yield from _key("id", found.cluster_id, "  ")
    yield _NAME
    yield from _key("endpoint", found.endpoint, "  ")
    yield from _authority(found.authority)
    yield from _key("account", found.account, "", text=quoted(found.account.value))
    yield from _key("region", found.region, "")
    yield ""
    yield from _mapping(found.mapping.finding, found.mapping.target)
    yield ""
    yield _EKS_CHECK if found.is_eks else _CHECK
    yield ""
    yield levels.rstrip("\n")


def _key(name: str, finding: Finding, indent: str, *, text: str = "") -> Iterator[str]:
    if not finding.value:
        yield from _placeholder(name, finding, indent)
        return
    yield f"{indent}# From {escaped(finding.source)}."
    yield f"{indent}{name}: {text or block(finding.value)[0]}"


def _placeholder(name: str, finding: Finding, indent: str) -> Iterator[str]:
    told = escaped(f"TODO {name} was not found: {finding.reason}. {finding.remedy[:1].upper()}{finding.remedy[1:]}:")
    for line in textwrap.wrap(told, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line}"
    yield f"{indent}# {_EXAMPLES[name]}"


def _authority(finding: Finding) -> Iterator[str]:
    if not finding.value:
        yield from _placeholder("certificateAuthorityData", finding, "  ")
        return
    yield f"  # From {escaped(finding.source)}. It is public. `base64 -d` shows the PEM text."
    yield "  certificateAuthorityData: |"
    data = base64.b64encode(finding.value.encode("ascii")).decode()
    yield from (f"    {data[start : start + 76]}" for start in range(0, len(data), 76))


def _mapping(finding: Finding, target: MappingTarget | None) -> Iterator[str]:
    if target is None:
        yield from _placeholder("mapping", finding, "")
        return
    yield f"# {escaped(target.describe())}: {escaped(finding.source)}."
    yield "mapping:"
    if target.kind is TargetKind.FILE:
        yield f"  file: {quoted(target.path)}"
        return
    if target.kind in (TargetKind.AWS_AUTH, TargetKind.CRD, TargetKind.ACCESS_ENTRIES):
        yield f"  {target.kind.value}: {{}}"
        return
    yield "  configFile:"
    for key in ("namespace", "name", "key"):
        yield f"    {key}: {block(str(getattr(target, key)))[0]}"
