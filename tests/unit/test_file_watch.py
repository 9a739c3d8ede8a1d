"""A followed file: whatever is written while it is read is read again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kube_iam.mappings.file_watch import FileWatch


@pytest.mark.parametrize("meanwhile", ["", "whole: 1\n", "whole: 2\n"])
def test_file_that_is_written_again_while_it_is_read_is_read_whole(tmp_path: Path, meanwhile: str) -> None:
    """The same program writes the same text twice, in place; the reader sees what stands there in between."""
    path = tmp_path / "config.yaml"
    path.write_text("whole: 1\n")
    seen: list[str] = []
    whole = asyncio.Event()

    async def read() -> None:
        text = path.read_text()
        if text == "whole: 2\n" and len(seen) == 1:
            path.write_text(meanwhile)
            seen.append(path.read_text())
            path.write_text("whole: 2\n")
            return
        seen.append(text)
        if len(seen) > 2:
            whole.set()

    async def follow() -> None:
        watch = FileWatch(path, read, lambda error: None)
        await watch.start()
        path.write_text("whole: 2\n")
        await asyncio.wait_for(whole.wait(), 30)
        await watch.stop()

    asyncio.run(follow())
    assert seen == ["whole: 1\n", meanwhile, "whole: 2\n"]
