"""The JSON Schema of access.yaml. Editors complete and check with it, and `structure` checks a file against it.

Draft 2020-12. `patternErrorMessage` is the key by which editors explain a pattern. Our own messages use it too.
"""

from __future__ import annotations

from typing import Any

API_VERSION = "kube-iam.dev/v1alpha1"
KIND = "ClusterAccess"
SCHEMA_ID = "https://kube-iam.dev/schemas/access.v1alpha1.schema.json"

IAM_NAME = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9_+=,.@-]+$",
    "patternErrorMessage": "an IAM name, not an ARN: letters, digits and _+=,.@- only",
}
_USER_NAME = {
    "type": "string",
    "pattern": IAM_NAME["pattern"],
    "maxLength": 64,
    "patternErrorMessage": "the name of an IAM user, not an ARN: letters, digits and _+=,.@- only",
}
IAM_PATH = {
    "type": "string",
    "pattern": r"^/([!-.0-~]+/)*$",
    "maxLength": 300,
    "patternErrorMessage": "an IAM path begins and ends with /, as in /teams/platform/",
    "default": "/",
}
_SHORT_NAME = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
    "maxLength": 63,
    "patternErrorMessage": "letters, digits and . _ - only, with a letter or digit at both ends",
}
_OBJECT_NAME = {
    "type": "string",
    "pattern": r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
    "maxLength": 253,
    "patternErrorMessage": "a Kubernetes name has lowercase letters, digits, . and - only",
}
_ROLE_REFERENCE = {
    "type": "string",
    "pattern": r"^[^/%\s]+$",
    "maxLength": 190,
    "patternErrorMessage": "the name of an RBAC role, without / or %",
}
_NAMESPACE = {
    "type": "string",
    "pattern": r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    "maxLength": 63,
    "patternErrorMessage": "a namespace has lowercase letters, digits and - only",
}


_BOUNDARY = {
    "type": "string",
    "pattern": r"^(none|arn:[a-z-]+:iam::([0-9]{12}|aws):policy/([!-.0-~]+/)*[A-Za-z0-9_+=,.@-]+)$",
    "patternErrorMessage": "the ARN of a policy, such as arn:aws:iam::123456789012:policy/developer-boundary, or none",
    "examples": ["arn:aws:iam::123456789012:policy/developer-boundary"],
}
_TAGS = {
    "type": "object",
    "properties": {},
    "additionalProperties": {"type": "string", "maxLength": 256},
    "propertyNames": {"minLength": 1, "maxLength": 128},
    "examples": [{"CostCenter": "platform"}],
}
_MEMBERSHIP_CHECK = {"enum": ["signIn", "assumeRole", "rbac"]}


def _object(description: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "properties": properties,
        **more,
    }


def _with(base: dict[str, Any], description: str, **more: Any) -> dict[str, Any]:
    return {**base, "description": description, **more}


_CLUSTER = _object(
    "The cluster that people sign in to.",
    {
        "id": {
            "type": "string",
            "description": "The cluster id that the authenticator on the cluster runs with (clusterID, --cluster-id). "
            "Each cluster needs its own: a token for one id is worthless for another.",
            "pattern": r"^[A-Za-z0-9][A-Za-z0-9._:/=+@-]*$",
            "maxLength": 256,
            "patternErrorMessage": "letters, digits and . _ : / = + @ - only",
            "examples": ["prod.example.com"],
        },
        "name": _with(
            _SHORT_NAME,
            "Short name used in the names of IAM roles, policies and groups. Default: the id, made fit for IAM.",
            examples=["prod"],
        ),
        "endpoint": {
            "type": "string",
            "description": "URL of the API server. It goes into the kubeconfig files that `kube-iam kubeconfig` prints.",
            "pattern": r"^https://[^\s/?#@]+(/[^\s?#]*)?$",
            "patternErrorMessage": "a URL such as https://api.prod.example.com:6443",
            "examples": ["https://api.prod.example.com"],
        },
        "certificateAuthority": {
            "type": "string",
            "description": "PEM file with the API server's certificate authority, relative to this file.",
            "minLength": 1,
            "examples": ["prod-ca.pem"],
        },
        "certificateAuthorityData": {
            "type": "string",
            "description": "The same certificate authority as base64 of its PEM text, as kubeconfig files hold it.",
            "contentEncoding": "base64",
            "minLength": 1,
        },
    },
    required=["id"],
    **{"not": {"required": ["certificateAuthority", "certificateAuthorityData"]}},
)

