"""EKS, which is asked for the endpoint and the certificate authority of one cluster."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kube_iam.aws.client import make_client
from kube_iam.aws.iam_calls import IamCalls
from kube_iam.core.redaction import shown_url
from kube_iam.errors import AccessDenied, AwsError, NotFound

CONFIG_MAP, API = "CONFIG_MAP", "API"


@dataclass(frozen=True, slots=True)
class EksCluster:
    """A cluster of EKS. `certificate_authority` is PEM text, empty while the cluster is being created."""

    name: str
    arn: str
    endpoint: str
    certificate_authority: str
    authentication_mode: str

    @property
    def region(self) -> str:
        """Return the region, out of the ARN."""
        return self.arn.split(":")[3]

    @property
    def reads_aws_auth(self) -> bool:
        """Return whether the cluster reads the ConfigMap aws-auth: by CONFIG_MAP or API_AND_CONFIG_MAP."""
        return CONFIG_MAP in self.authentication_mode

    @property
    def reads_access_entries(self) -> bool:
        """Return whether the cluster has access entries: by API or API_AND_CONFIG_MAP."""
        return self.authentication_mode.startswith(API)


def doubt_about_aws_auth(cluster: EksCluster) -> str:
    """Return why the cluster does not apply aws-auth, with the remedy; empty where it does."""
    if cluster.reads_aws_auth:
        return ""
    return (
        f"EKS cluster {cluster.name} has authentication mode {cluster.authentication_mode} and does not read aws-auth, so that nobody"
        " can sign in by it: write mapping: {accessEntries: {}}; there is no way back to a mode with aws-auth"
    )


def doubt_about_endpoint(cluster: EksCluster, endpoint: str) -> str:
    """Return that the access file's API server is not the EKS cluster's, with the remedy; empty where it is or is not known."""
    if not cluster.endpoint or not endpoint or _host(cluster.endpoint) == _host(endpoint):
        return ""
    return (
        f"EKS cluster {cluster.name} is at {cluster.endpoint}, and cluster.endpoint is {shown_url(endpoint)}: access entries and"
        " bindings could be those of two clusters; correct cluster.id or cluster.endpoint"
    )


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def describe_cluster(name: str, region: str, session: Any) -> EksCluster:
    """Return the cluster. `session` is a botocore session. Raises what `read_cluster` raises."""
    return read_cluster(IamCalls(lambda service: make_client(service, region, session=session)), name, region)


def read_cluster(calls: IamCalls, name: str, region: str) -> EksCluster:
    """Return the cluster. Raises NotFound, AccessDenied and other AwsErrors."""
    doing = f"describe EKS cluster {name} in {region}"
    try:
        found: dict[str, Any] = calls.call("describe_cluster", doing, service="eks", name=name)["cluster"]
    except AccessDenied as error:
        raise AccessDenied(error.message, "the caller needs the permission eks:DescribeCluster") from error
    except NotFound as error:
        raise NotFound(error.message, f"`aws eks list-clusters --region {region}` lists them") from error
    try:
        data = found.get("certificateAuthority", {}).get("data", "")
        authority = base64.b64decode(data, validate=True).decode("ascii")
        arn, endpoint = str(found["arn"]), str(found.get("endpoint", ""))
        if arn.count(":") < 5:
            raise ValueError(arn)
    except (KeyError, ValueError, UnicodeDecodeError, binascii.Error) as error:
        raise AwsError(f"EKS describes cluster {name} in a form that is not known") from error
    # A cluster without accessConfig is older than access entries.
    mode = str(found.get("accessConfig", {}).get("authenticationMode") or CONFIG_MAP)
    return EksCluster(name, arn, endpoint, authority, mode)
