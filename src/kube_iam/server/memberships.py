"""Set-up of the server's membership: from the mappings in force to reads of IAM and the cache."""

from __future__ import annotations

from kube_iam.config.server import ServerConfig
from kube_iam.mappings.chain import Chain
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import IamReader
from kube_iam.membership.refresher import MembershipRefresher
from kube_iam.membership.service import MembershipService
from kube_iam.server.clock import uptime
from kube_iam.server.log import Log
from kube_iam.server.mapping_report import MappingReport
from kube_iam.server.membership_report import MembershipReport, show_ages
from kube_iam.server.metrics import Metrics
from kube_iam.server.scrubbing import Scrubber


def membership_service(
    config: ServerConfig,
    region: str,
    cache: MembershipCache,
    backends: Chain,
    mappings: MappingReport,
    log: Log,
    metrics: Metrics,
) -> MembershipService:
    """Return the service that tracks the groups and roles of the mappings in force. It does not read before its `start`."""
    report = MembershipReport(log, metrics, config.scrubbed_accounts)
    show_ages(cache, metrics, Scrubber(config.scrubbed_accounts))
    refresher = MembershipRefresher(IamReader(region), cache, report, config.membership.refresh, uptime)

    def track() -> None:
        tables = [snapshot.table for snapshot in backends.snapshots() if snapshot.table is not None]
        groups = [name for table in tables for name in table.group_mappings.iam_groups]
        requirements = [requirement for table in tables for requirement in table.requirements]
        refresher.set_tracked(groups, requirements)
        report.set_tracked({*groups, *(each.iam_group for each in requirements)}, {each.role for each in requirements})

    track()
    mappings.changed = track
    return MembershipService(cache, refresher)
