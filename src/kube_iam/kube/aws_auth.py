"""A new entry for the ConfigMap aws-auth, as `add user` and `add role` write it. The present text stays byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kube_iam.access.levels import AWS_AUTH
from kube_iam.access.mapping import pathless
from kube_iam.config.mappings import MAPPING_KEYS, parse_mappings
from kube_iam.config.section import Findings, Section
from kube_iam.config.yaml_file import parse_yaml
from kube_iam.core.arns import strip_role_path
from kube_iam.core.letter_case import ascii_lower
from kube_iam.errors import Conflict, UsageError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapText
from kube_iam.kube.mapping_view import view_aws_auth
from kube_iam.kube.yaml.edit import ListEdit
from kube_iam.kube.yaml.text import Value, block
from kube_iam.kube.yaml.tree import Node

MAP_ROLES, MAP_USERS = "mapRoles", "mapUsers"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A checked entry of mapRoles or mapUsers (`key`). `value` is its content as it is written."""

    key: str
    value: Mapping[str, Value]

    def text(self) -> str:
        """Return the entry as YAML."""
        return "\n".join(block([self.value])) + "\n"


def new_user(arn: str, username: str, groups: Sequence[str]) -> NewEntry:
    """Return an entry for an IAM user. Raises UsageError where the server could not use it."""
    return _checked(MAP_USERS, {"userarn": arn, "username": username, "groups": list(groups)})


def new_role(arn: str, username: str, groups: Sequence[str]) -> NewEntry:
    """Return an entry for an IAM role, without the role's path, since STS does not show it. Raises UsageError as `new_user`."""
    return _checked(MAP_ROLES, {"rolearn": strip_role_path(arn), "username": username, "groups": list(groups)})


def new_sso_role(settings: Mapping[str, str], username: str, groups: Sequence[str]) -> NewEntry:
    """Return an entry for the role of a permission set: permissionSetName, accountID and, unless it is `aws`, partition."""
    names = {ascii_lower(name): name for name in ("permissionSetName", "accountID", "partition")}
    unknown = [key for key in settings if ascii_lower(key) not in names]
    if unknown:
        raise UsageError(f"--sso knows no {unknown[0]!r}", "it takes permissionSetName, accountID and partition")
    sso = {names[ascii_lower(key)]: value for key, value in settings.items()}
    ordered = {name: sso[name] for name in names.values() if name in sso}
    return _checked(MAP_ROLES, {"sso": ordered, "username": username, "groups": list(groups)})


@dataclass(frozen=True, slots=True)
class Added:
    """The result of `add`: the ConfigMap's name, and the problems that keep EKS from loading the list."""

    where: str
    warnings: tuple[str, ...] = ()


def add(api: KubeApi, entry: NewEntry, *, dry_run: bool = False) -> Added:
    """Write the entry behind the others. Raises Conflict where its ARN has an entry already.

    With `dry_run` everything but the write is done. As with the reference the ConfigMap must exist. Without it this is no EKS cluster,
    or not the intended one.
    """
    target = ConfigMapText(api, replace(AWS_AUTH, key=entry.key))

    warnings: tuple[str, ...] = ()

    def change(text: str | None) -> str | None:
        nonlocal warnings
        new = appended(text or "", entry, target.describe())
        warnings = view_aws_auth({entry.key: new}, target.describe()).fatal
        return None if dry_run else new

    target.edit(change, create=False)
    return Added(target.describe(), warnings)


def appended(text: str, entry: NewEntry, source: str) -> str:
    """Return the list's text with the entry at its end. Raises Conflict for a duplicate, ConfigError where the text cannot be read."""
    edit = ListEdit(text, (), source, entry.key)
    wanted = _identity(ListEdit(entry.text(), (), source).items()[0])
    if any(_identity(item) == wanted for item in edit.items()):
        raise Conflict(f"{source} has an entry for {wanted} already", "change or remove that one instead")
    return edit.append(entry.value)


def _checked(key: str, value: Mapping[str, Value]) -> NewEntry:
    """Return the entry after the server's parser accepted it. Raises UsageError where the server would skip it."""
    entry = NewEntry(key, value)
    document = parse_yaml(f"{key}:\n{entry.text()}", key)
    found = Findings()
    parse_mappings(Section(document, document.data, (), MAPPING_KEYS, found))
    if found.errors:
        problems = [f"{problem.key.partition('].')[2] or key} {problem.message}" for problem in found.errors]
        raise UsageError("; ".join(problems), found.errors[0].hint)
    return entry


def _identity(item: Node) -> str:
    """Return the key by which entries are equal: the ARN as the server compares it, or the permission set. Empty without both."""
    item = item.resolved()
    arn = _text(item.get("rolearn")) or _text(item.get("userarn"))
    sso = item.get("sso")
    if arn or sso is None:
        return pathless(arn)
    name, account = ascii_lower(_text(sso.get("permissionSetName"))), _text(sso.get("accountID"))
    return f"permission set {name} of account {account} in {_text(sso.get('partition')) or 'aws'}"


def _text(node: Node | None) -> str:
    return node.value.strip() if node is not None and node.kind == "scalar" and not node.is_null else ""
