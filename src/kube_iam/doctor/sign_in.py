"""One sign-in under examination: the settings of the user's machine, and what checks have found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess
    from kube_iam.access.ports import Subject
    from kube_iam.aws.credential_provider import CredentialProvider
    from kube_iam.aws.token_cache import CachedSession, TokenRequest
    from kube_iam.kube.client import KubeApi
    from kube_iam.kube.context import Context
    from kube_iam.kube.exec_plugin import ExecStatus


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the command line. Nothing in it is read by a check in another way.

    `use_environment` makes variables of the exec entry those of this process, which the AWS SDK reads, and returns all of them.
    `read_arguments` returns the request of the arguments behind `token`. It raises the errors of our tree. `find_program` returns
    the path of a command, or an empty text. `interactive`: the user may be asked for an MFA code.
    """

    environ: Mapping[str, str]
    clock: Callable[[], float]
    use_environment: Callable[[Mapping[str, str]], Mapping[str, str]]
    read_arguments: Callable[[Sequence[str], Mapping[str, str]], TokenRequest]
    find_program: Callable[[str], str]
    interactive: bool = False
    kubeconfig: str = ""
    context: str = ""
    level: str = ""
    access: ClusterAccess | None = None


@dataclass(slots=True)
class SignIn:
    """Findings of the checks so far. Each field is set by the check of its line, and read by checks that need it."""

    machine: Machine
    context: Context | None = None  # kubeconfig
    api: KubeApi | None = None  # kubeconfig
    program: str = ""  # plugin; empty for one that is neither ours nor the reference
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)  # plugin
    request: TokenRequest | None = None  # plugin
    provider: CredentialProvider | None = None  # credentials
    caller: str = ""  # credentials
    clock_ahead: float | None = None  # credentials: seconds
    session: CachedSession | None = None  # role
    status: ExecStatus | None = field(default=None, repr=False)  # token
    user_api: KubeApi | None = None  # sign-in: the API as the plugin's user
    subject: Subject | None = None  # sign-in; None where the API server does not say
