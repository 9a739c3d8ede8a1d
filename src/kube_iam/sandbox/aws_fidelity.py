"""Corrections of the emulated account where it is laxer than AWS or answers differently (docs/decisions/0001).

They replace functions in the emulator's modules, in our own process only. `install` refuses to start where such a function is missing,
or has other parameters than in the version for which the correction was written.
"""

from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from kube_iam.errors import SandboxError
from kube_iam.sandbox.account_answers import Answer, error
from kube_iam.sandbox.account_conflicts import DELETE_PROBLEMS
from kube_iam.sandbox.account_eks import REPLACEMENTS, with_eks_rules
from kube_iam.sandbox.account_mfa import code_problem, present
from kube_iam.sandbox.account_names import CREATE_PROBLEMS, UPDATES, Parameters
from kube_iam.sandbox.account_quotas import QUOTA_PROBLEMS
from kube_iam.sandbox.account_resources import CONTEXT_PARAMETERS, PARAMETERS, with_condition_keys, with_paths
from kube_iam.sandbox.account_simulation import simulate
from kube_iam.sandbox.iam_policy.evaluate import AssumeRequest, evaluate_trust

VERSIONS = {"2011-06-15": "sts", "2010-05-08": "iam"}
STS_ACTIONS = ("GetCallerIdentity", "AssumeRole", "GetSessionToken")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_SHORTEST, _LONGEST, _LONGEST_CHAINED = 900, 43200, 3600


def install(root_key: str) -> None:
    """Install all corrections. `root_key` is the only access key of the account's root. Raises SandboxError."""
    app, evaluator = import_module("ministack.app"), import_module("ministack.core.iam_evaluator")
    if app.AUTH is not True or set(app.SERVICE_HANDLERS) != {"iam", "sts", "eks"}:
        raise SandboxError("the emulated account was not started with AUTH=true and SERVICES=iam,sts,eks")
    _replace(evaluator, "evaluate_trust_policy", ("trust_doc", "caller_arn", "ctx"), trust_allows)
    # In the emulator `test`, the empty key and every account id are root without a signature check. Here one random key is root, and
    # every signature is verified.
    _replace(evaluator, "is_root_access_key", ("access_key_id",), lambda access_key_id: access_key_id == root_key)
    _replace(evaluator, "_is_root_key", ("access_key_id",), lambda access_key_id: False)  # noqa: ARG005
    actions = import_module("ministack.core.iam_actions")
    _replace(actions, "extract_resource_arn", PARAMETERS, with_paths(actions.extract_resource_arn))
    context = with_condition_keys(actions.request_tag_context)
    _replace(actions, "request_tag_context", CONTEXT_PARAMETERS, context)
    # The emulator would take signed query strings of IAM for S3's.
    _replace(app, "detect_service", ("method", "path", "headers", "query_params"), _service)
    app.SERVICE_HANDLERS["sts"] = _sts(app.SERVICE_HANDLERS["sts"])
    eks = import_module("ministack.services.eks")
    for name, (parameters, replacement) in REPLACEMENTS.items():
        _replace(eks, name, parameters, replacement)
    app.SERVICE_HANDLERS["eks"] = with_eks_rules(app.SERVICE_HANDLERS["eks"])
    _complete(import_module("ministack.services.iam")._IAM_HANDLERS)


def _complete(handlers: dict[str, Callable[[Parameters], Answer]]) -> None:
    """Check names, quotas and what a group holds before the emulator's own IAM actions, and add or replace further actions."""
    for action, problem in {**CREATE_PROBLEMS, **QUOTA_PROBLEMS, **DELETE_PROBLEMS}.items():
        handlers[action] = _checked(problem, handlers[action])
    handlers.update(UPDATES)
    handlers["SimulatePrincipalPolicy"] = simulate


def _checked(
    problem: Callable[[Parameters], Answer | None], handler: Callable[[Parameters], Answer]
) -> Callable[[Parameters], Answer]:
    return lambda parameters: problem(parameters) or handler(parameters)


def expire_sessions() -> None:
    """Expire every session that STS has issued."""
    for session in list(import_module("ministack.services.sts")._sessions.values()):
        session["Expiration"] = 0.0


def _service(method: str, path: str, headers: object, query_params: dict[str, list[str]] | None = None) -> str:  # noqa: ARG001
    if path != "/":
        return "eks"
    return VERSIONS.get((query_params or {}).get("Version", [""])[0], "unknown")


