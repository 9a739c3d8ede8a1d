"""`kube-iam token` from its flags to its output. Both the hand parser and the click command end here. On the `token` path."""

import os
import sys
import time

from kube_iam.aws.token_cache import IssuedToken, TokenCache, TokenRequest
from kube_iam.core.exec_credential import api_version_of, exec_credential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kube_iam.cli.token_flags import Flags


def run(
    flags: "Flags",
    program: str,
    file_settings: "Mapping[str, str | bool] | None" = None,
    environ: "Mapping[str, str]" = os.environ,
) -> int:
    """Print the token, or one line on stderr that says what to do; returns the exit code.

    Settings are taken from the flags, else the environment, else `file_settings` (what the file of `-c` says, by flag).
    """
    try:
        line, complaint = answer(flags, file_settings or {}, environ)
    except Exception as error:
        from kube_iam.errors import KubeIamError

        if not isinstance(error, KubeIamError):
            raise
        from kube_iam.core.printable import escaped

        print(f"{program}: error: {escaped(' '.join(str(error).split()))}", file=sys.stderr)
        return error.exit_code
    if complaint:
        from kube_iam.core.printable import escaped

        print(f"{program}: {escaped(complaint)}", file=sys.stderr)
    sys.stdout.write(f"{line}\n")
    return 0


def answer(flags: "Flags", file_settings: "Mapping[str, str | bool]", environ: "Mapping[str, str]") -> tuple[str, str]:
    """The line to print, and a complaint for stderr, mostly empty."""
    try:
        exec_info = api_version_of(environ.get("KUBERNETES_EXEC_INFO", ""))
    except ValueError as error:
        raise _usage_error(
            str(error), "set apiVersion: client.authentication.k8s.io/v1beta1 in the exec section of the kubeconfig"
        ) from error
    request = request_of(flags, file_settings, environ)
    request.interactive = exec_info.interactive is not False
    if flags.get("token_only", file_settings.get("token_only")):
        # Whoever asks for a bare token cannot ask for another when it ends: it gets all of its time.
        from kube_iam.aws.issue_token import issue_token

        signed = issue_token(request, environ, time.time)
        return signed.token, signed.complaint
    signed = _kept_or_new(request, environ)
    return exec_credential(signed.token, signed.expires, exec_info.api_version), signed.complaint


def _kept_or_new(request: TokenRequest, environ: "Mapping[str, str]") -> IssuedToken:
    kept = TokenCache(request, environ)
    found = kept.load(time.time())
    if found is not None:
        return found
    from kube_iam.aws.issue_token import issue_token

    signed = issue_token(request, environ, time.time)
    kept.store(signed)
    return signed


def request_of(flags: "Flags", file_settings: "Mapping[str, str | bool]", environ: "Mapping[str, str]") -> TokenRequest:
    """What is asked for, all settings together. A flag that is given counts even when empty; an empty variable does not."""
    settings = {**file_settings}
    for name, variable in (("cluster_id", "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"), ("role", "DEFAULT_ROLE")):
        if environ.get(variable):
            settings[name] = environ[variable]
    settings |= flags
    cluster_id, session_name = settings.get("cluster_id"), str(settings.get("session_name") or "")
    if not cluster_id:
        raise _usage_error("no cluster id", "give it with -i, or in KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID")
    if session_name and settings.get("forward_session_name"):
        raise _usage_error("--forward-session-name and --session-name exclude each other", "leave one of them out")
    return TokenRequest(
        str(cluster_id),
        role=str(settings.get("role") or ""),
        external_id=str(settings.get("external_id") or ""),
        session_name=session_name,
        mfa_serial=str(settings.get("mfa_serial") or ""),
        region=str(settings.get("region") or ""),
        cache=bool(settings.get("cache")),
    )


def _usage_error(message: str, hint: str) -> Exception:
    from kube_iam.errors import UsageError

    return UsageError(message, hint)
