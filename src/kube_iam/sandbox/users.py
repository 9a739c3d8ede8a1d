"""IAM users of the sandbox and their access keys, created by the account's root with calls that we sign ourselves.

botocore is not used, because it would read the profiles, proxies and certificate settings of the user who runs the sandbox.
"""

from __future__ import annotations

import json
import re
import ssl
import time
import urllib.error
import urllib.request

from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import presign
from kube_iam.core.utc import basic_timestamp
from kube_iam.errors import SandboxError
from kube_iam.sandbox.state import ADMINISTRATOR, AUTHENTICATOR, REGION, Home, State

_USER_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_EXISTS = "<Code>EntityAlreadyExists</Code>"
_EVERYTHING = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}


def create_administrator(home: Home, state: State) -> State:
    """Create the IAM user that runs `kube-iam apply`, an administrator of the account. Raises SandboxError."""
    state = ensure_user(home, state, ADMINISTRATOR)
    policy = json.dumps(_EVERYTHING)
    _call(home, state, "PutUserPolicy", UserName=ADMINISTRATOR, PolicyName="everything", PolicyDocument=policy)
    return state


def put_server_policy(home: Home, state: State, document: dict[str, object]) -> None:
    """Replace the policy of the server's IAM user by this document. Raises SandboxError."""
    text = json.dumps(document, separators=(",", ":"))
    _call(home, state, "PutUserPolicy", UserName=AUTHENTICATOR, PolicyName="kube-iam-server", PolicyDocument=text)


def ensure_user(home: Home, state: State, name: str) -> State:
    """Return the state with that IAM user and an access key, which are created on first use. Raises SandboxError."""
    if name in state.keys:
        return state
    # A user has directories of that name.
    if not _USER_NAME.fullmatch(name) or name in (".", ".."):
        raise SandboxError(
            f"{name!r} cannot be the name of an IAM user here", "letters, digits and _+=,.@- only, 64 at most"
        )
    if _EXISTS in _call(home, state, "CreateUser", UserName=name):
        names = re.findall("<UserName>([^<]*)</UserName>", _call(home, state, "ListUsers", MaxItems="1000"))
        spelled = next((each for each in names if each.casefold() == name.casefold()), name)
        if spelled != name:
            raise SandboxError(
                f"the IAM user is written {spelled}, not {name}",
                f"names do not differ by letter case alone: write {spelled}",
            )
    answer = _call(home, state, "CreateAccessKey", UserName=name)
    state = state.with_user(name, Credentials(_element(answer, "AccessKeyId"), _element(answer, "SecretAccessKey")))
    home.save(state)
    return state


def groups_of(home: Home, state: State, name: str) -> frozenset[str]:
    """Return the names of the IAM groups that the user is in. Raises SandboxError."""
    answer = _call(home, state, "ListGroupsForUser", UserName=name)
    return frozenset(re.findall("<GroupName>([^<]*)</GroupName>", answer))


def is_account_ready(home: Home, state: State) -> bool:
    """Return whether the account answers signed calls."""
    try:
        _call(home, state, "ListUsers", MaxItems="1")
    except SandboxError:
        return False
    return True


def _call(home: Home, state: State, action: str, **parameters: str) -> str:
    url = presign(
        state.root,
        region=REGION,
        service="iam",
        host=f"127.0.0.1:{state.account_port}",
        path="/",
        parameters={"Action": action, "Version": "2010-05-08", **parameters},
        headers={},
        timestamp=basic_timestamp(time.time()),
        expires=60,
    )
    try:
        trust = ssl.create_default_context(cafile=str(home.ca))
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with direct.open(url, timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        with error:
            body = error.read().decode(errors="replace")
        if _EXISTS in body:
            return body
        raise SandboxError(f"the emulated AWS account refused {action}: {_element(body, 'Message')}") from error
    except OSError as error:
        raise SandboxError(f"the emulated AWS account cannot be reached for {action}") from error


def _element(xml: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", xml)
    return found[1] if found else ""
