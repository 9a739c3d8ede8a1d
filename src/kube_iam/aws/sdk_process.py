"""Credentials and an endpoint that only the AWS SDK finds for the server, asked for in a short-lived child process.

The SDK in the server's own process would take 34 MB for good. Credentials pass through a pipe only, and no text of an exception does
but those of our own errors, which hold no secrets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kube_iam import errors
from kube_iam.aws.query_api import Endpoint
from kube_iam.core.credentials import Credentials
from kube_iam.errors import CredentialsError, KubeIamError

# The parent's module path is passed as arguments, so that working directory and environment cannot add modules to the child.
_CHILD = "import sys; sys.path[:] = sys.argv[3:]; from kube_iam.aws.sdk_process import main; main(*sys.argv[1:3])"
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class SdkAnswer:
    """The credentials and the endpoint that the SDK found for one service."""

    credentials: Credentials
    endpoint: Endpoint


def ask_sdk(service: str, region: str, environ: Mapping[str, str] = os.environ) -> SdkAnswer:
    """Return what the SDK finds for the service (`iam`, `sts`, `ec2`) in a region. Raises the error that the child names."""
    if not sys.executable:  # a frozen program
        return SdkAnswer(*_find(service, region))
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter)
            [sys.executable, "-I", "-S", "-B", "-c", _CHILD, service, region, *filter(None, sys.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            timeout=_TIMEOUT_SECONDS,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise CredentialsError(
            f"the AWS SDK could not be asked for credentials ({type(error).__name__})",
            "give the server keys, a role of its instance, EKS Pod Identity or IRSA; or check a credential_process of its profile",
        ) from None
    if "error" in answer:
        raise _error_of(answer)
    keys = answer["credentials"]
    return SdkAnswer(Credentials(*keys), Endpoint(*answer["endpoint"]))


def _error_of(answer: Mapping[str, str]) -> KubeIamError:
    kind = getattr(errors, str(answer["error"]), KubeIamError)
    known = isinstance(kind, type) and issubclass(kind, KubeIamError)
    return (kind if known else KubeIamError)(answer["message"], answer["hint"])


def main(service: str, region: str) -> None:
    """Print the answer of `_find`, or the error, as one line of JSON."""
    try:
        credentials, endpoint = _find(service, region)
    except KubeIamError as error:
        answer: dict[str, Any] = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    else:
        keys = credentials
        answer = {
            "credentials": [keys.access_key_id, keys.secret_access_key, keys.session_token, keys.expires],
            "endpoint": list(endpoint),
        }
    sys.stdout.write(json.dumps(answer))


def _find(service: str, region: str) -> tuple[Credentials, Endpoint]:
    """Return credentials and endpoint as botocore finds them. Raises KubeIamError."""
    from kube_iam.aws.botocore_chain import read_credentials
    from kube_iam.aws.client import make_client, make_session
    from kube_iam.aws.errors import aws_errors

    session = make_session()
    client = make_client(service, region, session=session)
    doing = "find the server's own AWS credentials"
    with aws_errors(doing):
        found = session.get_credentials()
        if found is None:
            raise CredentialsError(f"cannot {doing}: there are none", "give the server a role, or keys")
        keys = read_credentials(found)
    signed = client._request_signer.region_name  # botocore has no public name for it
    return keys, Endpoint(client.meta.endpoint_url.rstrip("/"), str(signed))
