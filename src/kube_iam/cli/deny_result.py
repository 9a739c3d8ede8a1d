"""Results of a denial as the commands print them: measured where a server said so, computed for kube-apiserver's cache."""

from __future__ import annotations

import sys
import time

import click

from kube_iam.access.closing import Closed
from kube_iam.cli import deny_session as session
from kube_iam.cli.deny_session import Closing
from kube_iam.cli.terminal import unguarded
from kube_iam.config.durations import show_duration
from kube_iam.errors import KubeIamError


def say_closed(closed: Closed, closing: Closing, *, gone: bool) -> None:
    """Print what was measured and what was computed, wait for the latter, and raise what keeps either from being known.

    `gone`: the people who are named cannot sign in otherwise, so that they are gone when kube-apiserver has forgotten them.
    """
    say_measured(closed, closing, gone=gone)
    complain(closed)
    if closing.wait and closed.holds > 0:
        _wait(closed, gone=gone)
    click.echo(
        "What is running goes on: kube-apiserver does not ask again about a watch, an exec or a port-forward that is open."
    )


def say_measured(closed: Closed, closing: Closing, *, gone: bool, err: bool = False) -> None:
    """Print what was measured, and what was computed where that can be trusted. Nothing where `closed.error` says it all."""
    if closed.error is not None:
        return
    done = "Obeyed" if shortfall(closed) else "In force"
    click.echo(f"{done} after {closed.measured:.1f} s (measured): {_asked(closed)}.", err=err)
    for address, why in closed.unasked.items():
        click.echo(f"Not asked: {address}: {why}", err=True)
    if shortfall(closed) is None:
        click.echo(_last(closed, closing, gone=gone), err=err)


def shortfall(closed: Closed) -> KubeIamError | None:
    """The error of a denial that is written and may or may not be obeyed everywhere; None where it is.

    A cluster that names no API server but its one address is taken at its word; what is printed says so.
    """
    error = closed.error
    if error is None and not (closed.complete or closed.one_address):
        error = _incomplete(closed)
    if error is None:
        return None
    return KubeIamError(f"the denial is written, but whether it is in force is not known: {error.message}", error.hint)


def complain(closed: Closed) -> None:
    """Raise `shortfall`, where there is one."""
    error = shortfall(closed)
    if error is not None:
        raise error


def _incomplete(closed: Closed) -> KubeIamError:
    if closed.unlisted:
        return KubeIamError(
            f"which API servers there are cannot be read: {closed.unlisted}",
            "it takes the right to get the EndpointSlice kubernetes in the namespace default",
        )
    return KubeIamError(
        f"{len(closed.unasked)} of {closed.total} API servers could not be asked",
        "repeat the command from where each can be reached at its own address",
    )


def closed_data(closed: Closed) -> dict[str, object]:
    """The same for programs."""
    return {
        "inForce": shortfall(closed) is None,
        "inForceAfterSeconds": round(closed.measured, 3),
        "apiServersAsked": closed.asked,
        "apiServersNotAsked": sorted(closed.unasked),
        "serversHeard": len(closed.servers),
        "complete": closed.complete,
        "lastLetInSecondsAgo": round(closed.last, 3),
        "lastLetInKnown": closed.known,
        "cacheHoldsSeconds": round(closed.holds, 3),
    }


def _asked(closed: Closed) -> str:
    servers = f"{len(closed.servers)} server{'s' if len(closed.servers) != 1 else ''} answered"
    if not closed.total:
        return f"only the cluster's one address was asked, {servers} ({', '.join(sorted(closed.servers))})"
    return f"{servers}, {len(closed.asked)} of {closed.total} API servers were asked at their own address"


def _last(closed: Closed, closing: Closing, *, gone: bool) -> str:
    ago = f"{closed.last:.1f} s"
    last = (
        f"last let in {ago} ago" if closed.known else f"not let in for {ago} at least, as long as the servers remember"
    )
    ttl = show_duration(closing.cache_ttl)
    computed = _computed(closed)
    if closed.holds <= 0:
        return f"{_outcome(gone)} {computed}: {last}, longer than kube-apiserver remembers ({ttl} and 10 s)."
    return (
        f"{_outcome(gone)} in {closed.holds:.0f} s {computed}: {last}, and kube-apiserver remembers for {ttl} and 10 s."
    )


def _outcome(gone: bool) -> str:
    """Return what holds then. That a key, a session or a name never seen is refused does not say that somebody is gone."""
    return "Gone" if gone else "Refused"


def _computed(closed: Closed) -> str:
    return "(computed)" if closed.complete else "(computed), if no other server is behind it"


def _wait(closed: Closed, *, gone: bool) -> None:
    click.echo("Waiting until then; nothing depends on it (Ctrl-C).", err=True)
    end = session.CLOCK.now() + closed.holds
    while (left := end - session.CLOCK.now()) > 0:
        if sys.stderr.isatty():
            click.echo(f"\r{left:4.0f} s ", file=unguarded(sys.stderr), nl=False)
        session.CLOCK.sleep(min(1.0, left))
    if sys.stderr.isatty():
        click.echo("\r       \r", file=unguarded(sys.stderr), nl=False)
    click.echo(f"{_outcome(gone)} {_computed(closed)}: {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}.")
