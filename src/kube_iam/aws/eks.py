"""EKS, which is asked for the endpoint and the certificate authority of one cluster."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from kube_iam.aws.client import aws_errors, make_client
from kube_iam.errors import AccessDenied, AwsError, NotFound

CONFIG_MAP = "CONFIG_MAP"


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


def describe_cluster(name: str, region: str, session: Any) -> EksCluster:
    """Return the cluster. `session` is a botocore session. Raises NotFound, AccessDenied and other AwsErrors."""
    client = make_client("eks", region, session=session)
    try:
        with aws_errors(f"describe EKS cluster {name} in {region}"):
            found: dict[str, Any] = client.describe_cluster(name=name)["cluster"]
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