_MAPPING = _object(
    "Where the authenticator on this cluster reads its mappings: exactly one of the five.",
    {
        "configFile": _object(
            "A ConfigMap that holds the server's config.yaml (kOps, kubeadm).",
            {
                "namespace": _with(_NAMESPACE, "Namespace of the ConfigMap.", default="kube-system"),
                "name": _with(_OBJECT_NAME, "Name of the ConfigMap.", default="aws-iam-authenticator"),
                "key": {
                    "type": "string",
                    "description": "Key of the ConfigMap that holds the file.",
                    "pattern": r"^[A-Za-z0-9._-]+$",
                    "patternErrorMessage": "a ConfigMap key has letters, digits and . _ - only",
                    "default": "config.yaml",
                },
            },
        ),
        "accessEntries": _object(
            "Access entries of EKS, for levels with a role. cluster.id is the name of the EKS cluster. EKS's own authenticator reads "
            "no IAM groups: membershipCheck is assumeRole. Entries of ours in aws-auth move here.",
            {},
        ),
        "awsAuth": _object("The ConfigMap kube-system/aws-auth (EKS, or backend EKSConfigMap).", {}),
        "crd": _object(
            "IAMIdentityMapping objects, one a level (backend CRD). Levels with method group need another mapping: the objects "
            "name roles and users.",
            {},
        ),
        "file": {
            "type": "string",
            "description": "A config.yaml of the server on this machine, relative to this file.",
            "minLength": 1,
            "examples": ["/etc/kubernetes/aws-iam-authenticator/config.yaml"],
        },
    },
    minProperties=1,
    maxProperties=1,
    default={"configFile": {}},
)

_BIND = _object(
    "One grant of RBAC to the level's groups.",
    {
        "clusterRole": _with(
            _ROLE_REFERENCE,
            "A ClusterRole; in `namespaces` only, or in the whole cluster where these are left out.",
            examples=["view", "edit", "cluster-admin"],
        ),
        "role": _with(_ROLE_REFERENCE, "A Role that exists in each of `namespaces`.", examples=["deployer"]),
        "namespaces": {
            "type": "array",
            "description": "The namespaces where the grant holds.",
            "items": _NAMESPACE,
            "minItems": 1,
            "uniqueItems": True,
            "examples": [["shop"]],
        },
    },
    oneOf=[{"required": ["clusterRole"]}, {"required": ["role", "namespaces"]}],
)

