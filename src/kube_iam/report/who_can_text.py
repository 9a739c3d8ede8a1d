"""Text and data of `who-can`: people, the ways by which they may, and what the answer does not cover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kube_iam.access.who_can import Answer, WhoCan
from kube_iam.core.printable import escaped_lines
from kube_iam.core.rbac import AUTHENTICATED, GROUP, MASTERS, RbacSubject, Request
from kube_iam.denylist.denial import Denial
from kube_iam.report.members_text import denied_text, table

IGNORE_GROUP = (
    "servers that ignore iamGroup, as aws-iam-authenticator and EKS's own: they admit every session of the role"
)
LIMITS = (
    "EKS: the hidden creator of the cluster, access policies, and access entries beside a mapping in aws-auth",
    "other authenticators (OIDC, other webhooks, other mappings of the server) and client certificates, also those in system:masters",
    IGNORE_GROUP,
    "authorizers beside RBAC (Node, Webhook, ABAC)",
    "what IAM policies allow: whether somebody can assume a role, and conditions of trust policies",
    "denials of access keys and of the unique ids of roles",
    "rights that somebody could get by the verbs bind, escalate and impersonate, or by a pod's service account",
)
"""Ways to sign in and to get rights that `who-can` does not see."""


@dataclass(frozen=True, slots=True)
class WhoCanReport:
    """An answer with all that is printed of it. `denied` has the denial of answers by position, `unread` what could not be read.

    `any_server`: servers that ignore `iamGroup` are covered too.
    """

    request: Request
    found: WhoCan
    denied: Mapping[int, Denial] = field(default_factory=dict)
    unread: Sequence[str] = ()
    any_server: bool = False

    @property
    def is_complete(self) -> bool:
        """Return whether everything that the answer rests on was read."""
        return not self.unread

    @property
    def limits(self) -> tuple[str, ...]:
        """Return what the answer does not cover."""
        return tuple(each for each in LIMITS if not (self.any_server and each == IGNORE_GROUP))


def request_text(request: Request) -> str:
    """Return `get pods in namespace default`, `create pods/exec in all namespaces`, `get /metrics`."""
    if request.path:
        return f"{request.verb} {request.path}"
    group = f".{request.group}" if request.group else ""
    name = f" {request.name}" if request.name else ""
    resource = f"{request.resource}{group}" + (f"/{request.subresource}" if request.subresource else "")
    return f"{request.verb} {resource}{name}"


def who_can_text(report: WhoCanReport, where: str, *, everything: bool) -> str:
    """Return the report for people, escaped. `where` names the namespace. `everything` lists service accounts too."""
    head = f"Who can {request_text(report.request)}{where}"
    lines = [head if report.is_complete else f"{head} (incomplete: see below)", ""]
    text = "".join(f"{line}\n" for line in escaped_lines(lines))
    if report.found.answers:
        rows = [_row(each, report.denied.get(at)) for at, each in enumerate(report.found.answers)]
        text += table(("WHO", "LEVEL", "THROUGH", "AS", "ALLOWED BY", "NOTE"), rows).rstrip("\n") + "\n"
    else:
        text += "Nobody that the mapping admits.\n"
    return text + "".join(f"{line}\n" for line in escaped_lines(list(_rest(report, everything=everything))))


def _row(answer: Answer, denial: Denial | None) -> tuple[str, ...]:
    candidate = answer.candidate
    subjects = dict.fromkeys(str(grant.subject) for grant in answer.grants)
    who = candidate.person or candidate.principal
    notes = [
        *([denied_text(denial)] if denial else ()),
        *([f"with user name {answer.username}"] if answer.username else ()),
    ]
    by = "; ".join(dict.fromkeys(str(grant) for grant in answer.grants))
    return who, candidate.level or "-", candidate.through, ", ".join(subjects), by, ", ".join(notes) or "-"


def _rest(report: WhoCanReport, *, everything: bool) -> Iterator[str]:
    accounts = report.found.service_accounts
    if accounts:
        listed = f": {', '.join(map(str, accounts))}" if everything else "; --all lists them"
        yield f"Service accounts, or groups of them: {len(accounts)}{listed}"
    if report.found.others:
        yield "Nobody in the mapping is one of these:"
        yield from (f"  {_other(each)}" for each in report.found.others)
    yield "Not covered:"
    yield from (f"  {each}" for each in report.limits)
    if report.unread:
        yield "This answer is incomplete. Not read:"
        yield from (f"  {each}" for each in report.unread)


def _other(subject: RbacSubject) -> str:
    if subject.kind != GROUP:
        return str(subject)
    meaning = {
        MASTERS: " (may do everything, without RBAC)",
        AUTHENTICATED: " (everybody who signs in, service accounts too)",
        "system:unauthenticated": " (anybody, without signing in)",
    }
    return f"{subject}{meaning.get(subject.name, '')}"


def who_can_data(report: WhoCanReport) -> dict[str, object]:
    """Return the report for programs."""
    request = report.request
    asked = {
        "verb": request.verb,
        "apiGroup": request.group,
        "resource": request.resource,
        "subresource": request.subresource,
        "name": request.name,
        "namespace": request.namespace,
        "nonResourceURL": request.path,
    }
    return {
        "request": asked,
        "complete": report.is_complete,
        "principals": [_answer_data(each, report.denied.get(at)) for at, each in enumerate(report.found.answers)],
        "serviceAccounts": list(map(str, report.found.service_accounts)),
        "notMapped": list(map(str, report.found.others)),
        "notCovered": list(report.limits),
        "notRead": list(report.unread),
    }


def _answer_data(answer: Answer, denial: Denial | None) -> dict[str, object]:
    candidate, entry = answer.candidate, answer.candidate.entry
    grants = [
        {
            "subject": str(grant.subject),
            "binding": str(grant.binding) if grant.binding else None,
            "role": str(grant.binding.role) if grant.binding else None,
        }
        for grant in answer.grants
    ]
    denied = {"denied": {"denial": denial.name, "until": denial.end, "reason": denial.reason}} if denial else {}
    username = {"asUserName": answer.username} if answer.username else {}
    return {
        "person": candidate.person or None,
        "principal": candidate.principal,
        "level": candidate.level or None,
        "entry": entry.name,
        "at": entry.where or None,
        "through": candidate.through,
        **username,
        "grants": grants,
        **denied,
    }
