"""The table of causes: for each fault that `kube-iam doctor` names, its symptom, the log line, the cause and the remedy.

docs/troubleshooting.md is made from this table (tools/reference.py). Codes are stable: programs read them.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Row(NamedTuple):
    """One row of the table. `symptom` is what kubectl prints, `log` what the server logs; `-` where there is nothing.

    All texts are Markdown, and `remedy` is printed by the command too.
    """

    code: str
    step: int
    symptom: str
    log: str
    cause: str
    remedy: str


_NOT_SENT = "-"
_401 = "`You must be logged in to the server (Unauthorized)`"
_PLUGIN_FAILS = "`getting credentials: exec: executable … failed with exit code 1`"
_NOT_FOUND = "`exec: executable … not found`"
_NO_CONNECTION = "Unable to connect to the server"
_WEBHOOK = "Post … failed"


class Cause(Enum):
    """A fault that a check can name."""

    KUBECONFIG_MISSING = Row(
        "kubeconfig_missing", 1, "`connection refused` for `localhost:8080`", _NOT_SENT,
        "There is no kubeconfig where kubectl looks for one",
        "`kube-iam kubeconfig LEVEL --merge`, or set KUBECONFIG",
    )  # fmt: skip
    KUBECONFIG_INVALID = Row(
        "kubeconfig_invalid", 1, "`error loading config file`", _NOT_SENT,
        "The kubeconfig cannot be used",
        "Correct the place that the message names",
    )  # fmt: skip
    CONTEXT_MISSING = Row(
        "context_missing", 1, "`context was not found for specified context`", _NOT_SENT,
        "The kubeconfig has no such context, or no current one",
        "Choose one with `--context`, or add the level with `kube-iam kubeconfig LEVEL --merge`",
    )  # fmt: skip
    CONTEXT_UNSUPPORTED = Row(
        "context_unsupported", 1, _NOT_SENT, _NOT_SENT,
        "The context has a setting with which kubectl acts as another user, or trusts another server, than kube-iam would",
        "Choose another context",
    )  # fmt: skip
    NO_EXEC_PLUGIN = Row(
        "no_exec_plugin", 1, "none, or `Please enter Username`", _NOT_SENT,
        "The user of the context signs in without an exec plugin, so kube-iam is not asked",
        "Choose the context of a level, or add it with `kube-iam kubeconfig LEVEL --merge`",
    )  # fmt: skip
    PLUGIN_INVALID = Row(
        "plugin_invalid", 1, "`exec plugin: invalid apiVersion`, or `getting credentials: …`", _NOT_SENT,
        "The `exec` section of the kubeconfig cannot be used: its apiVersion, command or arguments",
        "Correct it, or write it anew with `kube-iam kubeconfig LEVEL --merge`",
    )  # fmt: skip
    PLUGIN_MISSING = Row(
        "plugin_missing", 1, _NOT_FOUND, _NOT_SENT,
        "The program that the kubeconfig names is not on the PATH, or may not be run",
        "Install it, or put its directory on the PATH",
    )  # fmt: skip
    CLUSTER_ID_DIFFERS = Row(
        "cluster_id_differs", 1, _401, "`reason=sts_signature_mismatch`",
        "The cluster id in the kubeconfig (`-i`) is not the cluster's",
        "Write the entry anew with `kube-iam kubeconfig LEVEL --merge`",
    )  # fmt: skip
    PROFILE_MISSING = Row(
        "profile_missing", 2, _PLUGIN_FAILS, _NOT_SENT,
        "There is no AWS profile of that name in ~/.aws/config and ~/.aws/credentials",
        "See `aws configure list-profiles`; correct AWS_PROFILE, or `env` of the kubeconfig's exec section",
    )  # fmt: skip
    CREDENTIALS_MISSING = Row(
        "credentials_missing", 2, _PLUGIN_FAILS, _NOT_SENT,
        "No source gives AWS credentials",
        "Set AWS_PROFILE, or run `aws configure` or `aws sso login`",
    )  # fmt: skip
    CREDENTIALS_UNUSABLE = Row(
        "credentials_unusable", 2, _PLUGIN_FAILS, _NOT_SENT,
        "A source of AWS credentials fails, or the AWS configuration cannot be used",
        "Correct the variable, setting or file that the message names",
    )  # fmt: skip
    SIGN_IN_ENDED = Row(
        "sign_in_ended", 2, _PLUGIN_FAILS, _NOT_SENT,
        "The sign-in of IAM Identity Center or of `aws login` has ended",
        "`aws sso login` or `aws login` for this profile",
    )  # fmt: skip
    CREDENTIALS_EXPIRED = Row(
        "credentials_expired", 2, f"{_PLUGIN_FAILS}, or {_401}", "`reason=sts_session_expired`",
        "The temporary AWS credentials have expired",
        "Sign in to AWS again: `aws sso login`, or new temporary keys",
    )  # fmt: skip
    ACCESS_KEY_UNKNOWN = Row(
        "access_key_unknown", 2, f"{_PLUGIN_FAILS}, or {_401}", "`reason=sts_unknown_key`",
        "AWS does not know the access key: deleted, inactive, of another partition, or without its session token",
        "Use an active access key of this partition, with its session token if it is a temporary one",
    )  # fmt: skip
    SECRET_KEY_WRONG = Row(
        "secret_key_wrong", 2, f"{_PLUGIN_FAILS}, or {_401}", "`reason=sts_signature_mismatch`",
        "The secret access key does not belong to the access key id",
        "Set both again, as they were created together",
    )  # fmt: skip
    AWS_UNREACHABLE = Row(
        "aws_unreachable", 2, _PLUGIN_FAILS, _NOT_SENT,
        "STS cannot be reached from this machine, or does not answer",
        "Check the network, HTTPS_PROXY, NO_PROXY and AWS_CA_BUNDLE",
    )  # fmt: skip
    CLOCK_SKEW = Row(
        "clock_skew", 2, _401, "`reason=token_expired`, `date_in_future`, `sts_token_expired` or `sts_date_in_future`",
        "This machine's clock and that of AWS differ by more than tokens allow: 15 minutes behind, 5 minutes ahead",
        "Set this machine's clock by NTP",
    )  # fmt: skip
    ROLE_INVALID = Row(
        "role_invalid", 3, _PLUGIN_FAILS, _NOT_SENT,
        "The role of the kubeconfig (`-r`) is not the ARN of a role that can be assumed from here",
        "Write the entry anew with `kube-iam kubeconfig LEVEL --merge`",
    )  # fmt: skip
    IDENTITY_POLICY = Row(
        "identity_policy", 3, _PLUGIN_FAILS, _NOT_SENT,
        "No identity policy of the caller allows sts:AssumeRole on the role, or one denies it: for a level of kube-iam, the caller is"
        " not in its IAM group",
        "Ask an administrator for `kube-iam grant USER LEVEL`; correct AWS_PROFILE if this is not the identity that you meant",
    )  # fmt: skip
    TRUST_POLICY = Row(
        "trust_policy", 3, _PLUGIN_FAILS, _NOT_SENT,
        "The role's trust policy does not allow the caller, or denies it",
        "Ask an administrator to run `kube-iam plan`, which shows a changed trust policy",
    )  # fmt: skip
    PERMISSIONS_BOUNDARY = Row(
        "permissions_boundary", 3, _PLUGIN_FAILS, _NOT_SENT,
        "The caller's permissions boundary does not allow sts:AssumeRole on the role, or denies it",
        "Ask the administrator of the AWS account to allow it in the boundary",
    )  # fmt: skip
    ORGANIZATION_POLICY = Row(
        "organization_policy", 3, _PLUGIN_FAILS, _NOT_SENT,
        "A service control policy or resource control policy of the AWS organization does not allow sts:AssumeRole, or denies it",
        "Ask the administrator of the AWS organization",
    )  # fmt: skip
    SESSION_POLICY = Row(
        "session_policy", 3, _PLUGIN_FAILS, _NOT_SENT,
        "The session policy of the caller's own session, or the policy of a VPC endpoint, does not allow sts:AssumeRole, or denies it",
        "Use another session, or another way to STS",
    )  # fmt: skip
    SESSION_NAME = Row(
        "session_name", 3, _PLUGIN_FAILS, _NOT_SENT,
        "AWS refuses the session name of `-s`, and not the role: the role's trust policy wants the IAM user's name",
        "Leave `--session-name` out of the kubeconfig's arguments",
    )  # fmt: skip
    MFA_MISSING = Row(
        "mfa_missing", 3, _PLUGIN_FAILS, _NOT_SENT,
        "The role wants an MFA code, and none was given",
        "Set AWS_MFA_SERIAL to your device, or add `--mfa-serial ARN` to the kubeconfig's arguments, and run this in a terminal",
    )  # fmt: skip
    MFA_CODE_WRONG = Row(
        "mfa_code_wrong", 3, _PLUGIN_FAILS, _NOT_SENT,
        "AWS does not take the MFA code, or knows no such device of this user",
        "Wait for the next code: each works once. Check the device's ARN",
    )  # fmt: skip
    ROLE_REFUSED = Row(
        "role_refused", 3, _PLUGIN_FAILS, _NOT_SENT,
        "AWS refuses the role and does not say why: the role does not exist, its trust policy refuses the caller, or it wants an MFA"
        " code",
        "Compare the ARN with that of `kube-iam kubeconfig LEVEL`; set AWS_MFA_SERIAL if the level has `mfa: true`; then ask an"
        " administrator to run `kube-iam plan`",
    )  # fmt: skip
    ROLE_FAILED = Row(
        "role_failed", 3, _PLUGIN_FAILS, _NOT_SENT,
        "AWS does not give a session of the role, for another reason than a missing permission",
        "See the message of AWS",
    )  # fmt: skip
    SESSION_PREDATES_ROLE = Row(
        "session_predates_role", 3, _401, "`reason=session_predates_role`",
        "A cached session is of a role that was deleted and created again since",
        "`kube-iam logout`, then sign in again",
    )  # fmt: skip
    PLUGIN_FAILED = Row(
        "plugin_failed", 4, _PLUGIN_FAILS, _NOT_SENT,
        "The exec plugin ends with an error, or prints no credentials",
        "See what the plugin printed; run its command in a terminal",
    )  # fmt: skip
    TOKEN_INVALID = Row(
        "token_invalid", 4, _401, "the [reason](reference/reasons.md) of the check",
        "The token that the plugin printed does not pass the checks of a server",
        "Make the token with `kube-iam token`, and set one region for it: `--region` or AWS_REGION",
    )  # fmt: skip
    TOKEN_EXPIRED = Row(
        "token_expired", 4, _401, "`reason=token_expired`",
        "The plugin printed a token that has ended",
        "Remove what the plugin has cached: `kube-iam logout`",
    )  # fmt: skip
    TOKEN_REFUSED = Row(
        "token_refused", 4, _401, "`reason=sts_session_expired` or `reason=sts_unknown_key`",
        "STS refuses the token: the session or key that signed it has ended or was deleted since it was cached",
        "`kube-iam logout`, then sign in again",
    )  # fmt: skip
    SERVER_UNRESOLVED = Row(
        "server_unresolved", 5, f"`{_NO_CONNECTION}: dial tcp: lookup … no such host`", _NOT_SENT,
        "The name of the API server is not found in DNS",
        "Correct `server` of the kubeconfig, or connect to the network (VPN) whose DNS has the name",
    )  # fmt: skip
    SERVER_REFUSES_CONNECTIONS = Row(
        "server_refuses_connections", 5, "`The connection to the server … was refused`", _NOT_SENT,
        "Nothing listens at the address of the API server",
        "Correct `server` of the kubeconfig; else ask whether the API server runs",
    )  # fmt: skip
    SERVER_UNREACHABLE = Row(
        "server_unreachable", 5, f"`{_NO_CONNECTION}: … i/o timeout`", _NOT_SENT,
        "The API server cannot be reached, or does not answer in time",
        "Check the network: VPN, security group, HTTPS_PROXY and `proxy-url`",
    )  # fmt: skip
    CA_UNKNOWN = Row(
        "ca_unknown", 5, f"`{_NO_CONNECTION}: x509: certificate signed by unknown authority`", _NOT_SENT,
        "The API server's certificate is not of the authority in the kubeconfig, or a proxy opens TLS",
        "Write the cluster's entry anew with `kube-iam kubeconfig LEVEL --merge`; `server` may lead to another cluster",
    )  # fmt: skip
    CA_UNREADABLE = Row(
        "ca_unreadable", 5, "`unable to read certificate-authority`, or `unable to load root certificates`", _NOT_SENT,
        "The certificate authority in the kubeconfig cannot be read",
        "Correct `certificate-authority` or `certificate-authority-data` of the cluster",
    )  # fmt: skip
    CERTIFICATE_NAME = Row(
        "certificate_name", 5, f"`{_NO_CONNECTION}: x509: certificate is valid for …, not …`", _NOT_SENT,
        "The API server's certificate is for other names than the one in `server`",
        "Use a name of the certificate in `server`, or have this name added to it",
    )  # fmt: skip
    CERTIFICATE_TIME = Row(
        "certificate_time", 5, f"`{_NO_CONNECTION}: x509: certificate has expired or is not yet valid`", _NOT_SENT,
        "The API server's certificate has expired, or is not valid yet",
        "Have the certificate renewed; check this machine's clock",
    )  # fmt: skip
    NOT_AN_API_SERVER = Row(
        "not_an_api_server", 5, "`the server could not find the requested resource`", _NOT_SENT,
        "What answers at that address is no Kubernetes API server, or is not ready",
        "Correct `server` of the kubeconfig; is there a proxy in between?",
    )  # fmt: skip
    UNAUTHORIZED = Row(
        "unauthorized", 6, _401, "the [reason](reference/reasons.md), or nothing if kube-apiserver does not reach the server",
        "kube-apiserver does not accept the token, and tells users no reason: the identity has no mapping or is no member, the"
        " cluster id differs, or kube-apiserver does not reach or does not trust the authenticator",
        "Give an administrator the time, the ARN and the cluster id of this line: the reason is in the authenticator's log, or else"
        " in that of kube-apiserver",
    )  # fmt: skip
    NO_PERMISSIONS = Row(
        "no_permissions", 6, "`Error from server (Forbidden)`", _NOT_SENT,
        "The user is signed in, and RBAC allows nothing in the namespace but questions about the user itself",
        "Choose a namespace in which the level is bound: `kubectl config set-context --current --namespace NS`. Else ask an"
        " administrator to bind a role to one of these groups (`bind` of the level)",
    )  # fmt: skip
    OTHER_CLUSTER = Row(
        "other_cluster", 7, "any, or none", _NOT_SENT,
        "The kubeconfig context leads to another API server than the access file names",
        "Choose the cluster's context with `--context`, or its access file with `-f`",
    )  # fmt: skip
    ADMINISTRATOR_UNAUTHORIZED = Row(
        "administrator_unauthorized", 7, _401, "the [reason](reference/reasons.md), or nothing",
        "kube-apiserver does not accept the administrator's own credentials, so nothing can be asked",
        "Choose a context with other credentials, such as a client certificate. `kube-iam doctor` checks your own sign-in",
    )  # fmt: skip
    WEBHOOK_MISSING = Row(
        "webhook_missing", 8, _401, "nothing: kube-apiserver does not ask the server",
        "kube-apiserver has no token webhook, or another program than kube-iam answers it",
        "Start kube-apiserver with `--authentication-token-webhook-config-file`: [install.md](install.md)",
    )  # fmt: skip
    WEBHOOK_DOWN = Row(
        "webhook_down", 8, _401, f"nothing; kube-apiserver logs `{_WEBHOOK}: connection refused`",
        "Nothing answers at the address that kube-apiserver asks: the server is stopped, or the webhook's kubeconfig names another"
        " host or port",
        "Start the server on that control plane node, or see why it ended. Compare `server` of the webhook's kubeconfig with"
        " `address` and `port` of config.yaml",
    )  # fmt: skip
    WEBHOOK_UNTRUSTED = Row(
        "webhook_untrusted", 8, _401, f"nothing; kube-apiserver logs `{_WEBHOOK}: x509: certificate signed by unknown authority`",
        "kube-apiserver does not trust the server's certificate",
        "Give kube-apiserver the kubeconfig that the server wrote (`generateKubeconfig`), and restart kube-apiserver",
    )  # fmt: skip
    WEBHOOK_CERTIFICATE_NAME = Row(
        "webhook_certificate_name", 8, _401,
        f"nothing; kube-apiserver logs `{_WEBHOOK}: x509: certificate is valid for …, not …`",
        "The server's certificate is for another name or address than the one in the webhook's kubeconfig",
        "Set `hostname` of config.yaml to the name in the webhook's kubeconfig, and remove cert.pem and key.pem of the state"
        " directory, or correct `server` of that kubeconfig",
    )  # fmt: skip
    WEBHOOK_CERTIFICATE_TIME = Row(
        "webhook_certificate_time", 8, _401,
        f"nothing; kube-apiserver logs `{_WEBHOOK}: x509: certificate has expired or is not yet valid`",
        "The server's certificate has expired, or is not valid yet",
        "Renew the server's certificate; check the clock of that control plane node",
    )  # fmt: skip
    WEBHOOK_ADDRESS = Row(
        "webhook_address", 8, _401, f"nothing; kube-apiserver logs `{_WEBHOOK}` and an answer that is no TokenReview",
        "Another program than the server answers at the address that kube-apiserver asks",
        "Correct `server` of the webhook's kubeconfig: the server's address and port, with the path /authenticate",
    )  # fmt: skip
    WEBHOOK_TIMEOUT = Row(
        "webhook_timeout", 8, _401, f"kube-apiserver logs `{_WEBHOOK}: context deadline exceeded`",
        "The server does not answer kube-apiserver in time",
        "See the server's log on that control plane node, and whether the server reaches STS",
    )  # fmt: skip
    WEBHOOK_ERROR = Row(
        "webhook_error", 8, _401, "`reason=mappings_not_loaded`, or an `unexpected error`",
        "The server answers kube-apiserver with an error: it is starting, or it fails",
        "Repeat the command. If it lasts, see the server's log on that control plane node",
    )  # fmt: skip
    SERVER_CLUSTER_ID = Row(
        "server_cluster_id", 8, _401, "`reason=sts_signature_mismatch`",
        "The server runs with another cluster id than the access file and the kubeconfigs say",
        "Correct `clusterID` of its config.yaml, or its flag `--cluster-id`, and restart the server",
    )  # fmt: skip
    SERVER_CLOCK = Row(
        "server_clock", 8, _401, "`reason=token_expired` or `date_in_future`",
        "The clock of the server's machine is wrong",
        "Set the clock of that control plane node by NTP",
    )  # fmt: skip
    SERVER_PARTITION = Row(
        "server_partition", 8, _401, "`reason=url_host`",
        "The server accepts no tokens for STS in the access file's region: it runs for another partition",
        "Correct `server.partition` of its config.yaml, or `region` of the access file",
    )  # fmt: skip
    SERVER_STS = Row(
        "server_sts", 8, _401,
        "`reason=sts_unreachable`, `sts_no_answer`, `sts_throttled`, `sts_invalid_response`, `sts_access_denied` or"
        " `sts_region_disabled`",
        "The server cannot have tokens verified by STS",
        "See the server's log: its connection to STS, HTTPS_PROXY, and the policy of a VPC endpoint",
    )  # fmt: skip
    SERVER_NOT_READY = Row(
        "server_not_ready", 9, _401, "`reason=mappings_not_loaded`, `deny_list_not_loaded` or `membership_stale`",
        "The server has not loaded its mappings, its deny list, or the IAM group of the level",
        "Wait some seconds. If it lasts, see `/readyz` of its health port and its log",
    )  # fmt: skip
    SERVER_MAPPING_OLD = Row(
        "server_mapping_old", 9, _401, "`reason=not_mapped` or `not_member`",
        "The server does not have the level's entry, which is in the mapping: it has not loaded it yet, or reads its mappings"
        " elsewhere",
        "A mounted ConfigMap takes up to a minute. Then see the server's log, its `backendMode` and flags, and restart it",
    )  # fmt: skip
    SERVER_RIGHTS = Row(
        "server_rights", 9, _401, "`reason=membership_stale`",
        "IAM does not let the server read the level's group or role",
        "Attach the policy that `kube-iam policy server` prints to what the server runs as",
    )  # fmt: skip
    SERVER_IAM_UNREACHABLE = Row(
        "server_iam_unreachable", 9, _401, "`reason=membership_stale`",
        "The server cannot read IAM: throttled, unreachable, or without AWS credentials",
        "See the server's log, which says why; check its AWS credentials and its connection to IAM",
    )  # fmt: skip
    SERVER_ACCOUNT = Row(
        "server_account", 9, _401, "`reason=not_member` or `membership_stale`",
        "The server's AWS credentials are of another account or partition than the access file's",
        "Give the server credentials of that account",
    )  # fmt: skip
    SESSION_NAME_UNRESTRICTED = Row(
        "session_name_unrestricted", 9, _401, "`reason=session_name_unrestricted`",
        "The role's trust policy may let callers choose their session name, which then does not identify them",
        "`kube-iam apply`, which repairs the trust policy",
    )  # fmt: skip
    ROLE_SUSPENDED = Row(
        "role_suspended", 9, _401, "`reason=role_suspended`",
        "The role's trust policy let callers choose their session name until lately: the server refuses its sessions until those have"
        " ended",
        "Wait until the time of this line, or delete the role (`aws iam delete-role`) and run `kube-iam apply`",
    )  # fmt: skip
    DENIED = Row(
        "denied", 10, _401, "`reason=denied`",
        "The deny list refuses the user, an access key, a role or a session",
        "`kube-iam deny --list` shows the denial, `kube-iam undeny NAME` removes it",
    )  # fmt: skip
    BACKEND_MODE = Row(
        "backend_mode", 11, _401, "`reason=not_mapped`",
        "The server does not read the mapping where the access file writes it",
        "Correct `server.backendMode` and restart the server, or correct `mapping` of the access file",
    )  # fmt: skip
    MAPPING_INVALID = Row(
        "mapping_invalid", 11, _401, "`reason=not_mapped` or `mappings_not_loaded`, and a warning at the load",
        "The mapping, or the level's entry, cannot be used by the server",
        "Correct the place that the message names, or `kube-iam apply`",
    )  # fmt: skip
    LEVEL_NOT_APPLIED = Row(
        "level_not_applied", 11, _PLUGIN_FAILS, _NOT_SENT,
        "The level is in the access file, and was never applied",
        "`kube-iam apply`",
    )  # fmt: skip
    MAPPING_MISSING = Row(
        "mapping_missing", 11, _401, "`reason=not_mapped`",
        "The mapping has no entry for the role or group of the level",
        "`kube-iam apply`, which adds the entry; correct `mapping` of the access file if the server reads another place",
    )  # fmt: skip
    MAPPING_NOT_MATCHING = Row(
        "mapping_not_matching", 11, _401, "`reason=not_mapped`",
        "The mapping has an entry that nearly names the role or group of the level: another name, account, partition, path or suffix",
        "Correct the entry, or `kube-iam apply`, which adds the level's own",
    )  # fmt: skip
    MAPPING_SHADOWED = Row(
        "mapping_shadowed", 11, "another user or other rights than the level's, or `Forbidden`", "`mapping=` names another entry",
        "An entry before the level's is for the same principal, and the server uses the first",
        "Remove the other entry, or move it behind the level's",
    )  # fmt: skip
    MAPPING_DIFFERS = Row(
        "mapping_differs", 11, f"{_401}, or `Error from server (Forbidden)`",
        "`reason=not_member`, or other `groups=` than the level's",
        "The level's entry has another user name, other groups or another IAM group than the access file",
        "`kube-iam apply`",
    )  # fmt: skip
    MAPPING_NAME = Row(
        "mapping_name", 11, _401, "`reason=reserved_name` or `template_value`",
        "The entry makes a user name or a group that the server refuses for this user",
        "Correct `username` or `groups` of the level, or `reservedPrefixConfig` of the server",
    )  # fmt: skip
    USER_MISSING = Row(
        "user_missing", 12, _PLUGIN_FAILS, _NOT_SENT,
        "There is no IAM user of that name in the account",
        "Write the name as IAM does: `aws iam list-users`. Names of IAM Identity Center are not IAM users",
    )  # fmt: skip
    GROUP_MISSING = Row(
        "group_missing", 12, f"{_PLUGIN_FAILS}, or {_401}", "`reason=not_member` or `membership_stale`",
        "The level's IAM group does not exist",
        "`kube-iam apply`, then `kube-iam grant USER LEVEL`",
    )  # fmt: skip
    NOT_MEMBER = Row(
        "not_member", 12, f"{_PLUGIN_FAILS}, or {_401}", "`reason=not_member`",
        "The user is not in the level's IAM group",
        "`kube-iam grant USER LEVEL`",
    )  # fmt: skip
    TEMPORARY_ENDED = Row(
        "temporary_ended", 12, f"{_PLUGIN_FAILS}, or {_401}", "`reason=not_member`",
        "The user's temporary access has ended, or is incomplete",
        "`kube-iam grant USER LEVEL`, with `--for` for some time",
    )  # fmt: skip
    POLICY_DETACHED = Row(
        "policy_detached", 12, _PLUGIN_FAILS, _NOT_SENT,
        "The level's IAM group does not have the level's policy, so that its members may not assume the role",
        "`kube-iam apply`",
    )  # fmt: skip
    POLICY_CHANGED = Row(
        "policy_changed", 12, _PLUGIN_FAILS, _NOT_SENT,
        "The level's policy has another document than the level's",
        "`kube-iam apply`",
    )  # fmt: skip
    ROLE_MISSING = Row(
        "role_missing", 12, _PLUGIN_FAILS, "`reason=membership_stale` for sessions from before",
        "The level's role does not exist",
        "`kube-iam apply`; correct `iam.role` for a role that is not kube-iam's",
    )  # fmt: skip
    ROLE_PATH = Row(
        "role_path", 12, _PLUGIN_FAILS, _NOT_SENT,
        "The level's role has another path than the access file says, so that policy and kubeconfig name a role that does not exist",
        "`kube-iam apply`, which creates the role at its path; then write the kubeconfig anew",
    )  # fmt: skip
    NOT_OWNED = Row(
        "not_owned", 12, "any, or none", _NOT_SENT,
        "Something has the name of a thing of the level, and is not kube-iam's: apply leaves it alone",
        "`kube-iam plan` lists all that is in the way; `--adopt` takes it over",
    )  # fmt: skip
    LEVEL_DRIFT = Row(
        "level_drift", 12, "any, or none", "-",
        "The level in IAM, the cluster or the mapping differs from the access file",
        "`kube-iam plan` shows the differences, `kube-iam apply` removes them",
    )  # fmt: skip
    NAMESPACE_MISSING = Row(
        "namespace_missing", 13, "`Error from server (Forbidden)`", _NOT_SENT,
        "A namespace in which the level binds a role does not exist",
        "`kubectl create namespace NS`, then `kube-iam apply`; or correct `namespaces` of the level",
    )  # fmt: skip
    BOUND_ROLE_MISSING = Row(
        "bound_role_missing", 13, "`Error from server (Forbidden)`", _NOT_SENT,
        "The Role or ClusterRole that the level binds does not exist",
        "Create it, or correct `bind` of the level",
    )  # fmt: skip
    BINDING_MISSING = Row(
        "binding_missing", 13, "`Error from server (Forbidden)`", _NOT_SENT,
        "A binding of the level does not exist",
        "`kube-iam apply`",
    )  # fmt: skip
    BINDING_DIFFERS = Row(
        "binding_differs", 13, "`Error from server (Forbidden)`", _NOT_SENT,
        "A binding of the level binds another role, or not the level's groups",
        "`kube-iam apply`",
    )  # fmt: skip

    @property
    def code(self) -> str:
        """Return the stable code."""
        return self.value.code

    @property
    def remedy(self) -> str:
        """Return the remedy."""
        return self.value.remedy
