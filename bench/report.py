"""A run's results as JSON, as a table for the terminal and as one for docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.figures import Part, Row, Target, part

BEGIN = "<!-- begin of the table: make bench -->"
END = "<!-- end of the table -->"
_VERDICTS = {True: "met", False: "NOT MET", None: ""}


def to_json(facts: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """All of it: facts, and for each part medians, spread, ratio, target, verdict and the single values."""
    return {**facts, "rows": [_row_to_json(row) for row in rows]}


def from_json(found: Mapping[str, Any]) -> list[Row]:
    """Return the rows that `to_json` wrote."""
    return [
        Row(row["name"], row["what"], tuple(_part_from_json(one) for one in row["parts"]), tuple(row["notes"]))
        for row in found["rows"]
    ]


def terminal(rows: Sequence[Row]) -> str:
    """Return the table for people at a terminal, with the notes below each row."""
    lines = []
    for row in rows:
        lines.append(f"{row.name}: {row.what}")
        lines += [
            f"  {one.label:34} {_shown(one, ours=True):>24}  {_shown(one, ours=False):>24} {_against(one):26}"
            f" {_ratio(one):>8} {_target(one):>8}  {_VERDICTS[one.met]}".rstrip()
            for one in row.parts
        ]
        lines += [f"    {note}" for note in row.notes]
    return "\n".join(lines) + "\n"


def markdown(found: Mapping[str, Any]) -> str:
    """Return the table for docs/performance.md, out of what `to_json` wrote, with the machine and the date above it.

    It has the figures with targets. The others stand in results.json alone.
    """
    machine, versions = found["machine"], found["versions"]
    changed = " with changes" if found["changed_sources"] else ""
    lines = [
        f"{found['date'][:10]}, commit {found['commit']}{changed}, on {machine['cores']} cores of {machine['cpu']},"
        f" {machine['memory_gib']} GiB, {machine['system']}; load average before: {machine['load_average_before']}.",
        f"{versions['python'].partition(' (')[0]}, reference {_version(versions['reference'])}, {versions['awscli'].split()[0]}.",
        "",
        "| row | figure | kube-iam | the other | ratio | target | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in from_json(found):
        for number, one in enumerate(one for one in row.parts if one.target):
            name = f"**{row.name}**: {row.what}" if number == 0 else ""
            other = f"{_shown(one, ours=False)} ({one.against})" if one.theirs else ""
            verdict = {True: "met", False: "**not met**", None: ""}[one.met]
            lines.append(
                f"| {name} | {one.label} | {_shown(one, ours=True)} | {other} | {_ratio(one)} | {_target(one)} | {verdict} |"
            )
    return "\n".join(lines) + "\n"


def verdicts(rows: Sequence[Row]) -> tuple[int, int]:
    """Return the number of targets that are met, and of all targets."""
    met = [one.met for row in rows for one in row.parts if one.met is not None]
    return sum(met), len(met)


def _version(text: str) -> str:
    return (
        text.removeprefix("aws-iam-authenticator-")
        if "{" not in text
        else text.partition('"Version":"')[2].partition('"')[0]
    )


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _shown(one: Part, *, ours: bool) -> str:
    series = one.ours if ours else one.theirs
    if series is None:
        return ""
    unit = "/s" if one.unit == "/s" else f" {one.unit}" if one.unit else ""
    spread = f" (IQR {_number(series.spread)})" if len(series.values) > 1 else ""
    return f"{_number(series.median)}{unit}{spread}"


def _against(one: Part) -> str:
    return f"({one.against})" if one.theirs else ""


def _target(one: Part) -> str:
    return str(one.target) if one.target else ""


def _ratio(one: Part) -> str:
    return "" if one.ratio is None else f"{one.ratio:.2f} ×"  # noqa: RUF001


def _row_to_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "what": row.what,
        "parts": [_part_to_json(one) for one in row.parts],
        "notes": list(row.notes),
    }


def _part_to_json(one: Part) -> dict[str, Any]:
    def series(which: Any) -> dict[str, Any] | None:
        if which is None:
            return None
        return {
            "median": round(which.median, 4),
            "iqr": round(which.spread, 4),
            "values": [round(value, 4) for value in which.values],
        }

    return {
        "label": one.label,
        "unit": one.unit,
        "ours": series(one.ours),
        "theirs": series(one.theirs),
        "against": one.against if one.theirs else None,
        "ratio": None if one.ratio is None else round(one.ratio, 4),
        "target": None if one.target is None else asdict(one.target),
        "met": one.met,
    }


def _part_from_json(found: Mapping[str, Any]) -> Part:
    theirs, target = found["theirs"], found["target"]
    return part(
        found["label"],
        found["unit"],
        found["ours"]["values"],
        theirs["values"] if theirs else None,
        Target(**target) if target else None,
        found["against"] or "reference",
    )
