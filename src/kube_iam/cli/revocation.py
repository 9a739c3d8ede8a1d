"""Denials by the commands: their options, the wait until all servers confirm them, and the results.

A result is one plain line for each principal, which claims only what was checked. `-v debug` adds the figures.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kube_iam.cli.changes import changes_made
from kube_iam.cli.session import DENY_LIST
from kube_iam.cli.shared_options import global_options_of
from kube_iam.cli.terminal import note, print_lines
from kube_iam.config.durations import parse_duration, show_duration
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.cli.session import AdminSession
    from kube_iam.cli.synced_access import SyncedDenials
    from kube_iam.denylist.denial import Denial
    from kube_iam.denylist.propagation import Propagation

F = TypeVar("F", bound=Callable[..., Any])

_WAITING = "Waiting up to {} s for the end of kube-apiserver's cache; Ctrl-C ends the waiting, not the denial."
_NO_SERVER = "Sign-ins go on, without rights of synced levels: no kube-iam server with a deny list answers, as on EKS."
_GOES_ON = "Open watches, execs and port-forwards go on: kube-apiserver checks them no more."


@dataclass(frozen=True, slots=True)
class RevocationOptions:
    """Options of a denial: deny list, reason, TTL of kube-apiserver's cache (seconds), and whether to wait for its end."""

    deny_list: str
    reason: str
    cache_ttl: int
    wait: bool


class Duration(click.ParamType[int]):
    """A length of time such as 90m or 1h30m, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds. Raises click.BadParameter for any other text."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(f"{error}: write hours, minutes and seconds, such as 1h30m", param, ctx)


class ConfigMapName(click.ParamType[str]):
    """The name of a ConfigMap, as NAMESPACE/NAME."""

    name = "config map"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name. Raises click.BadParameter for any other text."""
        text = str(value)
        if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9.-]+", text):
            self.fail(f"{text!r} is not NAMESPACE/NAME", param, ctx)
        return text


def deny_list_option(function: F) -> F:
    """Add `--deny-list`, passed as `deny_list`."""
    return click.option(
        "--deny-list",
        type=ConfigMapName(),
        metavar="NAMESPACE/NAME",
        default=DENY_LIST,
        help=f"The ConfigMap that the servers follow (server.denyList).  [default: {DENY_LIST}]",
    )(function)


def revocation_options(function: F) -> F:
    """Add `--reason`, `--cache-ttl` and `--no-wait`, passed as `reason`, `cache_ttl` and `no_wait`."""
    function = click.option(
        "--no-wait", is_flag=True, help="Do not wait for the end of kube-apiserver's cache; print how long it may last."
    )(function)
    function = click.option(
        "--cache-ttl",
        type=Duration(),
        default="2m",
        metavar="DURATION",
        help="kube-apiserver's --authentication-token-webhook-cache-ttl.  [default: 2m]",
    )(function)
    reason = click.option(
        "--reason", default="", metavar="TEXT", help="The reason, for the denial and the audit event."
    )
    return reason(function)


def write_denials(session: AdminSession, options: RevocationOptions, denials: Sequence[Denial]) -> None:
    """Write the denials. Raises KubeIamError if that fails."""
    with changes_made().making("write the denial of " + ", ".join(denial.value for denial in denials)):
        session.deny_list(options.deny_list).add(denials, time.time())


def wait_until_in_force(
    session: AdminSession,
    options: RevocationOptions,
    denials: Sequence[Denial],
    began: float,
    groups: Sequence[str] = (),
    synced: SyncedDenials | None = None,
) -> Propagation:
    """Return once all servers confirm the denials or that cannot be known (`Propagation.error`). Raises nothing.

    `began` is the time by the session's clock at which the command began. `groups` are Kubernetes groups that the denied users may be
    in. With `synced` the users are removed from its bindings first.
    """
    deny_list = session.deny_list(options.deny_list)
    needs_server = synced is None or not synced.suffices
    # Asked first: API servers of EKS cannot be reached at the addresses that the cluster lists.
    if needs_server and session.is_eks and deny_list.no_server(denials[0].name) is not None:
        return _not_read(session, denials, began, synced)
    if synced is None:
        return deny_list.wait_until_in_force(denials, began=began, cache_ttl=options.cache_ttl, groups=groups)
    from kube_iam.denylist.propagation import Propagation

    synced.remove(denials)
    error = deny_list.no_server(denials[0].name) if synced.suffices else None
    synced.alone = error is not None
    if error is not None:
        found = Propagation(session.clock.now() - began, error=error)
    else:
        found = deny_list.wait_until_in_force(denials, began=began, cache_ttl=options.cache_ttl, groups=groups)
    synced.read_back(began)
    return found


def _not_read(
    session: AdminSession, denials: Sequence[Denial], began: float, synced: SyncedDenials | None
) -> Propagation:
    """Return the result on EKS, whose authenticator reads no deny list. With `synced` the users are removed from its bindings."""
    from kube_iam.denylist.prober import NotRead
    from kube_iam.denylist.propagation import Propagation

    if synced is not None:
        synced.remove(denials)
        synced.read_back(began)
    names = ", ".join(denial.value for denial in denials)
    error = NotRead(
        f"the denial is written, and sign-ins go on: EKS's authenticator reads no deny list, and no kube-iam server answers: {names}",
        "`kube-iam revoke` ends new sessions, and present ones last until their end; `membershipCheck: rbac` takes rights at once"
        " (docs/sync.md), and `kube-iam manifest admission` prints a policy that refuses writes",
    )
    return Propagation(session.clock.now() - began, error=error)


