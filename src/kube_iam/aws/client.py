"""The one place that makes botocore clients, so that all have the same retries, time limits and user agent.

botocore is imported inside the functions: importing this module is cheap.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kube_iam.aws.config_checks import check_configuration, check_process_variables, check_token_files
from kube_iam.aws.endpoint_checks import check_endpoint
from kube_iam.aws.errors import aws_errors, translate
from kube_iam.core.credentials import check_environment, check_value

__all__ = [
    "aws_errors",
    "iam_client",
    "make_client",
    "make_session",
    "translate",
]

DEFAULT_REGION = "us-east-1"


def make_session(profile: str = "", environ: Mapping[str, str] = os.environ) -> Any:
    """Return a botocore session for the profile, which reads this process's environment.

    An empty `profile` means AWS_PROFILE, else AWS_DEFAULT_PROFILE, else `default`: keys in the environment then have precedence.
    Raises CredentialsError for an unknown profile, and for variables and settings with values that cannot be sent.
    """
    from botocore.loaders import Loader

    from kube_iam.aws.sdk_session import SdkSession

    check_environment(environ)
    check_process_variables(environ)
    check_token_files(environ)
    check_value("the profile's name", profile)
    session = SdkSession(profile, environ)
    # Models of the SDK alone: AWS_DATA_PATH and ~/.aws/models could name other endpoints, which no setting would show.
    session.register_component(
        "data_loader", Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    )
    with aws_errors("read the AWS configuration"):
        session.full_config  # noqa: B018  (read now, so that a broken file is reported as what it is)
        if profile or session.get_config_variable("profile"):
            session.get_scoped_config()
        check_configuration(session.full_config, session.profile or "default", environ)
    return session


def make_client(
    service: str,
    region: str = "",
    profile: str = "",
    *,
    session: Any = None,
    config: Any = None,
    environ: Mapping[str, str] = os.environ,
    **keys: Any,
) -> Any:
    """Return a botocore client: standard retries, the limits of `aws.time_limits`, `kube-iam/VERSION` in the user agent.

    Region: the argument, AWS_REGION, AWS_DEFAULT_REGION, the profile's, else us-east-1. `config` is a botocore Config
    that overrides these; `keys` are further arguments of botocore's `create_client` (`aws_access_key_id=…`). Raises the errors of our
    tree, and UsageError for an http endpoint beyond this machine.
    """
    from botocore.config import Config

    check_value("the region", region)
    session = session or make_session(profile)
    with aws_errors(f"prepare calls to {service.upper()}"):
        region = region or environ.get("AWS_REGION", "") or session.get_config_variable("region") or DEFAULT_REGION
        ours = Config(user_agent_extra=f"kube-iam/{_version()}")
        merged = ours.merge(config) if config else ours
        client = session.create_client(service, region_name=region, config=merged, **keys)
    check_endpoint(client.meta.endpoint_url, f"the endpoint of {service.upper()}")
    return client


def iam_client(region: str, session: Any, environ: Mapping[str, str] = os.environ, service: str = "iam") -> Any:
    """Return a client for IAM or EKS that several threads may use at once. When AWS throttles, all of them slow down.

    IAM does not publish its limits: botocore's adaptive mode finds them. It gets five attempts, or AWS_MAX_ATTEMPTS.
    """
    from botocore.config import Config

    retries: Any = {"mode": "adaptive"}
    if not environ.get("AWS_MAX_ATTEMPTS"):
        retries["total_max_attempts"] = 5
    return make_client(service, region, session=session, config=Config(retries=retries), environ=environ)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kube-iam")
    except PackageNotFoundError:
        return "unknown"