_LEVEL = _object(
    "A level of access: an IAM role, a policy that allows to assume it, an IAM group that has the policy, "
    "a mapping, and RBAC bindings.",
    {
        "name": _with(_SHORT_NAME, "What people call the level.", examples=["admin", "viewer"]),
        "method": {
            "enum": ["role", "group", "permissionSet", "mappedRole"],
            "description": "How the level's people sign in. role: they assume the level's role, once per session. group: there "
            "is no role, they sign with their own keys, and kube-iam's server looks them up in the level's IAM group "
            "(aws-iam-authenticator and EKS's own know no such mapping). permissionSet: they have the session that IAM Identity "
            "Center gives them for `permissionSet`, and it alone manages who they are. mappedRole: they have sessions of a role that "
            "others manage; kube-iam maps it, makes nothing in IAM and checks no membership.",
            "default": "role",
        },
        "description": {
            "type": "string",
            "description": "For people; also the description of the IAM role.",
            "pattern": r"^[\t\n\r -~¡-ÿ]*$",
            "maxLength": 1000,
            "patternErrorMessage": "IAM takes Latin-1 characters only in a description",
        },
        "groups": {
            "type": "array",
            "description": "Kubernetes groups of everyone at this level. Default: kube-iam:<level>.",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "uniqueItems": True,
            "examples": [["shop:admins"]],
        },
        "username": {
            "type": "string",
            "description": "Kubernetes user name. {{SessionNameRaw}} is the IAM user's name: the role's trust policy lets a "
            "session have no other. Also: {{SessionName}} (@ becomes -: two users can get one name), {{AccountID}}, {{AccessKeyID}}. "
            "With method group the user's name is {{UserName}}. EKS access entries refuse names that begin with system:, eks:, aws:, "
            "amazon: or iam:, and session names without a colon before them. Default: awsiam:{{SessionNameRaw}}, with method group "
            "awsiam:{{UserName}}, with method permissionSet sso:{{SessionNameRaw}}, where the session name is the user name in IAM "
            "Identity Center.",
            "minLength": 1,
            "examples": ["awsiam:{{SessionNameRaw}}", "prod:{{SessionNameRaw}}"],
        },
        "bind": {"type": "array", "description": "What the level's groups may do in the cluster.", "items": _BIND},
        "permissionSet": {
            "type": "string",
            "description": "Name of the permission set in IAM Identity Center, with method permissionSet. It is assigned in the "
            "file's account.",
            "pattern": r"^[A-Za-z0-9_+=,.@-]+$",
            "maxLength": 32,
            "patternErrorMessage": "the name of a permission set, not an ARN: letters, digits and _+=,.@- only",
            "examples": ["Ops"],
        },
        "mappedRole": {
            "type": "string",
            "description": "ARN of the role, with method mappedRole, also of another account. With the role's path, if it has one: "
            "`kubeconfig` needs it, and the mapping gets the ARN without it.",
            "pattern": r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]*[A-Za-z0-9_+=,.@-]$",
            "maxLength": 640,
            "patternErrorMessage": "the ARN of a role, such as arn:aws:iam::123456789012:role/operator",
            "examples": ["arn:aws:iam::123456789012:role/operator"],
        },
        "members": {
            "type": "array",
            "description": "IAM users who have the level, written as IAM writes them. `apply` makes the members of the IAM group "
            "equal to this list; an empty list removes all. Without the key, `grant` and `revoke` change the members.",
            "items": _USER_NAME,
            "uniqueItems": True,
            "examples": [["alice", "bob"]],
        },
        "mfa": {
            "type": "boolean",
            "description": "Whether the role can be assumed only by someone who signed in with MFA. Not with method group: "
            "what AWS tells about a signature does not say whether there was MFA.",
            "default": False,
        },
        "sessionDuration": {
            "type": "string",
            "description": "Longest session of the role, 1h to 12h. With membershipCheck: assumeRole, someone whose access is revoked "
            "keeps a session that was already assumed until it ends.",
            "minLength": 1,
            "numberErrorMessage": "has no unit of time",
            "default": "1h",
            "examples": ["1h", "90m"],
        },
        "membershipCheck": _with(
            _MEMBERSHIP_CHECK,
            "The same for this level alone. An existing role whose trust policy leaves the session name open needs assumeRole.",
        ),
        "iam": _object(
            "Names and settings in IAM, where the defaults do not fit.",
            {
                "role": _with(IAM_NAME, "Name of the role. Default: by iam.naming, <cluster name>-<level>."),
                "policy": _with(IAM_NAME, "Name of the policy. Default: by iam.naming, <cluster name>-<level>."),
                "group": _with(IAM_NAME, "Name of the group. Default: by iam.naming, <cluster name>-<level>."),
                "existing": {
                    "enum": [True, False, "role", "group"],
                    "description": "Whether the role and the group that are named beside it exist already and are not kube-iam's. "
                    "They are then never created, changed, moved or deleted: the level's policy is attached to the group, and "
                    "detached again. role, group: that one alone, where the other name is of one that kube-iam creates.",
                    "default": False,
                },
                "tags": _with(
                    _TAGS, "Tags of this level's policy and role, beside those of the file and in place of equal keys."
                ),
                "permissionsBoundary": _with(
                    _BOUNDARY, "Permissions boundary of this level's role, in place of the file's. none: it has none."
                ),
            },
        ),
    },
    required=["name"],
)

