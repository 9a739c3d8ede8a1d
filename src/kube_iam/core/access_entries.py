"""Rules of EKS access entries for user names and groups.

Source for user names: EKS User Guide, "Create access entries" and "Set a custom username for EKS access entries". For groups the
guide has no rule, and CreateAccessEntry refuses the same prefixes: "The kubernetes group name system:masters is invalid, it cannot
start with system:". AWS documents none of these rules for the ConfigMap aws-auth, where user names of nodes begin with `system:`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kube_iam.core.templates import prefix_of

STANDARD = "STANDARD"
"""The type of entries for people. All other types are for nodes: EC2_LINUX, EC2_WINDOWS, EC2, FARGATE_LINUX, HYBRID_LINUX and more."""
RESERVED_PREFIXES = ("system:", "eks:", "aws:", "amazon:", "iam:")
SESSION_NAMES = ("{{SessionName}}", "{{SessionNameRaw}}")


def access_entry_refusals(username: str, groups: Iterable[str] = ()) -> Iterator[str]:
    """Yield why EKS refuses an access entry with this user name, which may be a template, and these groups.

    Yields nothing where these rules find no fault.
    """
    prefix = prefix_of(username, RESERVED_PREFIXES)
    if prefix:
        yield f"user name {username} begins with {prefix}"
    for variable in SESSION_NAMES:
        before, found, _ = username.partition(variable)
        # The colon may stand anywhere before the variable: `jo:hn{{SessionName}}` is an example of the guide.
        if found and ":" not in before:
            yield f"user name {username} has no colon before {variable}"
    for group in groups:
        prefix = prefix_of(group, RESERVED_PREFIXES)
        if prefix:
            yield f"group {group} begins with {prefix}"
