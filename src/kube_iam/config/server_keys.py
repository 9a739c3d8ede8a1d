"""The keys of the server's configuration file, each with its type, meaning and the field of `ServerConfig` that holds its value.

docs/reference/server-config.md is made of this table (`make docs-reference`). An unknown key in a file is a warning, so a key that is
missing here has no effect.
"""

from __future__ import annotations

from typing import NamedTuple

from kube_iam.config.mappings import MAPPING_KEYS


class Key(NamedTuple):
    """One key. `field` is a path of attributes of `ServerConfig`, empty where the value is not kept there. `meaning` is Markdown."""

    name: str
    kind: str
    meaning: str
    field: str = ""


CLUSTER_ID_KEY = Key(
    "clusterID",
    "text, required",
    "Id of the cluster. Tokens are made for it, so each cluster needs its own. `-i` and `KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID`"
    " go before it",
)
TOKEN_KEYS = ("defaultRole", "region", "role", "externalID", "sessionName", "forwardSessionName", "tokenOnly", "cache")
"""Keys of the `token` command, which may stand at the top of the same file."""

_PREFIXES = "list of `{backendMode, usernamePrefixReserveList}`"
_MAPPINGS = "see [mappings](../protocol.md#5-mappings)"

SERVER_KEYS = (
    Key("partition", "text", "AWS partition whose tokens are accepted", "partition"),
    Key(
        "hostname", "text", "Name under which kube-apiserver reaches the server; stands in the certificate", "hostname"
    ),
    Key("address", "IP address", "Address of the webhook's port", "address"),
    Key("port", "port", "Port of the webhook: `/authenticate`, `/metrics` and `/healthz` over TLS", "port"),
    Key("healthAddress", "IP address", "Address of the health port", "health_address"),
    Key("healthPort", "port", "Port of `/healthz` and `/readyz` over plain HTTP; not the webhook's", "health_port"),
    Key("stateDir", "directory", "Directory of `cert.pem` and `key.pem`", "state_dir"),
    Key("generateKubeconfig", "file", "Webhook kubeconfig that the server writes at start", "generate_kubeconfig"),
    Key("kubeconfigPregenerated", "true or false", "Do not write the webhook kubeconfig", "kubeconfig_pregenerated"),
    Key(
        "kubeconfig",
        "file",
        "How EKSConfigMap, CRD and the deny list reach the cluster; empty: as the pod",
        "kubeconfig",
    ),
    Key("master", "URL", "API server, in place of the one in `kubeconfig`", "master"),
    Key(
        "backendMode",
        "list, or text with commas",
        "Backends of mappings, in the order in which they are asked",
        "backend_mode",
    ),
    Key(
        "scrubbedAccounts",
        "list of account ids",
        "Accounts whose ids and ARNs are masked in logs, metrics and health answers, and whose users get no `extra`",
        "scrubbed_accounts",
    ),
    Key("reservedPrefixConfig", _PREFIXES, "Prefixes that user names of a backend must not have", "reserved_prefixes"),
    Key("ec2DescribeInstancesRoleARN", "ARN", "Role to assume for `ec2:DescribeInstances`", "ec2.role_arn"),
    Key(
        "sourceARN",
        "ARN",
        "Sent with that AssumeRole as `aws:SourceArn`, its account as `aws:SourceAccount`",
        "ec2.source_arn",
    ),
    Key("ec2DescribeInstancesQps", "number", "Calls to EC2 a second; 0: no limit", "ec2.qps"),
    Key("ec2DescribeInstancesBurst", "number", "Calls to EC2 at once", "ec2.burst"),
    Key("dynamicfilepath", "file", "JSON file of the backend DynamicFile", "dynamic_file"),
    Key("dynamicfileUserIDStrict", "true or false", "Match entries of that file by `userid`", "dynamic_file_user_ids"),
    Key(
        "dynamicBackendModePath",
        "file",
        "JSON file that replaces `backendMode` while the server runs",
        "backend_mode_path",
    ),
    Key("stsEndpoint", "host:port", "A further STS, for the sandbox: its owner decides who signs in", "sts_endpoint"),
    *(Key(name, "list", f"Entries of the backend MountedFile: {_MAPPINGS}") for name in MAPPING_KEYS),
    Key(
        "membershipRefresh",
        "duration",
        "Age at which IAM groups and roles are read again, 1s to 1h",
        "membership.refresh",
    ),
    Key(
        "membershipMaxAge",
        "duration",
        "Age up to which the last read counts while IAM cannot be read, 1s to 1h; not below `membershipRefresh`",
        "membership.max_age",
    ),
    Key(
        "denyList",
        "NAMESPACE/NAME",
        "ConfigMap of the [deny list](../deny-list.md); without it there is none",
        "deny_list",
    ),
)
"""The keys below `server:`, in the order of the reference page."""
