"""Groups of commands as the command line has them at every level."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


class CommandGroup(click.Group):
    """A group of commands that offers a shell nothing behind a word that is no command of it.

    click completes there as if the word were not written, so that `kube-iam gr <TAB>` listed every command.
    """

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return commands and options that begin with `incomplete`."""
        return [] if ctx.args or ctx._protected_args else self.offered(ctx, incomplete)

    def offered(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what stands directly behind the group's name."""
        return super().shell_complete(ctx, incomplete)
