"""Reasons of refused sign-ins and denied requests: the log field `reason`, the metric label and the text of `status.error` of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """A cause of a refused sign-in or a denied request. The value is the log field; `metric` is the `result` label."""

    TOKEN_TOO_LONG = "token_too_long"  # noqa: S105
    TOKEN_PREFIX = "token_prefix"  # noqa: S105
    TOKEN_ENCODING = "token_encoding"  # noqa: S105
    NOT_A_URL = "not_a_url"
    URL_SCHEME = "url_scheme"
    URL_HOST = "url_host"
    URL_PATH = "url_path"
    QUERY_MALFORMED = "query_malformed"
    QUERY_REPEATED = "query_repeated"
    QUERY_UNKNOWN = "query_unknown"
    URL_ACTION = "url_action"
    URL_VERSION = "url_version"
    URL_ALGORITHM = "url_algorithm"
    CREDENTIAL_SCOPE = "credential_scope"
    SIGNATURE_MALFORMED = "signature_malformed"
    CLUSTER_HEADER_UNSIGNED = "cluster_header_unsigned"
    SIGNED_HEADERS = "signed_headers"
    URL_EXPIRES = "url_expires"
    DATE_MISSING = "date_missing"
    DATE_MALFORMED = "date_malformed"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    DATE_IN_FUTURE = "date_in_future"
    STS_REFUSED = "sts_refused"
    STS_SIGNATURE_MISMATCH = "sts_signature_mismatch"
    STS_TOKEN_EXPIRED = "sts_token_expired"  # noqa: S105
    STS_DATE_IN_FUTURE = "sts_date_in_future"
    STS_UNKNOWN_KEY = "sts_unknown_key"
    STS_SESSION_EXPIRED = "sts_session_expired"
    STS_ACCESS_DENIED = "sts_access_denied"
    STS_REGION_DISABLED = "sts_region_disabled"
    STS_INVALID_RESPONSE = "sts_invalid_response"
    STS_UNREACHABLE = "sts_unreachable"
    STS_NO_ANSWER = "sts_no_answer"
    STS_THROTTLED = "sts_throttled"
    NOT_MAPPED = "not_mapped"
    RESERVED_NAME = "reserved_name"
    TEMPLATE_VALUE = "template_value"
    MAPPINGS_NOT_LOADED = "mappings_not_loaded"
    NOT_MEMBER = "not_member"
    MEMBERSHIP_STALE = "membership_stale"
    SESSION_NAME_UNRESTRICTED = "session_name_unrestricted"
    ROLE_SUSPENDED = "role_suspended"
    ROLE_RECREATED = "role_recreated"
    SESSION_PREDATES_ROLE = "session_predates_role"
    NOT_AN_INSTANCE = "not_an_instance"
    INSTANCE_UNKNOWN = "instance_unknown"
    EC2_REFUSED = "ec2_refused"
    EC2_UNREACHABLE = "ec2_unreachable"
    EC2_THROTTLED = "ec2_throttled"
    DENIED = "denied"
    DENY_LIST_NOT_LOADED = "deny_list_not_loaded"
    STATUS_QUERY = "status_query"
    USER_CHANGED = "user_changed"
    EXTRA_MALFORMED = "extra_malformed"

    @property
    def metric(self) -> str:
        """The `result` label of `aws_iam_authenticator_authenticate_latency_seconds`, in the reference's words."""
        return _METRICS.get(self, "invalid_token")

    @property
    def remedy(self) -> str:
        """The remedy in Markdown, for docs/reference/reasons.md."""
        return _REMEDIES[self]

    @property
    def sentence(self) -> str:
        """The cause and, where there is one, the remedy. Holds no value from outside."""
        return _SENTENCES[self]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused sign-in. `detail` may name hosts, regions, ARNs and times, never a token, a signature or a secret.

    `lasting`: a temporary failure that has lasted for so long that a retry within seconds is not worth waiting for.
    """

    reason: Reason
    detail: str = ""
    lasting: bool = False

    @property
    def message(self) -> str:
        """An English sentence that is safe in `status.error` and in logs."""
        return f"{self.reason.sentence}: {self.detail}" if self.detail else self.reason.sentence


REFUSED_BY_STS = (
    Reason.STS_REFUSED,
    Reason.STS_SIGNATURE_MISMATCH,
    Reason.STS_TOKEN_EXPIRED,
    Reason.STS_DATE_IN_FUTURE,
    Reason.STS_UNKNOWN_KEY,
    Reason.STS_SESSION_EXPIRED,
    Reason.STS_ACCESS_DENIED,
    Reason.STS_REGION_DISABLED,
)
"""Reasons of STS's own refusals (HTTP 4xx that is not throttling), each with another cause."""

