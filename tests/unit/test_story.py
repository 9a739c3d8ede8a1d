"""The stories of tools/story.py stay within their limits of files and moves."""

from __future__ import annotations

import pytest

from story import LIMITS, shortest

# Each story takes seconds: several runs under a profiler, two of them with a server.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("story", LIMITS)
def test_a_story_stays_within_its_limits(story: str) -> None:
    run = shortest(story)
    files, moves = LIMITS[story]
    pairs = "\n".join(f"{count:5} {caller} -> {file}" for (caller, file), count in run.pairs())
    figures = f"{story}: {len(run.files)} files of at most {files}, {len(run.moves)} moves of at most {moves}"
    assert len(run.files) <= files, f"{figures}\n{pairs}"
    assert len(run.moves) <= moves, f"{figures}\n{pairs}"