@dataclass(frozen=True, slots=True)
class DeniedPrincipal:
    """A principal in a result: `subject` with its verb ("bob is"), the level (empty: all), and the denial's end if it is printed.

    `out` says that the principal cannot sign in in another way. A key, a session, or a name that no server knows is only refused.
    """

    subject: str
    out: bool
    level: str = ""
    end: str = ""


def print_result(
    session: AdminSession,
    found: Propagation,
    options: RevocationOptions,
    principals: Sequence[DeniedPrincipal],
    synced: SyncedDenials | None = None,
) -> None:
    """Print the result of each denial, after the end of kube-apiserver's cache if that is waited for.

    Raises as `raise_unconfirmed`.
    """
    from kube_iam.cli.countdown import count_down
    from kube_iam.core.utc import rfc3339

    print_details(found, options)
    if synced is not None:
        print_bindings(synced, principals)
    raise_unconfirmed(found, synced)
    if synced is not None and synced.alone:
        print_lines([_NO_SERVER, _GOES_ON])
        return
    if found.not_reviewed:
        note(f"note: whether kube-apiserver refuses tokens that it has cached was not checked: {found.not_reviewed}")
    left = found.cached_for
    if options.wait and left > 0:
        end = rfc3339(time.time() + left)
        changes_made().expect((), f"the servers confirmed it; kube-apiserver's cache may admit a sign-in until {end}")
        count_down(left, _WAITING, session.clock)
        left = 0.0
    print_lines([*result_lines(principals, found, left), _GOES_ON])


def result_lines(principals: Iterable[DeniedPrincipal], found: Propagation, left: float) -> Iterator[str]:
    """Yield the result of each denial in force. kube-apiserver's cache may admit the principals for `left` more seconds."""
    within = (
        f" in at most {ceil(left)} s" if left > 0 else f" after {found.refused_after:.1f} s" if found.refused else ""
    )
    confirmed = found.confirmation()
    for principal in principals:
        state = "out" if principal.out else "refused"
        place = (f" of {principal.level}" if principal.out else f" in {principal.level}") if principal.level else ""
        end = f" The denial ends {principal.end}." if principal.end else ""
        yield f"{principal.subject} {state}{place}{within}{confirmed}.{end}"


def print_bindings(synced: SyncedDenials, principals: Sequence[DeniedPrincipal], *, err: bool = False) -> None:
    """Print the changes of the bindings, on stderr if `err`, and what the denials do not do to these."""
    print_lines(synced.results([(each.subject, each.end) for each in principals]), err=err)
    synced.print_notes()


def unconfirmed(found: Propagation, synced: SyncedDenials | None = None) -> KubeIamError | None:
    """Return the error of written denials that are not known to be in force: with servers, or without one in the bindings."""
    if synced is None or not synced.alone:
        return found.unconfirmed()
    error = synced.without_server()
    if error is None:
        return None
    return KubeIamError(f"the denial is written, but whether it is in force is not known: {error.message}", error.hint)


def raise_unconfirmed(found: Propagation, synced: SyncedDenials | None = None) -> None:
    """Print the API servers that could not be asked, and raise the error of `unconfirmed`, if there is one."""
    error = unconfirmed(found, synced)
    if error is not None:
        print_unreachable(found)
        raise error


def print_unreachable(found: Propagation) -> None:
    """Print on stderr each API server that could not be asked, with the reason."""
    print_lines((f"not asked: {address}: {reason}" for address, reason in found.unreachable.items()), err=True)


def propagation_data(found: Propagation, synced: SyncedDenials | None = None) -> dict[str, object]:
    """Return the result for programs. Times are in seconds. `inForce` is about servers alone."""
    bindings = {"serverAnswers": not synced.alone, "syncedBindings": synced.data()} if synced is not None else {}
    return {
        **bindings,
        "inForce": found.unconfirmed() is None,
        "inForceAfterSeconds": round(found.elapsed, 3),
        "apiServersAsked": found.asked,
        "apiServersNotAsked": sorted(found.unreachable),
        "serversAnswered": len(found.servers),
        "complete": found.complete,
        "lastSignInSecondsAgo": round(found.last_sign_in, 3) if isfinite(found.last_sign_in) else None,
        "lastSignInKnown": found.last_sign_in_known,
        "cachedForSeconds": round(found.cached_for, 3),
        "knownTokensRefused": found.refused,
        "knownTokensRefusedAfterSeconds": round(found.refused_after, 3) if found.refused else None,
        "knownTokensNotChecked": found.not_reviewed or None,
    }


def print_details(found: Propagation, options: RevocationOptions) -> None:
    """Print on stderr, with `-v debug` or `-v trace`, what was measured and how the end of kube-apiserver's cache is computed."""
    context = click.get_current_context(silent=True)
    if context is None or global_options_of(context).log_verbosity not in ("debug", "trace") or found.error is not None:
        return
    servers = ", ".join(sorted(found.servers))
    asked = f"{len(found.asked)} of {found.total} API servers asked at their own address"
    click.echo(f"{found.elapsed:.1f} s until the last answer; {asked}; servers that answered: {servers}", err=True)
    if found.unconfirmed() is None:
        print_unreachable(found)
    last = "last sign-in" if found.last_sign_in_known else "no sign-in remembered; servers remember"
    ttl = show_duration(options.cache_ttl)
    computed = f"kube-apiserver caches a sign-in for {ttl} and 10 s: {found.cached_for:.0f} s left (computed)"
    click.echo(f"{last} {found.last_sign_in:.1f} s ago; {computed}", err=True)
