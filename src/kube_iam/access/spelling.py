"""Names that differ from existing ones in letter case only.

IAM shows letter case and does not tell names apart by it: "names are not distinguished by case". So nothing can be created under the
new spelling while the old one exists, and the role ARN, which every session and policy repeats, keeps its spelling.
"""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.changes import Kind
from kube_iam.access.desired import DesiredLevel
from kube_iam.access.foreign import Foreign
from kube_iam.access.observed import Observed


def respelled(observed: Observed, desired: tuple[DesiredLevel, ...]) -> Iterator[Foreign]:
    """Return every name of a level that exists in another spelling, with the remedy: to write the present spelling into the file."""
    present = {Kind.POLICY: {policy.name.casefold(): policy.name for policy in observed.policies}}
    present[Kind.POLICY] |= {policy.name.casefold(): policy.name for policy in observed.elsewhere.values()}
    present[Kind.ROLE] = {key: role.name for key, role in observed.roles.items()}
    present[Kind.GROUP] = {key: group.name for key, group in observed.groups.items()}
    for level in desired:
        names = {Kind.POLICY: level.policy.name, Kind.GROUP: level.group.name}
        if level.role is not None:
            names[Kind.ROLE] = level.role.name
        for kind, name in names.items():
            spelled = present[kind].get(name.casefold(), name)
            if spelled != name:
                why = f"differs from {name} in letter case only, and IAM does not tell the two apart"
                remedy = f"set iam.{kind.value} of level {level.name} to {spelled}"
                yield Foreign(kind, spelled, why, remedy, adoptable=False)
