"""Settings of the server's calls to EC2 for names of nodes: rate, role to assume, and source ARN."""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.config.settings import Settings
from kube_iam.core.arns import is_account_id, parse_arn

KEYS = ("ec2DescribeInstancesRoleARN", "sourceARN", "ec2DescribeInstancesQps", "ec2DescribeInstancesBurst")


@dataclass(frozen=True, slots=True)
class Ec2Settings:
    """`role_arn` is the role to assume for DescribeInstances, empty for the server's own identity. `qps` 0 is no limit."""

    role_arn: str = ""
    source_arn: str = ""
    qps: int = 15
    burst: int = 5


def read_ec2(reader: Settings) -> Ec2Settings:
    """Return the settings. Invalid values are reported to the reader."""
    default = Ec2Settings()
    role, source, of_qps, of_burst = KEYS
    qps = reader.number(of_qps, default.qps)
    burst = reader.number(of_burst, default.burst)
    if qps and not burst:
        reader.error(of_burst, "must be at least 1", f"or set {of_qps} to 0 for no limit at all")
    settings = Ec2Settings(_arn(reader, role), _arn(reader, source), qps, burst)
    if settings.role_arn and ":role/" not in settings.role_arn:
        reader.error(role, "is not the ARN of a role")
    if settings.source_arn and not settings.role_arn:
        reader.server.warn(reader.server.at(source), f"has no effect without {role}: it is sent with AssumeRole")
    return settings


def _arn(reader: Settings, name: str) -> str:
    text = reader.text(name, "")
    arn = parse_arn(text) if text else None
    if text and (arn is None or not is_account_id(arn.account)):
        reader.error(name, "is not an ARN with an account in it")
        return ""
    return text
