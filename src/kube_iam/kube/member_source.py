"""Annotations of a binding that say whose subjects `kube-iam sync` writes into it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from kube_iam.config.identity_mapping import IAM_GROUP, TEMPORARY, read_membership
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.member_source import MemberSource
from kube_iam.kube.labels import ROLE_ARN, USERNAME


def source_annotations(source: MemberSource) -> dict[str, str]:
    """Return the annotations that state the source."""
    found = {IAM_GROUP: source.iam_group, ROLE_ARN: source.role_arn, USERNAME: source.username}
    return {**found, **{name: text for name, text in grants_annotation(source.temporary).items() if text is not None}}


def grants_annotation(grants: Iterable[TemporaryGrant]) -> dict[str, str | None]:
    """Return the annotation of temporary grants. Its value is None, which removes it by a merge patch, without a grant."""
    items = [grant.item for grant in grants]
    return {TEMPORARY: json.dumps(items, ensure_ascii=False) if items else None}


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
