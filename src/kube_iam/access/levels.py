"""Access levels as an administrator writes them: one cluster, its mapping and its levels. Frozen values, no behaviour.

The owner of a resource is a level of this cluster, or another cluster: `ownership` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

DEFAULT_USERNAME = "awsiam:{{SessionNameRaw}}"
DEFAULT_USERNAME_OF_GROUP = "awsiam:{{UserName}}"
DEFAULT_USERNAME_OF_SYNCED_LEVEL = "awsiam:{level}:{{{{SessionNameRaw}}}}"
"""For `str.format`. The level is part of the name: with RBAC for users, a session has all rights of its user name.

So a session of one level must not have the user name of another level, whose role may ask for MFA.
"""
DEFAULT_USERNAME_OF_PERMISSION_SET = "sso:{{SessionNameRaw}}"
"""With a prefix of its own: a user of IAM Identity Center and an IAM user of the same name may be two people."""
DEFAULT_SESSION_SECONDS = 3600
SHORTEST_SESSION_NAME = 2
"""In characters: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""
MOST_TAGS = 50
"""Of a role or policy in IAM, without those of AWS: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
DEFAULT_NAMING = "{cluster}-{level}"


class Method(Enum):
    """The way in which users of a level sign in."""

    ROLE = "role"  # they assume the level's role
    GROUP = "group"  # they sign with their own keys; there is no role
    PERMISSION_SET = (
        "permissionSet"  # IAM Identity Center gives them a session; it manages the users, and IAM has nothing of ours
    )
    MAPPED_ROLE = "mappedRole"  # they have sessions of a role that others manage; IAM has nothing of ours

    @property
    def has_role(self) -> bool:
        """Return whether the mapping of a level of this method names the ARN of a role."""
        return self in (Method.ROLE, Method.MAPPED_ROLE)

    @property
    def is_in_iam(self) -> bool:
        """Return whether a level of this method has resources in IAM."""
        return self in (Method.ROLE, Method.GROUP)


DEFAULT_USERNAMES: Mapping[Method, str] = {
    Method.ROLE: DEFAULT_USERNAME,
    Method.GROUP: DEFAULT_USERNAME_OF_GROUP,
    Method.PERMISSION_SET: DEFAULT_USERNAME_OF_PERMISSION_SET,
    Method.MAPPED_ROLE: DEFAULT_USERNAME,
}
"""The user name of a level that has none of its own, by the level's method."""


class TargetKind(Enum):
    """Place from which the authenticator of this cluster reads its mapping."""

    CONFIG_FILE = "configFile"  # a ConfigMap holding the server's config.yaml (kOps, kubeadm)
    AWS_AUTH = "awsAuth"  # the ConfigMap kube-system/aws-auth (EKS, backend EKSConfigMap)
    CRD = "crd"  # cluster-scoped objects IAMIdentityMapping (backend CRD)
    FILE = "file"  # a config.yaml on this machine
    ACCESS_ENTRIES = "accessEntries"  # access entries of the EKS API, which EKS's own authenticator reads

    @property
    def is_in_cluster(self) -> bool:
        """Return whether the mapping is an object of the Kubernetes API."""
        return self not in (TargetKind.FILE, TargetKind.ACCESS_ENTRIES)

    @property
    def takes_permission_sets(self) -> bool:
        """Return whether the authenticator of this place knows entries of permission sets (`sso`)."""
        return self in (TargetKind.CONFIG_FILE, TargetKind.FILE)


@dataclass(frozen=True, slots=True)
class MappingTarget:
    """A ConfigMap (`namespace`, `name`, `key`), for FILE a local `path`, or for CRD the objects of the cluster.

    For ACCESS_ENTRIES `name` is the name of the EKS cluster.
    """

    kind: TargetKind
    namespace: str = "kube-system"
    name: str = "aws-iam-authenticator"
    key: str = "config.yaml"
    path: str = ""

    def describe(self) -> str:
        """Return the target as a person would name it."""
        if self.kind is TargetKind.FILE:
            return self.path
        if self.kind is TargetKind.CRD:
            return "IAMIdentityMapping objects"
        if self.kind is TargetKind.ACCESS_ENTRIES:
            return f"EKS cluster {self.name} (access entries)"
        return f"ConfigMap {self.namespace}/{self.name}"


