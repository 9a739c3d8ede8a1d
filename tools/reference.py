#!/usr/bin/env python3
"""Write pages out of the code: in docs/reference reasons, keys of the server, environment variables and metrics; troubleshooting.md.

tests/unit/test_reference_pages.py fails while a page differs from what this makes of the code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from kube_iam.cli.drift_textfile import DriftMetrics
from kube_iam.config.server import ServerConfig
from kube_iam.config.server_keys import CLUSTER_ID_KEY, SERVER_KEYS, Key
from kube_iam.core.reasons import Reason
from kube_iam.doctor.causes import Cause
from kube_iam.server.metrics import Metric, Metrics
from kube_iam.sync.observer import SyncMetrics

PAGES = Path(__file__).resolve().parents[1] / "docs"
_HEAD = "<!-- Made by `make docs-reference`. Do not edit: change the texts in {source}. -->\n\n"


class Variable(NamedTuple):
    """An environment variable that kube-iam reads itself. `readers` are commands. `meaning` is Markdown."""

    name: str
    readers: str
    meaning: str


_ALL_AWS = "all that call AWS"
_ACCESS = "commands with an access file"
_SIGN_IN = "`token`"

VARIABLES = (
    Variable(
        "KUBE_IAM_ACCESS", _ACCESS, "Path of the access file, or of a directory of several, where `-f` is not given"
    ),
    Variable("KUBE_IAM_CACHE_DIR", "`token`, `logout`", "Directory of cached sessions and tokens"),
    Variable("KUBE_IAM_SESSION_CACHE", _SIGN_IN, "`0`: cache nothing on disk, as with `--no-cache`"),
    Variable("KUBE_IAM_TOKEN_CACHE", _SIGN_IN, "`0`: cache no tokens"),
    Variable("KUBE_IAM_DEBUG", "all", "`1`: print the places of an unexpected error"),
    Variable("KUBE_IAM_SANDBOX", "`sandbox`", "Directory of the sandbox, where `--dir` is not given"),
    Variable(
        "KUBE_IAM_CACHE",
        "`sandbox`, `make`",
        "Directory of the control plane's binaries and of other tools that `make` builds",
    ),
    Variable("KUBEBUILDER_ASSETS", "`sandbox`", "Directory of the binaries kube-apiserver and etcd"),
    Variable(
        "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID",
        "`token`, `server`, `init`, `verify`",
        "Cluster id, where `-i` is not given",
    ),
    Variable("DEFAULT_ROLE", _SIGN_IN, "Role to assume, where `-r` is not given"),
    Variable("AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY", "`server`, `sync`", "Log level, where `-v` is not given"),
    Variable("KUBERNETES_EXEC_INFO", _SIGN_IN, "kubectl's question: API version, and whether a person can be asked"),
    Variable("KUBECONFIG", "commands for a cluster, `kubeconfig --merge`", "kubeconfig files, as for kubectl"),
    Variable(
        "KUBERNETES_SERVICE_HOST", "the same, `server`, `sync`", "Address of the API server in a pod; set by kubelet"
    ),
    Variable(
        "KUBERNETES_SERVICE_PORT", "the same, `server`, `sync`", "Port of the API server in a pod; set by kubelet"
    ),
    Variable("AWS_PROFILE", _ALL_AWS, "Profile of the AWS configuration"),
    Variable("AWS_DEFAULT_PROFILE", _ALL_AWS, "Older name of `AWS_PROFILE`, which goes before it"),
    Variable("AWS_ACCESS_KEY_ID", _ALL_AWS, "Access key id. `AWS_ACCESS_KEY` is an older name"),
    Variable("AWS_ACCESS_KEY", _ALL_AWS, "Older name of `AWS_ACCESS_KEY_ID`"),
    Variable("AWS_SECRET_ACCESS_KEY", _ALL_AWS, "Secret key. `AWS_SECRET_KEY` is an older name"),
    Variable("AWS_SECRET_KEY", _ALL_AWS, "Older name of `AWS_SECRET_ACCESS_KEY`"),
    Variable("AWS_SESSION_TOKEN", _ALL_AWS, "Session token. `AWS_SECURITY_TOKEN` is an older name"),
    Variable("AWS_SECURITY_TOKEN", _ALL_AWS, "Older name of `AWS_SESSION_TOKEN`"),
    Variable("AWS_CREDENTIAL_EXPIRATION", _ALL_AWS, "End of the keys; keys that have ended are an error"),
    Variable("AWS_ROLE_ARN", _ALL_AWS, "Role of the web identity"),
    Variable("AWS_WEB_IDENTITY_TOKEN_FILE", _ALL_AWS, "File of the web identity's token"),
    Variable(
        "AWS_MFA_SERIAL", _SIGN_IN, "MFA device that is asked for when AWS denies the role of `-r` without a code"
    ),
    Variable("AWS_CONFIG_FILE", _ALL_AWS, "Path of the AWS configuration file"),
    Variable("AWS_SHARED_CREDENTIALS_FILE", _ALL_AWS, "Path of the AWS credentials file"),
    Variable("AWS_LOGIN_CACHE_DIRECTORY", _SIGN_IN, "Directory of the sign-ins of `aws login`"),
    Variable(
        "BOTO_CONFIG",
        _ALL_AWS,
        "Path of a boto file, which only decides whether a cached session still belongs to the caller",
    ),
    Variable("AWS_REGION", _ALL_AWS, "Region; for `token` the STS that the token is for"),
    Variable("AWS_DEFAULT_REGION", _ALL_AWS, "Region, where `AWS_REGION` is not set"),
    Variable("AWS_USE_FIPS_ENDPOINT", _ALL_AWS, "`true`: FIPS endpoints"),
    Variable("AWS_USE_DUALSTACK_ENDPOINT", _ALL_AWS, "`true`: dual-stack endpoints"),
    Variable("AWS_ENDPOINT_URL", _ALL_AWS, "Endpoint of all services; https only, or http on loopback"),
    Variable(
        "AWS_ENDPOINT_URL_STS",
        _ALL_AWS,
        "Endpoint of STS. `_IAM`, `_EC2`, `_SSO`, `_SSO_OIDC` and `_SIGNIN` are read in the same way",
    ),
    Variable(
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", _ALL_AWS, "`true`: ignore the endpoints above and those of the profile"
    ),
    Variable("AWS_MAX_ATTEMPTS", "commands for IAM", "Attempts of a call; 5 for IAM without it"),
    Variable(
        "AWS_METADATA_SERVICE_TIMEOUT",
        _ALL_AWS,
        "Seconds to wait for instance metadata; checked here, used by the AWS SDK",
    ),
    Variable("AWS_METADATA_SERVICE_NUM_ATTEMPTS", _ALL_AWS, "Attempts of that; checked here, used by the AWS SDK"),
    Variable(
        "AWS_CA_BUNDLE",
        _ALL_AWS,
        "File of trusted certificates, in place of the usual ones. The server, and commands with static keys, trust both",
    ),
    Variable("REQUESTS_CA_BUNDLE", "`token`, commands for IAM", "The same where AWS_CA_BUNDLE is not set"),
    Variable("SSLKEYLOGFILE", "`token`", "OpenSSL's file of TLS keys: calls of AWS are left to the AWS SDK then"),
    Variable("AWS_EC2_METADATA_DISABLED", _ALL_AWS, "`true`: do not ask instance metadata"),
    Variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", _ALL_AWS, "Address of instance metadata"),
    Variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", _ALL_AWS, "`IPv6`: its address over IPv6"),
    Variable(
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", _ALL_AWS, "Path at the agent of ECS for a container's credentials"
    ),
    Variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", _ALL_AWS, "URL of the agent for a container's credentials"),
    Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", _ALL_AWS, "Token for a container's agent"),
    Variable(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        _SIGN_IN,
        "File of the token for a container's agent; part of the cache key",
    ),
    Variable(
        "XDG_CACHE_HOME",
        "`token`, `logout`, `sandbox`",
        "Directory of caches, in place of `~/.cache`; an absolute path",
    ),
    Variable(
        "XDG_STATE_HOME",
        "`sandbox`",
        "Directory of the sandbox's state, in place of `~/.local/state`; an absolute path",
    ),
    Variable("LOCALAPPDATA", "`token`, `logout`", "Directory of caches on Windows"),
    Variable("HOME", "all", "Home directory"),
    Variable("USERPROFILE", "all", "Home directory on Windows"),
    Variable("COMPUTERNAME", _SIGN_IN, "Name of the machine on Windows; part of the cache key"),
    Variable("PATH", "`sandbox`", "Where kube-apiserver and etcd are looked for"),
    Variable("NO_COLOR", "all", "Any value: print no colours"),
    Variable("LISTEN_FDS", "`server`", "Number of sockets that a service manager passes; set by systemd"),
    Variable("LISTEN_PID", "`server`", "Process that these sockets are for; set by systemd"),
    Variable("LISTEN_FDNAMES", "`server`", "Names of these sockets, which are removed; set by systemd"),
    Variable("MIMALLOC_ALLOW_THP", "`server`", "Set to `0` where it is not set: saves 7 MiB of memory"),
)
"""What kube-iam itself looks up, in the order of the page. A test compares it with the code."""

LIBRARIES = (
    Variable("SSL_CERT_FILE, SSL_CERT_DIR", "`server`, `verify`", "Trusted certificates for STS"),
    Variable(
        "HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "all that call AWS, commands for a cluster",
        "Proxy. Backends of the server use none",
    ),
    Variable("other AWS_ variables", _ALL_AWS, "As in every AWS SDK: botocore reads them"),
)
"""What libraries read."""


def reasons() -> str:
    """Return the page of the reasons of refusals."""
    groups = (
        (
            "Checks of the token",
            "Found before any network call ([checks](../protocol.md#21-the-twelve-checks)).",
            ("invalid_token",),
        ),
        (
            "STS",
            "Found with the answer of STS ([verdicts](../protocol.md#33-verdicts)).",
            ("sts_error", "sts_throttling"),
        ),
        ("Decision", "Found after STS verified the token ([stages](../protocol.md#41-stages)).", ("uknown_user",)),
    )
    parts = [
        "# Reasons of refusals\n",
        "Each refused sign-in has one reason. The person who runs kubectl never sees it: kube-apiserver answers 401.\n",
        "The [authorizer](../protocol.md#9-the-authorizer) denies requests for these reasons too. kubectl shows their sentence.\n",
        _table(
            ("who", "sees the reason in"),
            [
                (
                    "operator of the server",
                    "the server's log (`reason`, `requestid`), the metric `kube_iam_refusals_total{reason}`",
                ),
                (
                    "operator of kube-apiserver",
                    'its log, as the text of `status.error`: "Unable to authenticate the request"',
                ),
                ("anybody with a token", "`kube-iam verify -t TOKEN -i CLUSTER`, for the first two tables"),
                ("anybody who may create TokenReviews", "`status.error` of the answer"),
            ],
        ),
        "kube-apiserver's line ends with a request id, as in `(request 1f0c9ab2)`. Search the server's log for it, in the field"
        " `requestid`: the line there adds the reason, the identity and the STS host. Refusals with the reason `token_prefix` are"
        " logged at the level `debug` only ([request ids](../protocol.md#63-reasons-for-these-answers)).\n",
        "The label `result` is that of `aws_iam_authenticator_authenticate_latency_seconds`.\n",
    ]
    for title, text, labels in groups:
        rows = [
            (f"`{reason.value}`", _capital(reason.sentence), reason.remedy, f"`{reason.metric}`")
            for reason in Reason
            if reason.metric in labels
        ]
        parts += [f"## {title}\n", f"{text}\n", _table(("reason", "cause", "remedy", "`result`"), rows)]
    return _page("src/kube_iam/core/reasons.py", parts)


def server_config() -> str:
    """Return the page of the keys of the server's configuration file."""
    rows = [(f"`{key.name}`", key.kind, _default(key), key.meaning) for key in SERVER_KEYS]
    return _page(
        "src/kube_iam/config/server_keys.py",
        [
            "# The server's config.yaml\n",
            "`kube-iam server -c config.yaml` reads this file. `--check-config` reports all its problems. Keys count in any letter"
            " case, and an unknown key is a warning. A [flag](../protocol.md#71-the-servers-flags) goes before its key.\n",
            _table(
                ("key at the top", "type", "meaning"),
                [(f"`{CLUSTER_ID_KEY.name}`", CLUSTER_ID_KEY.kind, CLUSTER_ID_KEY.meaning)],
            ),
            "The top may also hold the [keys of `token`](../protocol.md#15-settings-of-token).\n",
            _table(("key below `server:`", "type", "default", "meaning"), rows),
            "A duration is a number and a unit: `15s`, `5m`, `1h`.\n",
        ],
    )


