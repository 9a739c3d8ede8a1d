"""The checks of an access report, and the shape of what they find: codes, reasons, and the sources that each check rests on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    """Urgency of a finding, the most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Source(Enum):
    """A thing that checks rest on, as sentences name it."""

    MAPPING = "the mapping"
    IAM = "IAM"
    RBAC = "RBAC"
    MEMBERS = "the members of levels"
    DRIFT = "the plan of apply"
    DENY_LIST = "the deny list"


class CheckRow(NamedTuple):
    """One check: its stable code, its title, the reason for which it matters, and the sources that it rests on."""

    code: str
    title: str
    why: str
    sources: tuple[Source, ...]


class Check(Enum):
    """All checks, in the order of the report."""

    MAPPING_NOT_LOADED = CheckRow(
        "mapping_not_loaded",
        "Mapping that a server cannot load",
        "A server keeps the mapping that it loaded last. Removals have no effect either, and a restarted server admits nobody.",
        (Source.MAPPING,),
    )
    MASTERS = CheckRow(
        "masters_group",
        "Members of system:masters",
        "kube-apiserver allows this group everything before it asks RBAC. No binding limits it or takes it away.",
        (Source.MAPPING,),
    )
    CLUSTER_ADMIN = CheckRow(
        "cluster_admin",
        "Bindings to cluster-admin",
        "ClusterRole cluster-admin allows everything, secrets and rights of others included.",
        (Source.RBAC, Source.MAPPING, Source.IAM),
    )
    WILDCARD = CheckRow(
        "wildcard_rights",
        "Wildcards in rules",
        "A rule for all resources of all API groups is cluster-admin by another name, and also covers what is installed later.",
        (Source.RBAC, Source.MAPPING, Source.IAM),
    )
    ESCALATION = CheckRow(
        "escalation_rights",
        "Verbs bind, escalate and impersonate",
        "Who has one of these verbs can get rights that they do not have now, up to all rights in the cluster.",
        (Source.RBAC, Source.MAPPING, Source.IAM),
    )
    SECRETS = CheckRow(
        "secrets_access",
        "Access to secrets",
        "Secrets hold tokens of service accounts and passwords of applications. Who reads them can act as those.",
        (Source.RBAC, Source.MAPPING, Source.IAM),
    )
    ROLE_OPEN_TO_ANYBODY = CheckRow(
        "role_open_to_anybody",
        "Roles that anybody in AWS may assume",
        "A trust policy with the principal * lets every AWS account assume the role, as far as no condition holds.",
        (Source.MAPPING, Source.IAM),
    )
    ROLE_OPEN_TO_MORE = CheckRow(
        "role_open_to_more",
        "Roles that more principals can assume than the group",
        "The members of a level are those of its IAM group. Others who can assume its role are in no list of members.",
        (Source.MAPPING, Source.IAM),
    )
    LEVEL_POLICY_ELSEWHERE = CheckRow(
        "level_policy_elsewhere",
        "Policies of levels that others have too",
        "The policy of a level lets its holder assume the level's role. Only the level's group should have it.",
        (Source.MEMBERS,),
    )
    ROLE_WITHOUT_GROUP = CheckRow(
        "role_without_group",
        "Mapped roles without a group",
        "IAM policies decide alone who signs in. No IAM group lists these people; grant and revoke do not reach them.",
        (Source.MAPPING, Source.IAM),
    )
    SESSION_NAME_UNRESTRICTED = CheckRow(
        "session_name_unrestricted",
        "Session names that the caller may choose",
        "User name or membership come from the session name. A caller who may choose it can act under the name of another.",
        (Source.MAPPING, Source.IAM),
    )
    USER_ENTRY = CheckRow(
        "user_entry",
        "Users who are mapped beside all groups",
        "An entry of mapUsers admits one IAM user, whatever groups the user is in. Leaving a group does not end that access.",
        (Source.MAPPING,),
    )
    ACCOUNT_ENTRY = CheckRow(
        "account_entry",
        "Accounts that are mapped as a whole",
        "mapAccounts admits every IAM user and role of the account under its ARN. They have the rights of everybody who signs in.",
        (Source.MAPPING,),
    )
    TEMPORARY_OVER = CheckRow(
        "temporary_access_over",
        "Temporary access that is over and was not removed",
        "It admits nobody any more. What is left of it in the mapping and in IAM hides what is in force.",
        (Source.MAPPING,),
    )
    TEMPORARY_VOID = CheckRow(
        "temporary_access_void",
        "Temporary access of users who are gone",
        "The user was deleted, or another user has the name by now. The server admits neither, by the unique id in the entry.",
        (Source.MEMBERS, Source.MAPPING),
    )
    TRUST_OF_DELETED = CheckRow(
        "trust_of_deleted",
        "Trust policies with deleted principals",
        "IAM shows the unique id of a principal that was deleted. It trusts nobody, and hides what the policy was meant for.",
        (Source.MAPPING, Source.IAM),
    )
    ENTRY_NEVER_MATCHES = CheckRow(
        "entry_never_matches",
        "Entries that match nobody",
        "The entry admits nobody now. If its role, user or group is created later, that one has the access of the entry.",
        (Source.MAPPING, Source.IAM),
    )
    ENTRY_NAMES_REFUSED = CheckRow(
        "entry_names_refused",
        "Entries whose names the server refuses",
        "The server refuses every sign-in by this entry, because of the user name or a group that it gives.",
        (Source.MAPPING,),
    )
    ENTRY_SHADOWED = CheckRow(
        "entry_shadowed",
        "Entries that an earlier one hides",
        "The server applies the first entry of a principal. Removing that one puts the hidden one in force.",
        (Source.MAPPING,),
    )
    ENTRY_DUPLICATE = CheckRow(
        "entry_duplicate",
        "Entries that repeat an earlier one",
        "Removing one of the two does not end the access that both give.",
        (Source.MAPPING,),
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `item` is the object that it is about, `detail` the evidence, `remedy` a command or an edit."""

    check: Check
    severity: Severity
    item: str
    detail: str
    remedy: str


class CheckState(Enum):
    """Whether a check saw everything that it rests on."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check with its findings. `missing` are the sources that were not read in whole or in part."""

    check: Check
    state: CheckState
    findings: tuple[Finding, ...] = ()
    missing: tuple[Source, ...] = ()