AWS_AUTH = MappingTarget(TargetKind.AWS_AUTH, "kube-system", "aws-auth", "mapRoles")
OBJECTS = MappingTarget(TargetKind.CRD, "", "", "")


def access_entries(eks_name: str) -> MappingTarget:
    """Return the access entries of the EKS cluster with that name."""
    return MappingTarget(TargetKind.ACCESS_ENTRIES, "", eks_name, "")


@dataclass(frozen=True, slots=True)
class Bind:
    """One grant of RBAC: a ClusterRole or a namespaced Role, in `namespaces`, or cluster-wide if that is empty."""

    cluster_role: str = ""
    role: str = ""
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberList:
    """Members of a level as the file lists them. `line` is the line of the list in the file, `lines` are those of the names.

    `source` is the path of that file where the access file is a directory.
    """

    users: tuple[str, ...]
    line: int = field(default=0, compare=False)
    lines: tuple[int, ...] = field(default=(), compare=False)
    source: str = field(default="", compare=False)

    def __contains__(self, user: str) -> bool:
        """Return whether the list has the user. IAM does not tell names apart by letter case."""
        return user.casefold() in {name.casefold() for name in self.users}


@dataclass(frozen=True, slots=True)
class Level:
    """One level of access with every default filled in. Paths begin and end with `/`; `session_seconds` is 3600 to 43200.

    A role or group is `existing` if it is not kube-iam's: it is never created, changed or deleted. IAM alone knows the path and the
    session length of an existing role: `kube_iam.access.existing` fills them in. `tags` are pairs for the policy and the role.
    """

    name: str
    username: str
    groups: tuple[str, ...]
    bind: tuple[Bind, ...]
    role_name: str
    policy_name: str
    group_name: str
    role_path: str = "/"
    path: str = "/"  # of the policy and the group; ends in kube-iam/<cluster>/, which marks the group as ours
    mfa: bool = False
    session_seconds: int = DEFAULT_SESSION_SECONDS
    description: str = ""
    method: Method = Method.ROLE  # with GROUP the fields about role, MFA and sessions mean nothing
    permission_set: str = ""  # with PERMISSION_SET, for which names in IAM are empty
    mapped_role: str = (
        ""  # with MAPPED_ROLE, for which names in IAM are empty: the ARN of the role, perhaps with a path
    )
    members: MemberList | None = None  # None: `grant` and `revoke` change the members
    existing_role: bool = False
    existing_group: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    permissions_boundary: str | None = None  # of the role: a policy's ARN, "" for none, None to leave it as it is
    checks_sign_in: bool | None = None  # None: as the file says
    syncs_members: bool | None = None  # None: as the file says


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """A whole access.yaml, or all files of a directory. `name` is the short cluster name used in IAM names.

    `source` is the path of the file or directory, `places` the file and line of each setting of a directory by its key (`cluster.id`).
    `certificate_authority` is PEM text.

    `checks_sign_in`: each sign-in with a role session requires current membership in the IAM group; otherwise the session is enough.
    `syncs_members`: the bindings of a level with a role name each member, and `kube-iam sync` keeps them equal to the IAM group.
    `install_hint` is shown to people who lack the program that signs in; empty means the program's own hint. `naming` is the
    template of the names in IAM that the levels do not give.
    """

    source: str
    cluster_id: str
    name: str
    account: str
    partition: str
    region: str
    endpoint: str
    certificate_authority: str
    mapping: MappingTarget
    levels: tuple[Level, ...]
    path_prefix: str = "/"
    checks_sign_in: bool = True
    syncs_members: bool = False
    install_hint: str = ""
    naming: str = DEFAULT_NAMING
    places: Mapping[str, str] = field(default_factory=dict, compare=False)

    def place(self, key: str) -> str:
        """Return where a setting stands: the file, in a directory with the line, or the directory where no file states it."""
        return self.places.get(key, self.source)

    def place_of(self, members: MemberList, line: int | None = None) -> str:
        """Return where a list of members stands, or the line in it, for messages."""
        return f"{members.source or self.source}, line {members.line if line is None else line}"

    @property
    def path(self) -> str:
        """The IAM path of all groups and policies of this cluster, and of nothing else."""
        return f"{self.path_prefix}kube-iam/{self.name}/"

    @property
    def iam_levels(self) -> tuple[Level, ...]:
        """The levels that have resources in IAM: all but those of permission sets and mapped roles."""
        return tuple(level for level in self.levels if level.method.is_in_iam)

    @property
    def uses_existing(self) -> bool:
        """Whether a level uses a role or group that is not kube-iam's."""
        return any(level.existing_role or level.existing_group for level in self.levels)

    @property
    def uses_sync(self) -> bool:
        """Whether the bindings of a level name its members."""
        return self.syncs_members or any(level.syncs_members for level in self.levels)

    @property
    def name_pattern(self) -> str:
        """The names that levels have by default, with `*` for the level. Empty if they are not told from names of other clusters."""
        return expand_naming(self.naming, self.name, "*") if "{cluster}" in self.naming else ""

    def is_default_name(self, name: str) -> bool:
        """Return whether `name_pattern` matches a name in IAM."""
        before, star, after = self.name_pattern.partition("*")
        return bool(star) and len(name) >= len(before + after) and name.startswith(before) and name.endswith(after)

    def asks_membership(self, level: Level) -> bool:
        """Return whether the server reads IAM for the sign-ins of a level."""
        checked = self.checks_sign_in if level.checks_sign_in is None else level.checks_sign_in
        return level.method is Method.GROUP or (checked and level.method is Method.ROLE)

    def is_synced(self, level: Level) -> bool:
        """Return whether the bindings of a level name its members (`membershipCheck: rbac`)."""
        synced = self.syncs_members if level.syncs_members is None else level.syncs_members
        return synced and level.method is Method.ROLE

    def level(self, name: str) -> Level | None:
        """Return the level of that name, or None."""
        return next((level for level in self.levels if level.name == name), None)


