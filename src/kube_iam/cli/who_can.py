"""`who-can`: people who may make a request in the cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import aws_options, cluster_options, file_option, global_options, output_option
from kube_iam.cli.terminal import note, page
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from kube_iam.access.mapping import MappingEntry
    from kube_iam.access.who_can import Answer
    from kube_iam.core.rbac import Request
    from kube_iam.denylist.denial import Denial
    from kube_iam.kube.rbac import KubeRbac

INCOMPLETE = 3
_VERBS = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy", "use", "bind"}
    | {"escalate", "impersonate", "approve", "sign", "attest", "head", "post", "put", "options", "*"}
)


@click.command("who-can")
@click.argument("verb")
@click.argument("resource")
@click.argument("name", required=False, default="")
@global_options
@file_option
@click.option("-n", "--namespace", metavar="NAME", default="", help="The namespace.  [default: the context's]")
@click.option("-A", "--all-namespaces", is_flag=True, help="Ask for all namespaces at once.")
@click.option("--subresource", metavar="NAME", default="", help="The subresource, such as log or scale.")
@click.option("--all", "everything", is_flag=True, help="List service accounts too.")
@click.option(
    "--any-server",
    is_flag=True,
    help="List also principals that servers admit which ignore iamGroup, as aws-iam-authenticator.  [always for awsAuth]",
)
@deny_list_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(
    session: AdminSession,
    verb: str,
    resource: str,
    name: str,
    namespace: str,
    all_namespaces: bool,
    subresource: str,
    everything: bool,
    any_server: bool,
    deny_list: str,
    output: str,
) -> int:
    """List the people who may do VERB with RESOURCE in the cluster: the join of RBAC, the mapping and IAM. Changes nothing.

    VERB and RESOURCE are those of `kubectl auth can-i`: `get pods`, `create pods/exec`, `list deployments.apps`, `'*' '*'`,
    `get /metrics`. NAME is an object's.

    Exits with 3 where something could not be read: the answer is then incomplete, and names it.
    """
    from kube_iam.access.inventory import check_caller
    from kube_iam.access.levels import TargetKind
    from kube_iam.access.who_can import PeopleReader, who_can
    from kube_iam.cli.access_output import print_data
    from kube_iam.report.who_can_text import WhoCanReport, who_can_data, who_can_text

    if all_namespaces and namespace:
        raise UsageError("-n and -A exclude each other", "give one of them")
    access, now = session.access, time.time()
    session.warn_of_regions()
    unread: list[str] = []
    place = "" if all_namespaces else namespace or session.rbac.default_namespace()
    if resource.startswith("/"):
        request = _path_request(verb, resource, given=any((name, namespace, all_namespaces, subresource)))
    else:
        request = _resource_request(session.rbac, unread, verb, resource, name, subresource, place)
    if verb not in _VERBS:
        note(f"warning: {verb!r} is no verb that Kubernetes knows; taken literally")
    check_caller(access, session.iam)
    rbac = session.rbac.read(request.namespace)
    entries, reserved = _entries(session, unread)
    # EKS's own authenticator reads aws-auth, and ignores iamGroup.
    any_server = any_server or access.mapping.kind is TargetKind.AWS_AUTH
    reader = PeopleReader(access, session.iam, now, any_server=any_server)
    candidates = reader.candidates(entries)
    found = who_can(rbac.grants(request), candidates, reserved)
    denied = _denied(session, deny_list, found.answers, now, unread)
    unread = [*rbac.unread, *unread, *dict.fromkeys(reader.unread)]
    report = WhoCanReport(request, found, denied, unread, any_server=any_server)
    if output == "table":
        page(who_can_text(report, _where(request, all_namespaces=all_namespaces), everything=everything))
    else:
        print_data({**who_can_data(report), **session.destination.as_data()}, output)
    return 0 if report.is_complete else INCOMPLETE


def _path_request(verb: str, path: str, *, given: bool) -> Request:
    from kube_iam.core.rbac import Request

    if given:
        raise UsageError(f"{path} is no resource and has no namespace, subresource or name", "leave those out")
    return Request(verb, path=path)


def _resource_request(
    rbac: KubeRbac, unread: list[str], verb: str, resource: str, name: str, subresource: str, namespace: str
) -> Request:
    """Return the request. The word behind a slash is a subresource of the resource, else, as for kubectl, an object's name."""
    from kube_iam.core.rbac import ANY, Request

    word, _, behind = resource.partition("/")
    kind, group = word.partition(".")[::2]
    found = None
    if kind != ANY:
        try:
            found = rbac.resource_type(word)
        except KubeIamError as error:
            unread.append(f"{error}; {word} is taken literally")
        else:
            if found is None:
                note(f"warning: the API server has no resource {word}; taken literally")
    known = found.subresources if found is not None else frozenset()
    if behind and not subresource and (behind in known or name or found is None):
        subresource, behind = behind, ""
    if behind and name:
        raise UsageError(f"{resource} and {name} both name an object", "give one name")
    if found is not None and subresource and subresource not in known | {ANY}:
        note(f"warning: {found.name} has no subresource {subresource}; taken literally")
    if found is None:
        return Request(verb, kind, group, subresource, behind or name, namespace)
    place = namespace if found.is_namespaced else ""
    return Request(verb, found.name, found.group, subresource, behind or name, place)


def _where(request: Request, *, all_namespaces: bool) -> str:
    if request.namespace:
        return f" in namespace {request.namespace}"
    return " in all namespaces" if all_namespaces and not request.path else " in the cluster"


def _entries(session: AdminSession, unread: list[str]) -> tuple[tuple[MappingEntry, ...], tuple[str, ...]]:
    """Return all that the mapping admits, and the prefixes of user names that it refuses."""
    try:
        store = session.mapping_store
        return (*store.entries(), *store.others()), store.reserved_prefixes()
    except KubeIamError as error:
        unread.append(f"mapping: {error}")
        return (), ()


def _denied(
    session: AdminSession, name: str, answers: tuple[Answer, ...], now: float, unread: list[str]
) -> dict[int, Denial]:
    """Return the denials in force of people, by the position of the answer. Denials of keys and of roles' ids are not compared."""
    from kube_iam.denylist.denial import DenialTable

    try:
        session.check_server()
        denials = DenialTable(session.deny_list(name).denials())
    except KubeIamError as error:
        unread.append(f"deny list: {error}")
        return {}
    found: dict[int, Denial] = {}
    for at, answer in enumerate(answers):
        identity, group = answer.candidate.identity, answer.candidate.entry.iam_group
        denial = denials.find(identity, now, (group,) if group else ()) if identity is not None else None
        if denial is not None:
            found[at] = denial
    return found
