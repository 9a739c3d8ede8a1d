"""Errors that botocore and the HTTP client raise before AWS has answered, in terms of our tree.

Texts of these exceptions quote headers, requests, output of credential tools, and passwords of proxies. So a message is made of the
exception's type and of fields that cannot hold a secret: names of profiles, variables and files, and hosts.
"""

from __future__ import annotations

import re
from traceback import walk_tb
from urllib.parse import urlsplit

from kube_iam.core.redaction import network_reason, without_secrets
from kube_iam.errors import AwsError, CredentialsError, KubeIamError, Unreachable

_SIGN_IN = "run `aws sso login` for this profile"
# Values of credential_source, each with what gives its credentials.
_NAMED_SOURCES = {
    "Environment": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "EcsContainer": "run in a container with a task role or a pod identity, which sets AWS_CONTAINER_CREDENTIALS_*",
    "Ec2InstanceMetadata": "run on an instance with a role, and without AWS_EC2_METADATA_DISABLED",
}
_CONFIGURATION = "correct the AWS configuration (~/.aws/config, AWS_* variables)"
_WHERE_VALUES_STAND = (
    "check the AWS_* variables, ~/.aws/config, ~/.aws/credentials, and what a credential_process prints"
)
_NOT_UNDERSTOOD = (KeyError, IndexError, AttributeError, TypeError, RecursionError)
_MAX_FIELD = 200
_REGIONAL_STS = re.compile(r"sts(?:-fips)?\.([a-z0-9-]+)\.", re.ASCII)


def is_expected(error: Exception) -> bool:
    """Return whether botocore, its HTTP client or the files that it reads raise such an error. Others are bugs of ours.

    botocore fails with such errors on unexpected answers, such as a list where a credential tool has to print a mapping.
    """
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    if isinstance(error, (BotoCoreError, HTTPError, OSError, ValueError)):
        return True
    return is_unreadable_answer(error)


