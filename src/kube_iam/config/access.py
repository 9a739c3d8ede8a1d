"""access.yaml as ClusterAccess: read the file, collect every problem with its line, fill in the defaults."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kube_iam.access.levels import (
    AWS_AUTH,
    DEFAULT_NAMING,
    DEFAULT_USERNAME_OF_SYNCED_LEVEL,
    DEFAULT_USERNAMES,
    OBJECTS,
    Bind,
    ClusterAccess,
    Level,
    MappingTarget,
    MemberList,
    Method,
    TargetKind,
    access_entries,
    expand_naming,
)
from kube_iam.access.user_names import alike_levels
from kube_iam.config.access_checks import check_semantics
from kube_iam.config.access_files import read_directory
from kube_iam.config.durations import LONGEST_SESSION, parse_duration
from kube_iam.config.iam_settings import iam_settings
from kube_iam.config.schema import ACCESS_SCHEMA
from kube_iam.config.structure import check_structure
from kube_iam.config.yaml_file import KeyPath, YamlFile, decode, parse_yaml, read_yaml
from kube_iam.core.partitions import partition_of_region
from kube_iam.errors import ConfigError, Problem


def load_access(path: str | Path) -> ClusterAccess:
    """Return the file's ClusterAccess with defaults, or that of all files of a directory.

    Raises ConfigError with all problems, in the order of the files and their lines, UsageError for a directory without files.
    """
    path = Path(path)
    if path.is_dir():
        merged = read_directory(path)
        return _checked(merged, merged.problems, str(path), path, merged.places())
    return _load(read_yaml(path), str(path), path.parent)


def parse_access(raw: bytes, source: str, folder: Path) -> ClusterAccess:
    """Return the ClusterAccess of a file's bytes, as `load_access` does. `folder` is where relative paths start from."""
    return _load(parse_yaml(decode(raw, source), source), source, folder)


def _load(file: YamlFile, source: str, folder: Path) -> ClusterAccess:
    if file.data is None:
        raise ConfigError(source, [Problem("", "is empty", "examples/access.yaml is a file to start from")])
    return _checked(file, [*file.problems, *check_structure(file, ACCESS_SCHEMA)], source, folder, {})


def _checked(
    file: YamlFile, problems: list[Problem], source: str, folder: Path, places: Mapping[str, str]
) -> ClusterAccess:
    document = file.data if isinstance(file.data, dict) else {}
    authority, unreadable = _certificate_authority(file, document, folder)
    found = [*problems, *unreadable]
    if isinstance(file.data, dict):
        found += check_semantics(file, name_for_iam(document))
    if found:
        raise ConfigError(source, sorted(found, key=lambda problem: (problem.file, problem.line or 0)))
    built = replace(_build(file, document, source, folder, authority), places=places)
    alike = [_alike(file, index, level) for index, level in alike_levels(built)]
    if alike:
        raise ConfigError(source, alike)
    return built


def _alike(file: YamlFile, index: int, level: Level) -> Problem:
    message = f"can be a user name of level {level.name}, whose members have rights by it (membershipCheck: rbac)"
    return file.problem(("levels", index, "username"), message, "a prefix of its own, which ends in a colon")


def name_for_iam(document: dict[str, Any]) -> str:
    """Return the cluster's short name: as given, or its id with dashes for characters that IAM names and labels cannot hold."""
    cluster = document.get("cluster")
    cluster = cluster if isinstance(cluster, dict) else {}
    name = str(cluster.get("name") or re.sub(r"[^A-Za-z0-9._-]+", "-", str(cluster.get("id", ""))))
    return name if cluster.get("name") else name[:63].strip("._-")


