"""Customer managed policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_iam.access.desired import same_document
from kube_iam.access.ports import Holder, PolicyState
from kube_iam.aws.iam_calls import (
    ALREADY_EXISTS,
    code_of,
    document_of,
    document_text,
    tag_list,
    tags_of,
)
from kube_iam.aws.iam_part import IamPart, occupied
from kube_iam.aws.parallel import in_parallel
from kube_iam.errors import KubeIamError, NotFound

MAX_POLICY_VERSIONS: Final = 5


class IamPolicies(IamPart):
    """The policies of the `Directory` port."""

    def policies(self, path_prefix: str) -> tuple[PolicyState, ...]:
        """Return all customer managed policies below the path. It takes two calls for each, besides the pages."""
        listed = self._aws.pages("list_policies", "Policies", "list policies", Scope="Local", PathPrefix=path_prefix)
        # Compared here as well: what lies below the path is ours, and an emulator may ignore the prefix.
        states = in_parallel(
            self._policy_state, (policy for policy in listed if policy["Path"].startswith(path_prefix))
        )
        return tuple(state for state in states if state is not None)

    def policy(self, arn: str) -> PolicyState | None:
        """Return the policy, or None where there is none."""
        found = self._aws.found("get_policy", f"read policy {arn}", PolicyArn=arn)
        return None if found is None else self._policy_state(found["Policy"])

    def create_policy(self, name: str, path: str, document: object, tags: Mapping[str, str], description: str) -> str:
        """Create the policy and return its ARN. Raises Conflict when a different one has the name (names are unique over paths)."""
        try:
            created = self._aws.call(
                "create_policy",
                f"create policy {name}",
                PolicyName=name,
                Path=path,
                PolicyDocument=document_text(document),
                Description=description,
                Tags=tag_list(tags),
            )
        except KubeIamError as error:
            if code_of(error) != ALREADY_EXISTS:
                raise
            return self._same_policy(name, path, document, tags)
        arn = str(created["Policy"]["Arn"])
        self._until(f"policy {name}", lambda: self.policy(arn) is not None)
        return arn

    def update_policy(self, arn: str, document: object) -> None:
        """Make the document the default version. Nothing is written where it is that already."""
        versions = list(self._aws.pages("list_policy_versions", "Versions", f"read policy {arn}", PolicyArn=arn))
        default = next((version for version in versions if version["IsDefaultVersion"]), None)
        if default is not None and same_document(self._document(arn, default["VersionId"]), document):
            return
        others = sorted((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: _number(v["VersionId"]))
        for oldest in others[: max(0, len(versions) - MAX_POLICY_VERSIONS + 1)]:
            self._delete_version(arn, oldest["VersionId"])
        self._aws.call(
            "create_policy_version",
            f"update policy {arn}",
            PolicyArn=arn,
            PolicyDocument=document_text(document),
            SetAsDefault=True,
        )
        self._until(f"the new version of policy {arn}", lambda: self._shows_policy(arn, document))

    def tag_policy(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite the tags."""
        self._aws.call("tag_policy", f"tag policy {arn}", PolicyArn=arn, Tags=tag_list(tags))
        self._until(f"the tags of policy {arn}", lambda: tags.items() <= self._policy_tags(arn).items())

    def untag_policy(self, arn: str, keys: tuple[str, ...]) -> None:
        """Remove the tags with these keys."""
        self._aws.call("untag_policy", f"remove tags of policy {arn}", PolicyArn=arn, TagKeys=sorted(keys))
        self._until(f"policy {arn} without the tags", lambda: not set(keys) & self._policy_tags(arn).keys())

    def delete_policy(self, arn: str) -> None:
        """Delete the policy with all its versions. Raises Conflict while it is attached to something."""
        doing = f"delete policy {arn}"
        try:
            versions = list(self._aws.pages("list_policy_versions", "Versions", doing, PolicyArn=arn))
        except NotFound:
            return
        for version in versions:
            if not version["IsDefaultVersion"]:
                self._delete_version(arn, version["VersionId"])
        self._aws.deleted("delete_policy", doing, PolicyArn=arn)
        self._until(f"policy {arn} as gone", lambda: self._aws.found("get_policy", doing, PolicyArn=arn) is None)

    def _policy_state(self, policy: Mapping[str, Any]) -> PolicyState | None:
        """Return a policy of get_policy or list_policies with its document and tags; None where it is gone by now."""
        arn = str(policy["Arn"])
        try:
            document = self._document(arn, policy["DefaultVersionId"])
        except NotFound:
            return None
        count = int(policy.get("AttachmentCount", 0))
        return PolicyState(arn, policy["PolicyName"], policy["Path"], document, self._policy_tags(arn), count)

    def holders(self, arn: str) -> tuple[Holder, ...]:
        """Return the groups, users and roles that have the policy attached; none where there is no such policy."""
        doing = f"find out what policy {arn} is attached to"
        found: list[Holder] = []
        try:
            for kind in ("Group", "User", "Role"):
                pages = self._aws.pages(
                    "list_entities_for_policy", f"Policy{kind}s", doing, PolicyArn=arn, EntityFilter=kind
                )
                found += [Holder(kind.lower(), str(each[f"{kind}Name"])) for each in pages]
        except NotFound:
            return ()
        return tuple(found)

    def detach_from(self, holder: Holder, arn: str) -> None:
        """Detach the policy from a group, user or role; one that is gone, or has it no longer, is no error."""
        doing = f"detach a policy from {holder}"
        name = {f"{holder.kind.capitalize()}Name": holder.name}
        self._aws.deleted(f"detach_{holder.kind}_policy", doing, PolicyArn=arn, **name)
        self._until(f"{holder} without the policy", lambda: holder not in self.holders(arn))

    def _document(self, arn: str, version: str) -> object:
        found = self._aws.call("get_policy_version", f"read policy {arn}", PolicyArn=arn, VersionId=version)
        return document_of(found["PolicyVersion"]["Document"])

    def _policy_tags(self, arn: str) -> dict[str, str]:
        try:
            return tags_of(self._aws.pages("list_policy_tags", "Tags", f"read the tags of policy {arn}", PolicyArn=arn))
        except NotFound:
            return {}

    def _shows_policy(self, arn: str, document: object) -> bool:
        state = self.policy(arn)
        return state is not None and same_document(state.document, document)

    def _delete_version(self, arn: str, version: str) -> None:
        doing = f"delete version {version} of policy {arn}"
        self._aws.deleted("delete_policy_version", doing, PolicyArn=arn, VersionId=version)

    def _same_policy(self, name: str, path: str, document: object, tags: Mapping[str, str]) -> str:
        """Return the ARN of the policy that has the name already. Raises Conflict where its content is another."""
        found: list[dict[str, Any]] = []

        def shown() -> bool:
            listed = self._aws.pages("list_policies", "Policies", "list policies", Scope="Local")
            found.extend(policy for policy in listed if policy["PolicyName"] == name)
            return bool(found)

        self._until(f"policy {name}, which exists", shown)
        state = self._policy_state(found[0])
        if state is None or state.path != path:
            raise occupied(f"policy {name}", "under another path")
        if not same_document(state.document, document):
            raise occupied(f"policy {name}", "with another document")
        if not tags.items() <= state.tags.items():
            raise occupied(f"policy {name}", "without the tags that mark it as this cluster's")
        return state.arn


def _number(version: str) -> int:
    """Return the number of a version: `v12` comes after `v9`."""
    return int(version[1:]) if version[1:].isdecimal() else 0