_METRICS = {
    **dict.fromkeys(REFUSED_BY_STS, "sts_error"),
    Reason.STS_INVALID_RESPONSE: "sts_error",
    Reason.STS_UNREACHABLE: "sts_error",
    Reason.STS_NO_ANSWER: "sts_error",
    Reason.STS_THROTTLED: "sts_throttling",
    # The reference's spelling; dashboards and alerts are written against it.
    Reason.NOT_MAPPED: "uknown_user",
    Reason.RESERVED_NAME: "uknown_user",
    Reason.TEMPLATE_VALUE: "uknown_user",
    Reason.MAPPINGS_NOT_LOADED: "uknown_user",
    Reason.NOT_MEMBER: "uknown_user",
    Reason.MEMBERSHIP_STALE: "uknown_user",
    Reason.SESSION_NAME_UNRESTRICTED: "uknown_user",
    Reason.ROLE_SUSPENDED: "uknown_user",
    Reason.ROLE_RECREATED: "uknown_user",
    Reason.SESSION_PREDATES_ROLE: "uknown_user",
    Reason.NOT_AN_INSTANCE: "uknown_user",
    Reason.INSTANCE_UNKNOWN: "uknown_user",
    Reason.EC2_REFUSED: "uknown_user",
    Reason.EC2_UNREACHABLE: "uknown_user",
    Reason.EC2_THROTTLED: "uknown_user",
    Reason.DENIED: "uknown_user",
    Reason.DENY_LIST_NOT_LOADED: "uknown_user",
}

