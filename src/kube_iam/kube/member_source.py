"""Annotations of a binding that say whose subjects `kube-iam sync` writes into it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kube_iam.config.identity_mapping import IAM_GROUP, TEMPORARY, read_membership
from kube_iam.core.member_source import MemberSource
from kube_iam.kube.labels import ROLE_ARN, USERNAME


def source_annotations(source: MemberSource) -> dict[str, str]:
    """Return the annotations that state the source."""
    found = {IAM_GROUP: source.iam_group, ROLE_ARN: source.role_arn, USERNAME: source.username}
    return {**found, **temporary_annotation(source)}


def temporary_annotation(source: MemberSource) -> dict[str, str]:
    """Return the annotation of the temporary grants, none without a grant."""
    items = [grant.item for grant in source.temporary]
    return {TEMPORARY: json.dumps(items, ensure_ascii=False)} if items else {}


def read_source(annotations: Mapping[str, str]) -> MemberSource | None:
    """Return the source that annotations state, or None for a binding that is not synced. Raises nothing.

    Any of the two annotations of synced bindings makes a binding synced. A source that is malformed has a `problem`.
    """
    if not {ROLE_ARN, USERNAME} & annotations.keys():
        return None
    known = {name: annotations[name] for name in (IAM_GROUP, TEMPORARY) if name in annotations}
    keys, _ = read_membership(known)
    group = keys.iam_group if keys.valid else ""
    return MemberSource(group, annotations.get(ROLE_ARN, ""), annotations.get(USERNAME, ""), keys.temporary)