ACCESS_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": SCHEMA_ID,
    "title": "kube-iam access.yaml",
    **_object(
        "Who may enter one Kubernetes cluster: its levels of access.",
        {
            "apiVersion": {"const": API_VERSION, "description": "Version of this format."},
            "kind": {"const": KIND, "description": "What this file is."},
            "cluster": _CLUSTER,
            "account": {
                "type": "string",
                "description": "The AWS account of the roles and of the people: 12 digits, in quotes.",
                "pattern": r"^[0-9]{12}$",
                "patternErrorMessage": "an AWS account id has 12 digits",
                "examples": ["123456789012"],
            },
            "partition": {
                "enum": [
                    "aws",
                    "aws-cn",
                    "aws-us-gov",
                    "aws-iso",
                    "aws-iso-b",
                    "aws-iso-e",
                    "aws-iso-f",
                    "aws-eusc",
                ],
                "description": "The AWS partition. Default: the region's.",
                "examples": ["aws"],
            },
            "region": {
                "type": "string",
                "description": "Region whose STS the people's tokens name.",
                "pattern": r"^[a-z]{2,5}(-[a-z]+)+-[0-9]+$",
                "patternErrorMessage": "an AWS region such as eu-central-1",
                "examples": ["eu-central-1"],
            },
            "mapping": _MAPPING,
            "membershipCheck": {
                **_MEMBERSHIP_CHECK,
                "description": "When membership in the IAM group of a level with a role is checked. signIn: at each sign-in, by "
                "kube-iam's server, which reads IAM. assumeRole: only by AWS, when the role is assumed; a session then signs in "
                "until it ends. For servers that may not read IAM. rbac: the level's bindings name each member, and `kube-iam sync` "
                "keeps them equal to the IAM group (docs/sync.md). Other servers (aws-iam-authenticator, EKS's own) know assumeRole "
                "and rbac only.",
                "default": "signIn",
            },
            "iam": _object(
                "Paths, names and settings in IAM.",
                {
                    "pathPrefix": _with(
                        IAM_PATH, "Policies and groups live below <pathPrefix>kube-iam/<cluster name>/.", default="/"
                    ),
                    "rolePath": _with(IAM_PATH, "Path of the roles.", default="/"),
                    "naming": {
                        "type": "string",
                        "description": "Template of the names of roles, policies and groups that a level does not name. {level} is "
                        "the level, {cluster} the cluster's short name. A change of the template renames them.",
                        "minLength": 1,
                        "default": "{cluster}-{level}",
                        "examples": ["k8s-{cluster}-{level}"],
                    },
                    "tags": _with(
                        _TAGS, "Tags of all policies and roles that kube-iam creates. Tags of others are left alone."
                    ),
                    "permissionsBoundary": _with(
                        _BOUNDARY,
                        "Permissions boundary of all roles that kube-iam creates. none: they have none. Left out: a boundary that "
                        "others set is left alone.",
                    ),
                },
            ),
            "installHint": {
                "type": "string",
                "description": "Text that kubectl shows where the program that signs in is not installed: how your people get it. "
                "`kube-iam kubeconfig` writes it into kubeconfig files. Default: points to kube-iam's repository.",
                "pattern": r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$",
                "patternErrorMessage": "takes text and line breaks: kubectl writes it to the terminal as it is",
                "minLength": 1,
                "maxLength": 2000,
                "examples": ["Install kube-iam: https://wiki.example.com/kube-iam"],
            },
            "levels": {
                "type": "array",
                "description": "The levels of access. Taking one out of the file takes it out of AWS and the cluster.",
                "items": _LEVEL,
                "minItems": 1,
            },
        },
        required=["apiVersion", "kind", "cluster", "account", "region", "levels"],
    ),
}
