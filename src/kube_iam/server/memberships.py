"""How the server comes to know who is a member: from the mappings in force to reads of IAM to its door."""

from __future__ import annotations

from kube_iam.authn.door import Door
from kube_iam.aws.iam_reader import IamReader
from kube_iam.aws.membership import Membership
from kube_iam.config.server import ServerConfig
from kube_iam.mappings.chain import Chain
from kube_iam.server.clock import uptime
from kube_iam.server.log import Log
from kube_iam.server.mapping_report import MappingReport
from kube_iam.server.membership_report import MembershipReport, show_ages
from kube_iam.server.metrics import Metrics
from kube_iam.server.scrubbing import Scrubber


def follow_memberships(
    config: ServerConfig, region: str, door: Door, backends: Chain, mappings: MappingReport, log: Log, metrics: Metrics
) -> Membership:
    """Who keeps the door informed about the groups and roles that the mappings in force name."""
    report = MembershipReport(log, metrics, config.scrubbed_accounts)
    show_ages(door, metrics, Scrubber(config.scrubbed_accounts))
    membership = Membership(IamReader(region), door, report, config.membership.refresh, uptime)

    def follow() -> None:
        tables = [mapper.table for mapper in backends]
        groups = [name for table in tables if table is not None for name in table.group_mappings.iam_groups]
        requirements = [requirement for table in tables if table is not None for requirement in table.requirements]
        membership.follow(groups, requirements)
        report.following(
            {*groups, *(requirement.iam_group for requirement in requirements)},
            {requirement.role for requirement in requirements},
        )

    follow()
    mappings.changed = follow
    return membership