_SENTENCES = {
    Reason.TOKEN_TOO_LONG: "the token is longer than 16 KiB",
    Reason.TOKEN_PREFIX: "the token does not begin with k8s-aws-v1.",
    Reason.TOKEN_ENCODING: "the token is not unpadded base64url",
    Reason.NOT_A_URL: "the token does not hold a URL",
    Reason.URL_SCHEME: "the URL's scheme is not https",
    Reason.URL_HOST: "the URL's host is not an STS host of this server's partition",
    Reason.URL_PATH: "the URL's path is not /, or it has a fragment",
    Reason.QUERY_MALFORMED: "the URL's query is malformed",
    Reason.QUERY_REPEATED: "a query parameter repeats",
    Reason.QUERY_UNKNOWN: "a query parameter does not belong in a GetCallerIdentity request",
    Reason.URL_ACTION: "the URL's Action is not GetCallerIdentity",
    Reason.URL_VERSION: "the URL's Version is not 2011-06-15",
    Reason.URL_ALGORITHM: "X-Amz-Algorithm is not AWS4-HMAC-SHA256",
    Reason.CREDENTIAL_SCOPE: "X-Amz-Credential is not <key id>/<day of X-Amz-Date>/<the host's region>/sts/aws4_request",
    Reason.SIGNATURE_MALFORMED: "X-Amz-Signature is not 64 hexadecimal digits",
    Reason.CLUSTER_HEADER_UNSIGNED: "the header x-k8s-aws-id is not signed; mint the token for a cluster id",
    Reason.SIGNED_HEADERS: "X-Amz-SignedHeaders must be host and x-k8s-aws-id, in lower case and sorted, with at most accept besides",
    Reason.URL_EXPIRES: "X-Amz-Expires is not a whole number from 0 to 900",
    Reason.DATE_MISSING: "X-Amz-Date is missing",
    Reason.DATE_MALFORMED: "X-Amz-Date is not a time of the form YYYYMMDDTHHMMSSZ",
    Reason.TOKEN_EXPIRED: (
        "the token was signed more than 15 minutes ago; mint a new one; if a new one is refused too, there is clock skew:"
        " set the clock of the machine that mints, or of this server, by NTP"
    ),
    Reason.DATE_IN_FUTURE: (
        "the token was signed more than 5 minutes in this server's future: clock skew;"
        " set the clock of the machine that mints, or of this server, by NTP"
    ),
    Reason.STS_REFUSED: "STS refused the signed request",
    Reason.STS_SIGNATURE_MISMATCH: (
        "STS refused the signature: most likely the token was made for another cluster id, else with a wrong secret access key"
    ),
    Reason.STS_TOKEN_EXPIRED: (
        "STS refused the token, which has expired by AWS's clock; make a new one; if a new one is refused too, set the clocks"
        " of the machine that mints and of this server by NTP: both are behind"
    ),
    Reason.STS_DATE_IN_FUTURE: (
        "STS refused the token, which was signed in the future by AWS's clock: set the clock of the machine that mints by NTP,"
        " and compare this server's"
    ),
    Reason.STS_UNKNOWN_KEY: "STS does not accept the access key",
    Reason.STS_SESSION_EXPIRED: "the AWS session that signed the token has ended; sign in to AWS again",
    Reason.STS_ACCESS_DENIED: (
        "STS denied the request, which needs no IAM permission: see the policy of a VPC endpoint for STS, or a proxy that answers"
    ),
    Reason.STS_REGION_DISABLED: "STS is not activated in the token's region for the account of the credentials",
    Reason.STS_INVALID_RESPONSE: "STS sent a response that is not one to GetCallerIdentity",
    Reason.STS_UNREACHABLE: "STS could not be reached",
    Reason.STS_NO_ANSWER: "STS does not answer; try again in a few seconds",
    Reason.STS_THROTTLED: "STS is throttling requests; try again",
    Reason.NOT_MAPPED: "no mapping admits this AWS identity",
    Reason.RESERVED_NAME: "the mapping yields a name with a reserved prefix",
    Reason.TEMPLATE_VALUE: "the mapping's template cannot be filled in for this identity",
    Reason.MAPPINGS_NOT_LOADED: "the mappings have not been loaded yet",
    Reason.NOT_MEMBER: "the mapping is for members of an IAM group, and this is not one now",
    Reason.MEMBERSHIP_STALE: "the mapping is for members of an IAM group, which could not be read lately; see the server's log",
    Reason.SESSION_NAME_UNRESTRICTED: (
        "the role's trust policy may let callers choose their session name, which then does not identify them"
    ),
    Reason.ROLE_SUSPENDED: (
        "the role's trust policy may have let callers choose their session name until lately: a session begun then may be valid"
    ),
    Reason.ROLE_RECREATED: "the role was created again, and this server has not read it since; try again",
    Reason.SESSION_PREDATES_ROLE: (
        "the session is older than the role, which was created again; run `kube-iam logout LEVEL`, then sign in again"
    ),
    Reason.NOT_AN_INSTANCE: "the mapping is for EC2 instances, and the session that signed is not named after one",
    Reason.INSTANCE_UNKNOWN: "the mapping is for EC2 instances, and EC2 gives no private DNS name for this one",
    Reason.EC2_REFUSED: "EC2 denies this server the look-up of instances; see the server's log",
    Reason.EC2_UNREACHABLE: "EC2 could not be asked for the instance's name; try again",
    Reason.EC2_THROTTLED: "EC2 is throttling requests; try again",
    Reason.DENIED: "this AWS identity is on the deny list",
    Reason.DENY_LIST_NOT_LOADED: "the deny list has not been loaded yet",
    Reason.STATUS_QUERY: "a status query, which signs nobody in",
    Reason.USER_CHANGED: (
        "the mapping now gives this AWS identity another user name, or not all of these groups; run `kube-iam logout`, then sign in"
        " again"
    ),
    Reason.EXTRA_MALFORMED: "the user's uid and extra are not those of one AWS identity",
}

_MAKE_AGAIN = "Make the token with `kube-iam token` or `aws-iam-authenticator token`, and pass it on unchanged"
_STS_WAIT = "Try again. If it lasts, look at the server's connection to STS and at its log"