def is_unreadable_answer(error: Exception) -> bool:
    """Return whether botocore failed on an unexpected answer, or found that new credentials have expired."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    if isinstance(error, (BotoCoreError, ClientError, HTTPError, OSError, KubeIamError)):
        return False
    if isinstance(error, ValueError):
        return True
    if isinstance(error, RecursionError):  # JSON of a tool, nested so deep that its decoder gives up
        return any(_package(name) == "botocore" for name in _modules(error))
    return isinstance(error, (*_NOT_UNDERSTOOD, RuntimeError)) and _package(_raised_in(error)) in (
        "botocore",
        "dateutil",
    )


def _raised_in(error: Exception) -> str:
    """Return the name of the module whose code raised the error."""
    return next(reversed(_modules(error)), "")


def _modules(error: Exception) -> list[str]:
    """Return the names of the modules that the error came through, the one that raised it last."""
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in walk_tb(error.__traceback__)]


def _package(module: str) -> str:
    return module.partition(".")[0]


def before_an_answer(error: Exception, doing: str) -> KubeIamError:
    """Return the error of our tree for an exception that was raised before AWS answered. `doing` completes "cannot …"."""
    import botocore.exceptions as known

    what = f"cannot {doing}"
    match error:
        case known.NoCredentialsError():
            return CredentialsError(
                f"{what}: no AWS credentials found", "set AWS_PROFILE, or run `aws configure` or `aws sso login`"
            )
        case known.PartialCredentialsError() if _field(error, "provider") == "assume-role":
            return CredentialsError(
                f"{what}: the profile has a role_arn, and neither source_profile nor credential_source",
                "add to the profile: source_profile = NAME, with the profile whose keys assume the role",
            )
        case known.PartialCredentialsError():
            return CredentialsError(
                f"{what}: the AWS credentials are incomplete: {_field(error, 'cred_var')} is missing",
                "give both halves of the access key",
            )
        case known.ProfileNotFound():
            return CredentialsError(
                f"{what}: there is no profile {_field(error, 'profile')!r}",
                "see `aws configure list-profiles`, and AWS_PROFILE",
            )
        case known.SSOError() | known.TokenRetrievalError():
            return CredentialsError(f"{what}: the IAM Identity Center sign-in has ended", _SIGN_IN)
        case known.LoginError():
            return CredentialsError(f"{what}: the AWS sign-in has ended", "run `aws login` for this profile")
        case known.RefreshWithMFAUnsupportedError():
            return CredentialsError(f"{what}: the session has ended and needs a new MFA code", "repeat the command")
        case known.CredentialRetrievalError() | known.MetadataRetrievalError():
            return _no_credentials(error, what)
        case known.HTTPClientError() | known.ConnectionError():
            return _not_sent(error, what)
        case known.NoRegionError():
            return CredentialsError(f"{what}: no AWS region is set", "give --region or set AWS_REGION")
        case known.ConfigParseError():
            return CredentialsError(
                f"{what}: {_field(error, 'path')} cannot be read as a configuration", _CONFIGURATION
            )
        case known.InvalidConfigError():
            return CredentialsError(f"{what}: {_field(error, 'error_msg').rstrip('.')}", _CONFIGURATION)
        case known.UnknownCredentialError():
            return CredentialsError(f"{what}: there is no credential source {_field(error, 'name')!r}", _CONFIGURATION)
        case known.InvalidRegionError():
            return CredentialsError(
                f"{what}: {_field(error, 'region_name')!r} is not the name of a region", _CONFIGURATION
            )
        case known.InvalidRetryConfigurationError() | known.InvalidRetryModeError():
            return CredentialsError(f"{what}: the retry settings are not valid", _CONFIGURATION)
        case known.EndpointVariantError():
            variants = _text(str(getattr(error, "kwargs", {}).get("tags", "")))
            return CredentialsError(f"{what}: this region has no endpoint with {variants}", _CONFIGURATION)
        case RuntimeError() if not isinstance(error, RecursionError):
            return CredentialsError(  # botocore raises it where a source gives such credentials, and in no other place
                f"{what}: the AWS credentials that their source gives have expired",
                "sign in again there; is this machine's clock right?",
            )
        case OSError() | ValueError() | KeyError() | IndexError() | AttributeError() | TypeError() | RecursionError():
            return _not_read(error, what)
    return AwsError(f"{what}: botocore fails with {type(error).__name__}")


def _no_credentials(error: Exception, what: str) -> KubeIamError:
    provider = _field(error, "provider")
    if provider in _NAMED_SOURCES:
        return CredentialsError(
            f"{what}: credential_source is {provider}, which has no keys here", _NAMED_SOURCES[provider]
        )
    if provider == "container-role":
        return CredentialsError(
            f"{what}: the container's credentials service failed", "check the AWS_CONTAINER_* variables and the agent"
        )
    if provider:
        return CredentialsError(f"{what}: the credential source {provider} failed", _CONFIGURATION)
    return CredentialsError(f"{what}: the credentials' metadata service failed", "check the instance's or task's role")


def _not_sent(error: Exception, what: str) -> KubeIamError:
    """Return the error for a request that was not sent, or not answered."""
    import botocore.exceptions as known

    host = _host(error, "endpoint_url")
    inner = getattr(error, "kwargs", {}).get("error")
    match error:
        case known.SSLError():
            reason = network_reason(error) or "TLS failed"
            return Unreachable(
                f"{what}: no trusted connection to {host}: {reason}",
                "a proxy that opens TLS? Name its CA file in AWS_CA_BUNDLE",
            )
        case known.ProxyConnectionError():
            proxy = _host(error, "proxy_url")
            return Unreachable(f"{what}: the proxy {proxy} cannot be reached", "check HTTPS_PROXY and NO_PROXY")
        case known.ConnectTimeoutError() | known.ReadTimeoutError():
            return Unreachable(f"{what}: {host} does not answer in time", _network_hint(host))
    if isinstance(inner, (ValueError, TypeError)):
        return _not_read(inner, what)
    reason = network_reason(error) or type(inner or error).__name__
    return Unreachable(f"{what}: {host} cannot be reached ({reason})", _network_hint(host))


def _network_hint(host: str) -> str:
    """Return a remedy. For a host of an unknown region it names the region that was probably meant."""
    from kube_iam.aws.regions import regions_of
    from kube_iam.config.suggestions import suggestion
    from kube_iam.core.partitions import partition_of_region

    found = _REGIONAL_STS.match(host)
    known = regions_of(partition_of_region(found[1])) if found else ()
    if found is None or found[1] in known:
        return "check the network and HTTPS_PROXY"
    hint = suggestion(found[1], known) or "see `aws account list-regions`."
    return f"{found[1]} is no region that this version knows: {hint} If it is one, check the network and HTTPS_PROXY"


def _not_read(error: Exception, what: str) -> KubeIamError:
    """Return the error for a file or a value that cannot be used."""
    kind = type(error).__name__
    if isinstance(error, OSError):
        named = _text(error.filename)
        return CredentialsError(f"{what}: {error.strerror or kind}: {named}".removesuffix(": "), _CONFIGURATION)
    if isinstance(error, _NOT_UNDERSTOOD):
        return Unreachable(
            f"{what}: an answer, or what a credential tool prints, is not understood ({kind})",
            "is there a proxy in between? Does the tool print JSON as AWS documents it?",
        )
    if isinstance(error, UnicodeError) or str(error).startswith("Invalid header"):
        return CredentialsError(
            f"{what}: a value contains a line break or another character that cannot be sent", _WHERE_VALUES_STAND
        )
    return CredentialsError(f"{what}: a value cannot be used ({kind})", _WHERE_VALUES_STAND)


def _field(error: Exception, name: str) -> str:
    """Return a field of a botocore exception. Pass only names of fields that hold no header and no request."""
    return _text(getattr(error, "kwargs", {}).get(name))


def _text(value: object) -> str:
    text = without_secrets(" ".join(value.split())) if isinstance(value, str) else ""
    return text if text.isprintable() and len(text) <= _MAX_FIELD else ""


def _host(error: Exception, name: str) -> str:
    """Return host and port of a field with a URL: the user info may be a password, and the query a signature."""
    try:
        parts = urlsplit(str(getattr(error, "kwargs", {}).get(name) or ""))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the endpoint"
    return f"{parts.hostname}{port}" if parts.hostname else "the endpoint"