def environment() -> str:
    """Return the page of the environment variables."""
    header = ("variable", "read by", "meaning")
    return _page(
        "tools/reference.py",
        [
            "# Environment variables\n",
            "Empty variables count as not set. A flag goes before its variable.\n",
            _table(header, [(f"`{each.name}`", each.readers, each.meaning) for each in VARIABLES]),
            "Libraries read these:\n",
            _table(header, [(each.name, each.readers, each.meaning) for each in LIBRARIES]),
        ],
    )


def _metric_rows(metrics: Iterable[Metric]) -> list[tuple[str, ...]]:
    return [
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels) or "-", each.text)
        for each in metrics
    ]


def metrics() -> str:
    """Return the page of the metrics of the server, of `sync` and of `drift`."""
    rows = _metric_rows(Metrics().all())
    reference = "aws_iam_authenticator_"
    header = ("metric", "type", "labels", "meaning")
    return _page(
        "src/kube_iam/server/metrics.py, src/kube_iam/sync/observer.py and src/kube_iam/cli/drift_textfile.py",
        [
            "# Metrics\n",
            "The webhook's port answers `/metrics` in Prometheus' text format. Values of `reason` are in [reasons.md](reasons.md).\n",
            "## Names of the reference\n",
            _table(header, [row for row in rows if reference in row[0]]),
            "## Names of kube-iam\n",
            _table(header, [row for row in rows if reference not in row[0]]),
            "## `kube-iam sync`\n",
            "Its port answers `/metrics` too ([sync.md](../sync.md#watch-it)).\n",
            _table(header, _metric_rows(SyncMetrics().all())),
            "## Textfile of `kube-iam drift`\n",
            "`kube-iam drift --textfile FILE` writes these for node_exporter ([how](../levels.md#check-for-drift)).\n",
            _table(header, _metric_rows(DriftMetrics().all())),
        ],
    )


