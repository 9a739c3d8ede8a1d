"""The environment variables of one IAM user of the sandbox, as lines for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from kube_iam.core.credentials import Credentials
from kube_iam.sandbox.state import ADMINISTRATOR, LOOPBACK, REGION, Home, State

# Each would override the sandbox's access key, break it, or send calls to another endpoint.
_OVERRIDING = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_MFA_SERIAL",
    "AWS_ENDPOINT_URL_IAM",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)

_SETTINGS = ("AWS_", "BOTO_CONFIG", "KUBE")
"""Prefixes of variables that choose credentials, endpoints or clusters."""


def environment(home: Home, state: State, name: str, credentials: Credentials) -> dict[str, str]:
    """Return the variables of this IAM user. Those of the administrator include the cluster administrator's kubeconfig."""
    variables = {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        # Tools differ in which of the two they read: the AWS CLI v1 and botocore read the second alone.
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": state.account_url,
        "AWS_ENDPOINT_URL_STS": state.account_url,
        "AWS_CA_BUNDLE": str(home.ca),
        "AWS_EC2_METADATA_DISABLED": "true",
        "KUBE_IAM_CACHE_DIR": str(home.root / "cache" / name),
        "KUBECACHEDIR": str(home.root / "cache" / "kubectl"),
    }
    if name == ADMINISTRATOR:
        variables["KUBE_IAM_ACCESS"] = str(home.access)
        if state.api_port:
            variables["KUBECONFIG"] = str(home.kubeconfig)
    return variables


def child_environment(home: Home, own: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program that runs as one IAM user: `own` without any setting of AWS or Kubernetes, and `variables`.

    The AWS files of the person who runs the sandbox are not read: the paths in their place do not exist.
    """
    kept = {name: value for name, value in own.items() if not name.upper().startswith(_SETTINGS)}
    addresses = {}
    for name in ("NO_PROXY", "no_proxy"):
        addresses[name] = f"{LOOPBACK},{kept[name]}" if kept.get(name) else LOOPBACK
    files = {
        "AWS_CONFIG_FILE": str(home.root / "aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home.root / "aws" / "credentials"),
        "KUBE_IAM_SANDBOX": str(home.root),
    }
    return {**kept, **addresses, **files, **variables}


def exports(variables: dict[str, str]) -> str:
    """Return lines for `eval` in any POSIX shell. They unset the variables that would override these."""
    unset = [name for name in (*_OVERRIDING, "KUBECONFIG", "KUBE_IAM_ACCESS") if name not in variables]
    lines = [f"unset {' '.join(unset)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append('export NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}" no_proxy="127.0.0.1${no_proxy:+,$no_proxy}"')
    return "\n".join(lines)
