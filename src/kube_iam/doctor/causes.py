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

    @property
    def code(self) -> str:
        """Return the stable code."""
        return self.value.code

    @property
    def remedy(self) -> str:
        """Return the remedy."""
        return self.value.remedy
