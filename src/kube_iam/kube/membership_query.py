"""Status queries about memberships, sent through kube-apiserver, or directly to a server whose config.yaml is on this machine."""

from __future__ import annotations

import json
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from http.client import HTTPException
from pathlib import Path

from kube_iam.config.server import ServerConfig, load_server_config
from kube_iam.core.membership_status import (
    MOST_ASKED,
    MembershipAnswer,
    MembershipQuestion,
    MembershipStatus,
    read_membership_answer,
)
from kube_iam.errors import KubeError
from kube_iam.kube.webhook_faults import Review

_TIMEOUT = 10.0  # seconds; the server answers a status query without waiting for anything
_LARGEST_ANSWER = 1024 * 1024


def ask_memberships(review: Callable[[str], Review], requirements: Collection[str]) -> MembershipAnswer:
    """Return the answer of one server about the requirements: names, any number of them.

    `review` makes a TokenReview with a token. Raises KubeError if no kube-iam server answers,
    and what `review` raises.
    """
    names, server = tuple(requirements), ""
    states: dict[str, MembershipStatus] = {}
    for start in range(0, len(names), MOST_ASKED):
        question = MembershipQuestion(secrets.token_hex(8), names[start : start + MOST_ASKED])
        answer = read_membership_answer(review(question.token).error, question.nonce)
        if answer is None:
            raise KubeError("no kube-iam server answers there")
        states |= answer.states
        server = answer.server
    return MembershipAnswer("", server, states)


def local_review(config_file: Path) -> Callable[[str], Review]:
    """Return a function that makes a TokenReview at the server of that config.yaml, which has to run on this machine.

    No credentials but the token are sent, and only the certificate in the server's state directory is trusted. Raises ConfigError if
    the file cannot be used; the function raises KubeError if the server cannot be asked.
    """
    config = load_server_config(config_file, {})[0]
    return lambda token: _post(config, token)


def _post(config: ServerConfig, token: str) -> Review:
    host = f"[{config.hostname}]" if ":" in config.hostname else config.hostname
    url = f"https://{host}:{config.port}/authenticate"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    trust = _trust(config.state_dir / "cert.pem")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    request = urllib.request.Request(url, json.dumps(review).encode(), {"Content-Type": "application/json"})
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            found = json.loads(answer.read(_LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        raise KubeError(f"the server at {url} cannot be asked (HTTP {error.code})") from error
    except (OSError, ValueError, HTTPException) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise KubeError(f"the server at {url} cannot be asked ({type(why).__name__})") from error
    status = found.get("status") if isinstance(found, dict) else None
    if not isinstance(status, dict):
        return Review()
    user = status.get("user") if status.get("authenticated") is True else None
    return Review(str(user.get("username", "")) if isinstance(user, dict) else "", str(status.get("error", "")))


def _trust(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts exactly this certificate, self-signed or not. Raises KubeError if it cannot be read."""
    try:
        context = ssl.create_default_context(cafile=str(certificate))
    except OSError as error:
        raise KubeError(
            f"the certificate {certificate} of the server cannot be read ({type(error).__name__})"
        ) from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
