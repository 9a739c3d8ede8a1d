"""Addresses and ports that a process listens on, from Linux's /proc."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

LOOPBACK = "0100007F"


def listening(pid: int | None) -> list[tuple[str, str, int]]:
    """Table (tcp, tcp6, udp, udp6), address in proc(5)'s hex, and port of every socket of the process that others can reach."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the process has closed it since it was listed
            own.add(str(link.readlink()))
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            reachable = fields[3] == "0A" or table.startswith("udp")
            if reachable and f"socket:[{fields[9]}]" in own:
                address, _, port = fields[1].partition(":")
                found.append((table, address, int(port, 16)))
    return found
