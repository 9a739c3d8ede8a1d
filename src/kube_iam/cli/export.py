"""`export`: the IAM side of the levels for Terraform or CloudFormation."""

from __future__ import annotations

import click

from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import aws_options, file_option, global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import UsageError

FORMATS = {"terraform": ("hcl", "json"), "cloudformation": ("yaml", "json")}


@click.command("export")
@click.argument("tool", type=click.Choice(list(FORMATS)))
@global_options
@file_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["hcl", "yaml", "json"]),
    default=None,
    help="The syntax. Default: hcl for Terraform, yaml for CloudFormation.",
)
@aws_options
@pass_session
def command(session: AdminSession, tool: str, form: str | None) -> int:
    """Print the roles, policies, groups and attachments of the levels as code of another tool.

    They are those that apply makes, so that the plan has nothing to change in IAM after the other tool has made them. A template of
    CloudFormation has no tags of policies, which the next apply adds. Members of groups, the mapping and RBAC bindings are not
    exported. Groups that exist already are referred to by name. IAM is read for the path of a role that exists already, and nothing
    is changed.
    """
    from kube_iam.access.desired import desired_state
    from kube_iam.access.existing import located
    from kube_iam.report.cloudformation import cloudformation
    from kube_iam.report.data import as_json, as_yaml
    from kube_iam.report.terraform import terraform_hcl, terraform_json

    form = form or FORMATS[tool][0]
    if form not in FORMATS[tool]:
        raise UsageError(f"{tool} has no format {form}", f"formats of {tool}: {', '.join(FORMATS[tool])}")
    access = session.access
    levels = desired_state(
        located(access, session.iam) if any(each.existing_role for each in access.levels) else access
    )
    if not levels:
        raise UsageError(
            f"no level of {access.source} has resources in IAM", "levels of method role or group have some"
        )
    if tool == "terraform":
        page(terraform_hcl(levels) if form == "hcl" else terraform_json(levels))
        return 0
    template = cloudformation(access, levels)
    page(as_json(template) if form == "json" else as_yaml(template))
    return 0