class Standing(Enum):
    """The certainty with which the owner of a thing is known."""

    MARKED = "marked as this cluster's"
    UNMARKED = "this cluster's by two marks, without the tag that says so"
    OTHER = "another cluster's"
    EXISTING = "not kube-iam's, as the file says or said"
    UNKNOWN = "not known to be kube-iam's"
    NOT_READ = "not read, or dependent on something that was not read"


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of one thing. `level` is set for this cluster's things, as far as it is known; `cluster` names another cluster.

    Of `NOT_READ` only `is_read` may be asked. The other properties raise ValueError: "not ours" would be a guess.
    """

    standing: Standing
    level: str = ""
    cluster: str = ""

    @property
    def is_read(self) -> bool:
        """Return whether enough was read to know the owner."""
        return self.standing is not Standing.NOT_READ

    @property
    def is_ours(self) -> bool:
        """Return whether the thing is this cluster's, with or without its tag."""
        return self._known in (Standing.MARKED, Standing.UNMARKED)

    @property
    def is_marked(self) -> bool:
        """Return whether the thing carries this cluster's mark."""
        return self._known is Standing.MARKED

    @property
    def is_existing(self) -> bool:
        """Return whether the thing is a role or group that a level uses and that is not kube-iam's."""
        return self._known is Standing.EXISTING

    @property
    def is_other(self) -> bool:
        """Return whether the thing is another cluster's."""
        return self._known is Standing.OTHER

    @property
    def _known(self) -> Standing:
        if self.standing is Standing.NOT_READ:
            raise ValueError("the owner of something that was not read")
        return self.standing


UNKNOWN = Owner(Standing.UNKNOWN)
NOT_READ = Owner(Standing.NOT_READ)


def expand_naming(template: str, cluster: str, level: str) -> str:
    """Return the name in IAM that a template gives to a level: `{cluster}` and `{level}` are replaced."""
    return template.replace("{cluster}", cluster).replace("{level}", level)


def user_policy_name(cluster_name: str, level_name: str) -> str:
    """Return the name of a user's own policy for temporary access to the level's role."""
    return f"kube-iam-{cluster_name}-{level_name}"
