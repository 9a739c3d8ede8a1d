"""`sync`: keep the users of bindings equal to the members of IAM groups."""

from __future__ import annotations

import os
import sys

import click

from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.revocation import ConfigMapName, Duration
from kube_iam.cli.session import DENY_LIST
from kube_iam.cli.shared_options import global_options, pass_global_options
from kube_iam.config.membership_settings import LONGEST_SECONDS, MembershipSettings
from kube_iam.errors import UsageError

_DEFAULT = MembershipSettings()


@click.command("sync")
@global_options
@click.option("--kubeconfig", metavar="PATH", default="", help="kubeconfig to work with.  [default: the pod's]")
@click.option("--master", metavar="URL", default="", help="The API server, instead of the kubeconfig's.")
@click.option(
    "--namespace", metavar="NAME", default="kube-system", help="Namespace of the Lease.  [default: kube-system]"
)
@click.option(
    "--deny-list",
    type=ConfigMapName(),
    metavar="NAMESPACE/NAME",
    default=DENY_LIST,
    help=f"The ConfigMap of denied users.  [default: {DENY_LIST}]",
)
@click.option(
    "--membership-refresh",
    "refresh",
    type=Duration(),
    metavar="DURATION",
    default=f"{_DEFAULT.refresh}s",
    help="Read groups and roles again when the last read is older.  [default: 15s]",
)
@click.option(
    "--membership-max-age",
    "max_age",
    type=Duration(),
    metavar="DURATION",
    default=f"{_DEFAULT.max_age}s",
    help="Remove all users when IAM could not be read for this long.  [default: 5m]",
)
@click.option(
    "--address", metavar="IP", default="127.0.0.1", help="Address of /readyz and /metrics.  [default: 127.0.0.1]"
)
@click.option(
    "--port", metavar="PORT", type=click.IntRange(1, 65535), default=21364, help="Its port.  [default: 21364]"
)
@pass_global_options
def command(
    options: GlobalOptions, kubeconfig: str, master: str, namespace: str, deny_list: str, refresh: int, max_age: int,
    address: str, port: int,
) -> int:  # fmt: skip
    """Keep the users in bindings of levels with membershipCheck: rbac equal to the members of their IAM groups.

    It runs in the cluster, as `kube-iam manifest sync` prints it, with the rights in AWS that `kube-iam policy sync` prints. Of
    several processes one writes, which holds the Lease kube-iam-sync.
    """
    import asyncio

    if not 1 <= refresh <= max_age <= LONGEST_SECONDS:
        raise UsageError(
            "--membership-refresh must not be longer than --membership-max-age, and both are 1s to 1h",
            "such as 15s and 5m",
        )
    from kube_iam.cli.server_run import open_log
    from kube_iam.cli.terminal import unguarded
    from kube_iam.server.log import Batched, log_unexpected
    from kube_iam.server.process import ignore_signals
    from kube_iam.sync.app import SyncSettings, sync

    ignore_signals()
    lines = Batched(unguarded(sys.stderr))
    log = open_log(options, lines)
    settings = SyncSettings(
        kubeconfig, master, namespace, deny_list, address, port, MembershipSettings(refresh, max_age)
    )
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(log_unexpected(log))
        runner.run(sync(settings, log, os.environ))
    lines.flush()
    return 0