STEPS = {
    1: "Kubeconfig and exec plugin",
    2: "AWS credentials and clock",
    3: "Role",
    4: "Token",
    5: "API server",
    6: "Sign-in and permissions",
    7: "The administrator's context",
    8: "kube-apiserver and the server",
    9: "The server and IAM",
    10: "Deny list",
    11: "Mapping",
    12: "Level in IAM",
    13: "Bindings",
}


def troubleshooting() -> str:
    """Return the page of the causes that `kube-iam doctor` names."""
    parts = [
        "# Troubleshooting\n",
        "`kube-iam doctor` finds the cause of a failed sign-in ([doctor.md](doctor.md)). This page lists the causes by its steps:"
        " 1 to 6 by a user's own `kube-iam doctor`, 7 to 13 by an administrator's `kube-iam doctor USER LEVEL`.\n",
        "kubectl prints the symptom. The log line is that of the authenticator; `-` means that the request does not reach it.\n",
    ]
    header = ("cause", "symptom", "log line", "what is wrong", "remedy")
    for step, title in STEPS.items():
        rows = [
            (f"`{row.code}`", row.symptom, row.log, row.cause, row.remedy)
            for row in (cause.value for cause in Cause)
            if row.step == step
        ]
        parts += [f"## {step}. {title}\n", _table(header, rows)]
    return _page("src/kube_iam/doctor/causes.py", parts)


PAGE_MAKERS: dict[str, Callable[[], str]] = {
    "reference/reasons.md": reasons,
    "reference/server-config.md": server_config,
    "reference/environment.md": environment,
    "reference/metrics.md": metrics,
    "troubleshooting.md": troubleshooting,
}


def main() -> int:
    """Write all pages. Return the exit code 0."""
    (PAGES / "reference").mkdir(parents=True, exist_ok=True)
    for name, make in PAGE_MAKERS.items():
        (PAGES / name).write_text(make(), "utf-8")
    return 0


def _page(source: str, parts: Iterable[str]) -> str:
    return _HEAD.format(source=source) + "\n".join(parts)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _default(key: Key) -> str:
    if not key.field:
        return "-"
    value: object = ServerConfig(cluster_id="")
    for name in key.field.split("."):
        value = getattr(value, name)
    if key.kind == "duration":
        return f"`{value}s`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{', '.join(value)}`"
    return f"`{value}`" if value or value == 0 else "-"


if __name__ == "__main__":
    sys.exit(main())