def _certificate_authority(file: YamlFile, document: dict[str, Any], folder: Path) -> tuple[str, list[Problem]]:
    """Return the PEM text of the cluster's certificate authority, from the file or the base64; empty if none is given."""
    cluster = document.get("cluster")
    cluster = cluster if isinstance(cluster, dict) else {}
    named, data = cluster.get("certificateAuthority"), cluster.get("certificateAuthorityData")
    if isinstance(named, str) and named:
        path = ("cluster", "certificateAuthority")
        try:
            text = (folder / named).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not PEM text"
            return "", [
                file.problem(path, f"{folder / named} cannot be read: {why}", "paths are relative to this file")
            ]
    elif isinstance(data, str) and data:
        path = ("cluster", "certificateAuthorityData")
        try:
            text = base64.b64decode("".join(data.split()), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            return "", [file.problem(path, "is not the base64 of PEM text", "take it from a kubeconfig file as it is")]
    else:
        return "", []
    if "PRIVATE KEY-----" in text:
        return "", [
            file.problem(path, "holds a private key", "name the certificate alone: kubeconfig files are public")
        ]
    if "-----BEGIN CERTIFICATE-----" not in text:
        return "", [file.problem(path, "holds no certificate", "expected PEM: -----BEGIN CERTIFICATE-----")]
    return text, []


def _build(file: YamlFile, document: dict[str, Any], source: str, folder: Path, authority: str) -> ClusterAccess:
    cluster, iam = document["cluster"], document.get("iam", {})
    name, prefix = name_for_iam(document), iam.get("pathPrefix", "/")
    return ClusterAccess(
        source=source,
        cluster_id=cluster["id"],
        name=name,
        account=document["account"],
        partition=document.get("partition") or partition_of_region(document["region"]),
        region=document["region"],
        endpoint=cluster.get("endpoint", ""),
        certificate_authority=authority,
        mapping=_target(document.get("mapping", {"configFile": {}}), folder, cluster["id"]),
        levels=tuple(
            _level(level, name, f"{prefix}kube-iam/{name}/", document, _members(file, ("levels", index), level))
            for index, level in enumerate(document["levels"])
        ),
        path_prefix=prefix,
        checks_sign_in=document.get("membershipCheck", "signIn") == "signIn",
        syncs_members=document.get("membershipCheck") == "rbac",
        install_hint=document.get("installHint", ""),
        naming=iam.get("naming", DEFAULT_NAMING),
    )


def _target(mapping: dict[str, Any], folder: Path, cluster_id: str) -> MappingTarget:
    if "file" in mapping:
        return MappingTarget(TargetKind.FILE, "", "", "", path=str(folder / mapping["file"]))
    if "awsAuth" in mapping:
        return AWS_AUTH
    if "crd" in mapping:
        return OBJECTS
    if "accessEntries" in mapping:
        return access_entries(cluster_id)
    return MappingTarget(TargetKind.CONFIG_FILE, **mapping["configFile"])


def _members(file: YamlFile, path: KeyPath, level: dict[str, Any]) -> MemberList | None:
    if "members" not in level:
        return None
    users = tuple(level["members"])
    where = (*path, "members")
    return MemberList(
        users,
        file.line(*where) or 0,
        tuple(file.line(*where, index) or 0 for index in range(len(users))),
        file.file_of(*where),
    )


def _level(
    level: dict[str, Any], cluster: str, path: str, document: dict[str, Any], members: MemberList | None
) -> Level:
    """Return one level of the document."""
    name, iam, of_file = level["name"], level.get("iam", {}), document.get("iam", {})
    default = expand_naming(of_file.get("naming", DEFAULT_NAMING), cluster, name)
    method, check = Method(level.get("method", "role")), level.get("membershipCheck")
    synced = method is Method.ROLE and (check or document.get("membershipCheck")) == "rbac"
    username = DEFAULT_USERNAME_OF_SYNCED_LEVEL.format(level=name) if synced else DEFAULT_USERNAMES[method]
    in_iam, settings = method.is_in_iam, iam_settings(of_file, iam)
    return Level(
        name=name,
        username=level.get("username", username),
        groups=() if synced else tuple(level.get("groups", (f"kube-iam:{name}",))),
        bind=tuple(
            Bind(bind.get("clusterRole", ""), bind.get("role", ""), tuple(bind.get("namespaces", ())))
            for bind in level.get("bind", ())
        ),
        role_name=iam.get("role", default) if in_iam else "",
        policy_name=iam.get("policy", default) if in_iam else "",
        group_name=iam.get("group", default) if in_iam else "",
        role_path="/" if settings.existing_role else of_file.get("rolePath", "/"),
        path=path,
        mfa=level.get("mfa", False),
        # IAM alone knows that of an existing role: until it is asked, the longest that it allows.
        session_seconds=LONGEST_SESSION
        if settings.existing_role
        else parse_duration(level.get("sessionDuration", "1h")),
        description=level.get("description", ""),
        method=method,
        permission_set=level.get("permissionSet", ""),
        mapped_role=level.get("mappedRole", ""),
        members=members,
        existing_role=settings.existing_role,
        existing_group=settings.existing_group,
        tags=settings.tags,
        permissions_boundary=settings.permissions_boundary,
        checks_sign_in=None if check is None else check == "signIn",
        syncs_members=None if check is None else check == "rbac",
    )
