"""Reads of IAM about one user and the roles that it may assume, each made once. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar, cast

from kube_iam.access.ports import Directory, HeldPolicy, Holder, RoleState, User
from kube_iam.errors import KubeIamError, NotFound

Read = TypeVar("Read")


class Reads:
    """Results of reads by name. What fails is not tried again: its error is raised each time."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, ...], object] = {}

    def once(self, key: tuple[str, ...], read: Callable[[], Read]) -> Read:
        """Return the result of `read`, which is called once for the key. Raises the KubeIamError that it raised."""
        if key not in self._results:
            try:
                self._results[key] = read()
            except KubeIamError as error:
                self._results[key] = error
        found = self._results[key]
        if isinstance(found, KubeIamError):
            raise found
        return cast(Read, found)


class IamFacts:
    """The reads. Each method raises KubeIamError where IAM does not tell."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._reads = Reads()

    def user(self, name: str) -> User | None:
        """Return the user, or None if there is none."""
        return self._reads.once(("user", name), lambda: self.directory.user(name))

    def groups_of(self, user: str) -> frozenset[str]:
        """Return the names of the user's groups."""
        return self._reads.once(("groups", user), lambda: self.directory.groups_of(user))

    def members(self, group: str) -> tuple[User, ...] | None:
        """Return the members of a group, or None if there is no such group."""

        def read() -> tuple[User, ...] | None:
            try:
                return self.directory.members(group)
            except NotFound:
                return None

        return self._reads.once(("members", group), read)

    def role(self, name: str) -> RoleState | None:
        """Return the role, or None if there is none."""
        return self._reads.once(("role", name), lambda: self.directory.role(name))

    def role_id(self, name: str) -> str:
        """Return the unique id of the role, empty if there is none."""
        return self._reads.once(("role id", name), lambda: self.directory.role_id(name))

    def policies(self, user: str) -> tuple[HeldPolicy, ...]:
        """Return the policies of a user and of its groups."""

        def read() -> tuple[HeldPolicy, ...]:
            holders = [Holder("user", user), *(Holder("group", name) for name in sorted(self.groups_of(user)))]
            found = self.directory.each(self.directory.held_policies, holders)
            return tuple(policy for policies in found for policy in policies)

        return self._reads.once(("policies", user), read)

    def document(self, arn: str) -> object | None:
        """Return the document of a managed policy, or None if there is none."""
        return self._reads.once(("document", arn), lambda: self.directory.policy_document(arn))

    def read_roles(self, names: Iterable[str]) -> None:
        """Read these roles and their ids in parallel, so that nothing waits for one at a time. Raises nothing."""
        roles = tuple(dict.fromkeys(names))
        self._read_all((*((self.role, name) for name in roles), *((self.role_id, name) for name in roles)))

    def read_groups(self, names: Iterable[str]) -> None:
        """Read the members of these groups in parallel. Raises nothing."""
        self._read_all((self.members, name) for name in dict.fromkeys(names))

    def _read_all(self, reads: Iterable[tuple[Callable[[str], object], str]]) -> None:
        def read(pair: tuple[Callable[[str], object], str]) -> None:
            with suppress(KubeIamError):  # which the method raises again when it is called
                pair[0](pair[1])

        self.directory.each(read, reads)
