"""One log line per decision: who, what they get or why not, from where, how long it took. Never a token.

Messages and names of fields are the reference's; its line "STS response" is part of ours.
"""

from __future__ import annotations

from kube_iam.authn.decide import Allowed, Decision
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason
from kube_iam.server.log import Log, Value

_REQUEST: dict[str, Value] = {"method": "POST", "path": "/authenticate"}


def log_decision(log: Log, decision: Decision, client: str, seconds: float) -> None:
    """Write the line: info for a sign-in, warning for a refusal, debug for a probe and a bearer token that was never ours.

    Of an identity in a scrubbed account neither ARN nor ids are written.
    """
    if isinstance(decision, Allowed):
        # Writing it out is most of what a remembered token would cost.
        write = decision.cache.get("line")
        if write is None:
            write = decision.cache["line"] = log.form(
                "info", "access granted", _granted(decision), ("client", "latency")
            )
        write(client=client, latency=seconds)
        return
    fields: dict[str, Value] = {"client": client, "latency": seconds, **_REQUEST}
    identity = decision.identity
    if identity is not None and not decision.scrubbed:
        fields |= _who(identity)
    fields |= {"reason": decision.refusal.reason.value, "error": decision.refusal.message}
    if decision.refusal.reason is Reason.STATUS_QUERY:
        # Nobody needs to be anybody to send one.
        log.debug("status query", **fields)
        return
    # kube-apiserver asks every authenticator about every bearer token, service accounts' included.
    foreign = decision.refusal.reason is Reason.TOKEN_PREFIX
    log.write("debug" if foreign else "warning", "access denied", fields)


def _granted(decision: Allowed) -> dict[str, Value]:
    fields = dict(_REQUEST)
    if not decision.scrubbed:
        fields |= _who(decision.identity)
    user = decision.user
    account = decision.identity.account_id
    # mapAccounts makes the ARN the user name, and {{AccountID}} may stand in any name.
    if not (decision.scrubbed and account in user.username):
        fields |= {"username": user.username, "uid": user.uid}
    if not (decision.scrubbed and any(account in group for group in user.groups)):
        fields["groups"] = user.groups
    return fields | {"mapping": decision.source, "stsendpoint": decision.identity.sts_host}


def _who(identity: Identity) -> dict[str, Value]:
    return {
        "arn": identity.canonical_arn,
        "accountid": identity.account_id,
        "userid": identity.user_id,
        "session": identity.session_name,
        "accesskeyid": identity.access_key_id,
        "stsendpoint": identity.sts_host,
    }
