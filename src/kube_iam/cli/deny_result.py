"""Results of a denial, a plain line for each principal: who is out, as far as it was checked. `-v debug` adds the figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import click

from kube_iam.cli import deny_session as session
from kube_iam.cli.countdown import count_down
from kube_iam.cli.deny_session import Closing
from kube_iam.cli.progress import changes_made
from kube_iam.cli.shared_options import global_options_of
from kube_iam.config.durations import show_duration
from kube_iam.core.utc import rfc3339
from kube_iam.denylist.propagation import Propagation
from kube_iam.errors import KubeIamError

_WAITING = "Waiting up to {} s for the end of kube-apiserver's cache; Ctrl-C ends the waiting, not the denial."
_GOES_ON = "Open watches, execs and port-forwards go on: kube-apiserver checks them no more."


@dataclass(frozen=True, slots=True)
class Refused:
    """A principal that is denied: `subject` with its verb ("bob is"), the level (empty: all), and the denial's end if it is printed.

    `out` says that the principal cannot sign in otherwise. A key, a session or a name never seen is only refused.
    """

    subject: str
    out: bool
    level: str = ""
    end: str = ""


def print_result(closed: Propagation, closing: Closing, refused: Sequence[Refused]) -> None:
    """Print the result of each denial, once kube-apiserver's cache has ended where that is waited for. Raises `shortfall`."""
    print_details(closed, closing)
    complain(closed)
    left = closed.cached_for
    if closing.wait and left > 0:
        end = rfc3339(time.time() + left)
        changes_made().expect((), f"the servers confirmed it; kube-apiserver's cache may admit a sign-in until {end}")
        count_down(left, _WAITING, session.CLOCK)
        left = 0.0
    for each in refused:
        click.echo(sentence(each, closed, left))
    click.echo(_GOES_ON)


def sentence(refused: Refused, closed: Propagation, left: float) -> str:
    """Return the result of a denial that is in force. kube-apiserver's cache may admit the principal for `left` seconds more."""
    state = "out" if refused.out else "refused"
    place = (f" of {refused.level}" if refused.out else f" in {refused.level}") if refused.level else ""
    within = f" in at most {ceil(left)} s" if left > 0 else ""
    end = f" The denial ends {refused.end}." if refused.end else ""
    return f"{refused.subject} {state}{place}{within}{_confirmed(closed)}.{end}"


def _confirmed(closed: Propagation) -> str:
    if closed.complete:
        return f" ({closed.total} of {closed.total} servers confirmed)"
    return f", if there is no other server ({len(closed.servers)} confirmed; the cluster lists none)"


def shortfall(closed: Propagation) -> KubeIamError | None:
    """Return the error of a denial that is written and may or may not be obeyed everywhere; None where it is.

    A cluster that names no API server but its one address is taken at its word; what is printed says so.
    """
    error = closed.error
    if error is None and not (closed.complete or closed.single_address):
        error = _incomplete(closed)
    if error is None:
        return None
    return KubeIamError(f"the denial is written, but whether it is in force is not known: {error.message}", error.hint)


def complain(closed: Propagation) -> None:
    """Raise `shortfall`, where there is one, once the servers that could not be asked are named on stderr."""
    error = shortfall(closed)
    if error is not None:
        print_unasked(closed)
        raise error


def print_unasked(closed: Propagation) -> None:
    """Name on stderr the API servers that could not be asked, with the reason."""
    for address, why in closed.unreachable.items():
        click.echo(f"not asked: {address}: {why}", err=True)


def _incomplete(closed: Propagation) -> KubeIamError:
    if closed.listing_error:
        return KubeIamError(
            f"which API servers there are cannot be read: {closed.listing_error}",
            "it takes the right to get the EndpointSlice kubernetes in the namespace default",
        )
    return KubeIamError(
        f"{len(closed.unreachable)} of {closed.total} API servers could not be asked",
        "repeat the command from where each can be reached at its own address",
    )


def closed_data(closed: Propagation) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "inForce": shortfall(closed) is None,
        "inForceAfterSeconds": round(closed.elapsed, 3),
        "apiServersAsked": closed.asked,
        "apiServersNotAsked": sorted(closed.unreachable),
        "serversAnswered": len(closed.servers),
        "complete": closed.complete,
        "lastSignInSecondsAgo": round(closed.last_sign_in, 3),
        "lastSignInKnown": closed.last_sign_in_known,
        "cachedForSeconds": round(closed.cached_for, 3),
    }


def print_details(closed: Propagation, closing: Closing) -> None:
    """Print on stderr, with `-v debug` and `-v trace`, what was measured and how the wait for kube-apiserver's cache is computed."""
    context = click.get_current_context(silent=True)
    if (
        context is None
        or global_options_of(context).log_verbosity not in ("debug", "trace")
        or closed.error is not None
    ):
        return
    servers = ", ".join(sorted(closed.servers))
    asked = f"{len(closed.asked)} of {closed.total} API servers asked at their own address"
    click.echo(f"{closed.elapsed:.1f} s until the last answer; {asked}; servers that answered: {servers}", err=True)
    if shortfall(closed) is None:
        print_unasked(closed)
    last = "last sign-in" if closed.last_sign_in_known else "no sign-in remembered; servers remember"
    ttl = show_duration(closing.cache_ttl)
    computed = f"kube-apiserver caches a sign-in for {ttl} and 10 s: {closed.cached_for:.0f} s left (computed)"
    click.echo(f"{last} {closed.last_sign_in:.1f} s ago; {computed}", err=True)
