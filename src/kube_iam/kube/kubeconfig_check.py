"""Check of a kubeconfig merge: it must not change a context of another cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kube_iam.core.redaction import shown_url
from kube_iam.kube.kubeconfig_owner import (
    Entries,
    Entry,
    SignIn,
    certificates,
    certificates_of,
    parse_arguments,
    program_of,
    same_server,
    sign_in,
)
from kube_iam.kube.yaml.text import Value

REMEDY = (
    "nothing was written; give this cluster's entries other names: --cluster-name NAME for all three, "
    "or --user-name NAME, --context-name NAME"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The kubeconfig to merge. `authority` is its CA as `certificates` returns it, None without one.

    `chosen` are the fields of `exec` that the user asked for; the others have defaults.
    """

    cluster: str
    user: str
    context: str
    server: str
    authority: frozenset[str] | None
    sign_in: SignIn
    chosen: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config: Mapping[str, Value], chosen: frozenset[str] = frozenset()) -> Wanted:
        """Return the kubeconfig as `build_kubeconfig` makes it."""
        (cluster,), (user,), (context,) = (_entries(config, section) for section in ("clusters", "users", "contexts"))
        plugin = user["user"]["exec"]
        data = cluster["cluster"].get("certificate-authority-data", "")
        program, arguments = program_of(plugin["command"]), plugin["args"]
        return cls(
            cluster=cluster["name"],
            user=user["name"],
            context=context["name"],
            server=cluster["cluster"]["server"],
            authority=certificates_of(data) if data else None,
            sign_in=parse_arguments(program, arguments) or SignIn(program, {}, tuple(arguments)),
            chosen=chosen,
        )

    def is_signed_in_by(self, entry: Entry | None) -> bool:
        """Return whether a user entry signs in with our exec plugin for this cluster id."""
        found = sign_in(entry, self.sign_in.program) if entry is not None else None
        return found is not None and bool(self.cluster_id) and found.own.get("id") == self.cluster_id

    def is_at(self, entry: Entry) -> bool:
        """Return whether a cluster entry has this cluster's server, and no other certificate authority."""
        theirs = certificates(entry)
        other_authority = self.authority is not None and theirs is not None and theirs != self.authority
        return same_server(entry.text("server"), self.server) and not other_authority

    @property
    def cluster_id(self) -> str:
        """Return the cluster id of the tokens."""
        return self.sign_in.own.get("id", "")


def problems(entries: Entries, wanted: Wanted) -> Iterator[str]:
    """Yield a sentence for each entry that belongs to another cluster or user. Without one the merge is safe."""
    yield from _cluster(entries, wanted)
    yield from _user(entries, wanted)
    yield from _context(entries, wanted)


def _cluster(entries: Entries, wanted: Wanted) -> Iterator[str]:
    entry = entries.get(("clusters", wanted.cluster))
    if entry is not None and wanted.is_at(entry):
        insecure = entry.text("insecure-skip-tls-verify").lower() == "true"
        if wanted.authority and certificates(entry) is None and insecure:
            what = f"cluster {entry.name!r} has insecure-skip-tls-verify, which kubectl refuses beside a CA: remove that key"
            yield f"{entry.file}: {what}"
        return
    users = [each for each in _contexts(entries) if each.text("cluster") == wanted.cluster]
    others = [each for each in users if not _ours(entries, each.text("user"), wanted)]
    if entry is not None and (others or not users):
        yield f"{entry.file}: cluster {entry.name!r} is another one: {_difference(entry, wanted)}"
    elif others:
        what = (
            f"context {others[0].name!r} of another user names the cluster {wanted.cluster!r}, which is not there yet"
        )
        yield f"{others[0].file}: {what}"


def _difference(entry: Entry, wanted: Wanted) -> str:
    """Return the difference between a cluster entry and this cluster, without secrets of a URL."""
    theirs, ours = shown_url(entry.text("server")), shown_url(wanted.server)
    if same_server(entry.text("server"), wanted.server):
        return "it has another CA"
    if theirs == ours:
        return "its server URL has another path, query or user name"
    return f"it leads to {theirs}, and this cluster is at {ours}"


def _user(entries: Entries, wanted: Wanted) -> Iterator[str]:
    entry = entries.get(("users", wanted.user))
    others = [each for each in _contexts(entries) if each.text("user") == wanted.user and each.name != wanted.context]
    if entry is None:
        elsewhere = [each for each in others if not _leads_here(entries, each, wanted)]
        if elsewhere:
            what = f"context {elsewhere[0].name!r} of another cluster names the user {wanted.user!r}, which is not there yet"
            yield f"{elsewhere[0].file}: {what}"
    elif not wanted.is_signed_in_by(entry):
        what = (
            f"user {entry.name!r} is another one: it does not sign in with kube-iam for cluster id {wanted.cluster_id}"
        )
        yield f"{entry.file}: {what}"
    else:
        now = sign_in(entry, wanted.sign_in.program)
        if now is not None and now.own.get("role") != wanted.sign_in.own.get("role") and others:
            what = f"user {entry.name!r} has another role, and context {others[0].name!r} uses it too"
            yield f"{entry.file}: {what}"


def _context(entries: Entries, wanted: Wanted) -> Iterator[str]:
    entry = entries.get(("contexts", wanted.context))
    if entry is None:
        return
    if not _ours(entries, entry.text("user"), wanted) or not _leads_here(entries, entry, wanted):
        what = f"context {entry.name!r} is another one: cluster {entry.text('cluster')!r}, user {entry.text('user')!r}"
        yield f"{entry.file}: {what}"


def _contexts(entries: Entries) -> list[Entry]:
    return [entry for entry in entries.values() if entry.section == "contexts"]


def _ours(entries: Entries, user: str, wanted: Wanted) -> bool:
    """Return whether the user of that name signs in for this cluster, now or after the merge."""
    entry = entries.get(("users", user))
    return wanted.is_signed_in_by(entry) if entry is not None else user == wanted.user


def _leads_here(entries: Entries, context: Entry, wanted: Wanted) -> bool:
    """Return whether a context's cluster is this one, is missing, or is the entry that `_cluster` checks."""
    name = context.text("cluster")
    entry = entries.get(("clusters", name))
    return name == wanted.cluster or entry is None or wanted.is_at(entry)


def _entries(config: Mapping[str, Value], section: str) -> Any:
    return config[section]
