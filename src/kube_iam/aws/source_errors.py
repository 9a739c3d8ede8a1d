"""One error for each failure of a source of credentials: it names the source and the remedy.

botocore fails on unexpected answers with errors of many kinds: a JSON error for an empty file, a KeyError for `{}`, a TypeError for a
time without a zone. Those become one sentence here. `local_errors` and `errors` handle errors with fields of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kube_iam.aws.local_errors import is_unreadable_answer
from kube_iam.errors import CredentialsError

# botocore's METHOD -> the source in the field's words, and the remedy.
_SOURCES = {
    "env": ("the keys in the environment", "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_CREDENTIAL_EXPIRATION"),
    "assume-role": ("the role of the profile", "check role_arn and source_profile or credential_source in ~/.aws/config"),
    "assume-role-with-web-identity": ("the web identity", "check the role and the file in AWS_WEB_IDENTITY_TOKEN_FILE or the profile"),
    "sso": ("IAM Identity Center", "run `aws sso login` for this profile: its file in ~/.aws/sso/cache cannot be used"),
    "login": ("`aws login`", "run `aws login` for this profile: its file in ~/.aws/login/cache cannot be used"),
    "container-role": ("the container's credentials agent", "check the AWS_CONTAINER_* variables and the agent's answer"),
    "iam-role": ("the instance's metadata", "check the role of the instance"),
}  # fmt: skip


@contextmanager
def source_errors(method: str) -> Iterator[None]:
    """Raise CredentialsError, naming the source, where botocore fails on its answer. Other errors pass unchanged.

    `method` is botocore's name of the source. No text of an exception is repeated.
    """
    try:
        yield
    except Exception as error:
        if not is_unreadable_answer(error):
            raise
        raise unusable(method, ended=isinstance(error, RuntimeError)) from error


def unusable(method: str, *, ended: bool) -> CredentialsError:
    """Return the error for a source, by botocore's name, whose credentials have ended or cannot be used."""
    source, remedy = _SOURCES.get(
        method, (f"the credential source {method}", "check ~/.aws/config and the AWS_* variables")
    )
    problem = "has given credentials that have ended" if ended else "has given no credentials that can be used"
    return CredentialsError(f"cannot find AWS credentials: {source} {problem}", remedy)


def name_errors(provider: Any, check: Callable[[], None] = lambda: None) -> Any:
    """Return botocore's provider, with its errors, and those of renewals, as `source_errors` raises them.

    `check` is called before credentials are loaded, and may raise an error of our tree.
    """
    load, method = provider.load, str(provider.METHOD)

    def named() -> Any:
        check()
        with source_errors(method):
            found = load()
        renew = getattr(found, "_refresh_using", None)
        if renew is not None:
            found._refresh_using = lambda: _named(method, renew)
        return found

    provider.load = named
    return provider


def _named(method: str, renew: Callable[[], Any]) -> Any:
    with source_errors(method):
        return renew()
