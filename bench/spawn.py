"""Starts one program after another and says how long each took and how much memory it had. Run as a script, with `-I -S`.

A child begins its life with its parent's peak memory (Linux counts what the address space before exec was), so the parent has to be
small: this file imports next to nothing. A line on stdin is the command, then \\x1e, then the environment, parts split by \\x1f;
a line comes back: wall seconds, cpu seconds, peak memory in KiB, exit code. The first line that comes is the starter's own peak.
"""

import posix
import sys
import time


def main() -> None:
    """Serve until stdin ends."""
    ourselves = posix.getpid()
    with open(f"/proc/{ourselves}/status") as status:  # noqa: PTH123  (pathlib is no small import)
        peak = [line.split()[1] for line in status if line.startswith("VmHWM:")]
    print(*peak, flush=True)  # noqa: T201
    quiet = [(posix.POSIX_SPAWN_OPEN, descriptor, "/dev/null", posix.O_RDWR, 0) for descriptor in (0, 1, 2)]
    for line in sys.stdin:
        command, _, variables = line.rstrip("\n").partition("\x1e")
        argv = command.split("\x1f")
        environment = dict(pair.split("=", 1) for pair in variables.split("\x1f") if pair)
        start = time.perf_counter()
        pid = posix.posix_spawn(argv[0], argv, environment, file_actions=quiet)
        _, status_word, usage = posix.wait4(pid, 0)
        wall = time.perf_counter() - start
        code = posix.waitstatus_to_exitcode(status_word)
        print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, code, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