_REMEDIES = {
    Reason.TOKEN_TOO_LONG: "Sign with a session that has fewer or shorter tags",
    Reason.TOKEN_PREFIX: "None, if the token is another authenticator's: a service account's or OIDC's",
    Reason.TOKEN_ENCODING: _MAKE_AGAIN,
    Reason.NOT_A_URL: _MAKE_AGAIN,
    Reason.URL_SCHEME: _MAKE_AGAIN,
    Reason.URL_HOST: (
        "Set `server.partition` to the partition of the credentials, or unset `AWS_ENDPOINT_URL_STS` where the token is made"
    ),
    Reason.URL_PATH: "Unset `AWS_ENDPOINT_URL_STS`, or name a host without path",
    Reason.QUERY_MALFORMED: _MAKE_AGAIN,
    Reason.QUERY_REPEATED: _MAKE_AGAIN,
    Reason.QUERY_UNKNOWN: _MAKE_AGAIN,
    Reason.URL_ACTION: _MAKE_AGAIN,
    Reason.URL_VERSION: _MAKE_AGAIN,
    Reason.URL_ALGORITHM: _MAKE_AGAIN,
    Reason.CREDENTIAL_SCOPE: "Set one region for the client: `--region` or `AWS_REGION`",
    Reason.SIGNATURE_MALFORMED: _MAKE_AGAIN,
    Reason.CLUSTER_HEADER_UNSIGNED: _MAKE_AGAIN,
    Reason.SIGNED_HEADERS: _MAKE_AGAIN,
    Reason.URL_EXPIRES: _MAKE_AGAIN,
    Reason.DATE_MISSING: _MAKE_AGAIN,
    Reason.DATE_MALFORMED: _MAKE_AGAIN,
    Reason.TOKEN_EXPIRED: "Make a new token. If it is new, set both clocks by NTP",
    Reason.DATE_IN_FUTURE: "Set both clocks by NTP",
    Reason.STS_REFUSED: "See the code in the message, which is AWS's. Without a code, look for a proxy that answers in place of STS",
    Reason.STS_SIGNATURE_MISMATCH: (
        "Compare `-i` in the user's kubeconfig with `clusterID` of the server. If they are equal, replace the access key"
    ),
    Reason.STS_TOKEN_EXPIRED: "Make a new token. If it is refused too, set both clocks by NTP",
    Reason.STS_DATE_IN_FUTURE: "Set both clocks by NTP",
    Reason.STS_UNKNOWN_KEY: (
        "`aws iam list-access-keys` shows whether a key is active. For a session, sign in to AWS again, with a regional STS host"
    ),
    Reason.STS_SESSION_EXPIRED: "Sign in to AWS again: `aws sso login`, or new temporary credentials",
    Reason.STS_ACCESS_DENIED: "Allow `sts:GetCallerIdentity` in the policy of the VPC endpoint, or correct the server's `HTTPS_PROXY`",
    Reason.STS_REGION_DISABLED: "Use another region (`--region`, `AWS_REGION`), or activate STS there in the account settings of IAM",
    Reason.STS_INVALID_RESPONSE: "Look for a proxy or an `stsEndpoint` that answers in place of STS",
    Reason.STS_UNREACHABLE: _STS_WAIT,
    Reason.STS_NO_ANSWER: _STS_WAIT,
    Reason.STS_THROTTLED: "Try again. If it lasts, find out who calls STS in this account and region so often",
    Reason.NOT_MAPPED: "Map the ARN, or use another level. `kube-iam verify` shows the ARN",
    Reason.RESERVED_NAME: "Change `username` or `groups` of the entry, or `reservedPrefixConfig`",
    Reason.TEMPLATE_VALUE: "Correct the entry that the server's log names",
    Reason.MAPPINGS_NOT_LOADED: "Wait for the start. If it lasts, see `/readyz` and the server's log",
    Reason.NOT_MEMBER: "`kube-iam grant USER LEVEL`, or use another level",
    Reason.MEMBERSHIP_STALE: "Give the server the rights that `kube-iam policy server` prints; see its log",
    Reason.SESSION_NAME_UNRESTRICTED: "`kube-iam apply`, which repairs the trust policy",
    Reason.ROLE_SUSPENDED: "Wait until the time in the message, or delete the role and run `kube-iam apply`",
    Reason.ROLE_RECREATED: "Try again after `membershipRefresh`",
    Reason.SESSION_PREDATES_ROLE: "`kube-iam logout LEVEL`, then sign in again",
    Reason.NOT_AN_INSTANCE: "Sign with the instance's own credentials, or map the role without `{{EC2PrivateDNSName}}`",
    Reason.INSTANCE_UNKNOWN: "Check that the instance runs in the server's region and account and has a private DNS name",
    Reason.EC2_REFUSED: "Allow the server `ec2:DescribeInstances`, or set `ec2DescribeInstancesRoleARN`",
    Reason.EC2_UNREACHABLE: "Try again. If it lasts, look at the server's connection to EC2 and at its log",
    Reason.EC2_THROTTLED: "Try again. If it lasts, raise EC2's quota or lower `ec2DescribeInstancesQps`",
    Reason.DENIED: "`kube-iam deny --list` shows the denial, `kube-iam undeny NAME` removes it",
    Reason.DENY_LIST_NOT_LOADED: "Let the server read the ConfigMap of `denyList`; see `/readyz` and its log",
    Reason.STATUS_QUERY: "None: a command asked about a denial or a membership",
    Reason.USER_CHANGED: "`kube-iam logout`, then sign in again; without it, wait until kube-apiserver has forgotten the token",
    Reason.EXTRA_MALFORMED: "Impersonate without `--as-uid` and `--as-user-extra`, or with all of one identity",
}