def _replace(module: Any, name: str, parameters: tuple[str, ...], by: Callable[..., Any]) -> None:
    ours = getattr(module, name, None)
    if ours is None or tuple(inspect.signature(ours).parameters) != parameters:
        raise SandboxError(
            f"this version of ministack has no {name}({', '.join(parameters)})",
            "install the version that kube-iam[sandbox] names",
        )
    setattr(module, name, by)


def trust_allows(trust_doc: object, caller_arn: str, ctx: Any = None) -> bool:
    """Return whether a role's trust policy allows the call. Our own evaluator supports policy variables and NotPrincipal."""
    # "Roles may not be assumed by root accounts."
    if ctx is None or ctx.action not in ("sts:AssumeRole", "sts:TagSession") or ctx.principal_type == "Root":
        return False
    request = AssumeRequest(
        principal=caller_arn,
        account=ctx.principal_account,
        role=ctx.resource_arn,
        session_name=ctx.service_context.get("sts:rolesessionname") or "",
        context=_condition_keys(ctx, time.time()),
        action=ctx.action,
    )
    return evaluate_trust(trust_doc, request).allowed


def _condition_keys(ctx: Any, now: float) -> Mapping[str, str | tuple[str, ...]]:
    keys: dict[str, Any] = {
        "aws:currenttime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(now)),
        "aws:requestedregion": ctx.region,
        "aws:sourceip": ctx.source_ip,
        "aws:securetransport": str(ctx.secure_transport).lower(),
        "aws:multifactorauthpresent": "true" if present.get() else None,
        **ctx.principal_keys,
        **ctx.service_context,
        **{f"aws:requesttag/{key}": value for key, value in ctx.request_tags.items()},
        "aws:tagkeys": tuple(ctx.tag_keys) or None,
    }
    return {key: value for key, value in keys.items() if isinstance(value, str | tuple)}


def _sts(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the handler of STS with AWS's limits on requests, and with JSON for clients that ask for JSON."""

    async def limited(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        parameters = _parameters(body, query)
        if parameters.get("Action") == "AssumeRole":
            problem = _assume_role_problem(parameters, _access_key(headers, query).startswith("ASIA"))
            if problem:
                return error(400, "ValidationError", problem)
            problem = code_problem(parameters, _access_key(headers, query), time.time())
            if problem:
                return error(403, "AccessDenied", problem)
        answer: Answer = await handler(method, path, headers, body, query)
        if answer[0] == 200 and "application/json" in headers.get("accept", ""):
            return 200, {"Content-Type": "application/json"}, _identity_json(answer[2].decode())
        return answer

    return limited


def _parameters(body: bytes, query: dict[str, list[str]]) -> dict[str, str]:
    from urllib.parse import parse_qs

    return {name: values[0] for name, values in {**query, **parse_qs(body.decode("utf-8", "replace"))}.items()}


def _access_key(headers: dict[str, str], query: dict[str, list[str]]) -> str:
    key: str = import_module("ministack.core.router").extract_access_key_id(headers, query)
    return key


def _assume_role_problem(parameters: Mapping[str, str], chained: bool) -> str:
    """Return AWS's error where the call exceeds a limit, else an empty text.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    if not _SESSION_NAME.fullmatch(parameters.get("RoleSessionName", "")):
        return r"Value at 'roleSessionName' failed to satisfy constraint: [\w+=,.@-]*, 2 to 64 characters"
    text = parameters.get("DurationSeconds", "3600")
    seconds = int(text) if text.isascii() and text.isdigit() else 0
    if not _SHORTEST <= seconds <= _LONGEST:
        return f"Value at 'durationSeconds' failed to satisfy constraint: between {_SHORTEST} and {_LONGEST}"
    if chained and seconds > _LONGEST_CHAINED:
        return "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
    arn = parameters.get("RoleArn", "")
    role = import_module("ministack.services.iam")._roles.get(arn.rsplit("/", 1)[-1])
    if role is not None and role.get("Arn") != arn:
        return f"Invalid RoleArn: {arn}"  # the emulator looks up roles by name and ignores the path
    if role is not None and seconds > int(role.get("MaxSessionDuration") or 3600):
        return "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    return ""


def _identity_json(xml: str) -> bytes:
    """Return the answer of GetCallerIdentity as JSON, as STS sends it for `accept: application/json`."""
    found = {name: re.search(f"<{name}>([^<]*)</{name}>", xml) for name in ("Account", "Arn", "UserId", "RequestId")}
    values = {name: match[1] if match else "" for name, match in found.items()}
    metadata = {"RequestId": values.pop("RequestId")}
    return json.dumps(
        {"GetCallerIdentityResponse": {"GetCallerIdentityResult": values, "ResponseMetadata": metadata}}
    ).encode()
