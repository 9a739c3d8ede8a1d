"""A container without an engine: a root of its own that cannot be written, another user, no capabilities, as a pod's securityContext.

Linux namespaces make it, and only root may make those. Anybody else runs the same program as they are, with the paths of the
mounts put into its arguments; `CONTAINED` says which of the two it is.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kube_iam
from kube_iam.sandbox.processes import Process

UID = 10000
_NEW_NETWORK = 0x40000000  # sched.h: CLONE_NEWNET
_SET_FLAGS, _UP = 0x8914, 0x1  # sockios.h: SIOCSIFFLAGS; if.h: IFF_UP
PROGRAM = Path(sys.executable).parent / "aws-iam-authenticator"
ENTRYPOINT = "/opt/kube-iam/bin/aws-iam-authenticator"
# What an image holds: the interpreter, the virtual environment, our source, which is installed in place.
_IMAGE = [Path(sys.base_prefix), Path(sys.prefix), Path(kube_iam.__file__).parent.parent]
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64")

_ENTER = r"""
set -eu
root=$1 user=$2 memory=$3 image=$4
shift 4
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=4m none "$root"
if [ -n "$image" ]; then
  mkdir "$root/upper" "$root/work" "$root/seen"
  mount -t overlay -o "lowerdir=$image,upperdir=$root/upper,workdir=$root/work" none "$root/seen"
  root=$root/seen
fi
while [ "$1" != -- ]; do
  source=${1%%=*} target=$root${1#*=}
  shift
  if [ -d "$source" ]; then mkdir -p "$target"; else mkdir -p "${target%/*}"; : > "$target"; fi
  mount --bind "$source" "$target"
  mount -o remount,bind,ro "$target"
done
shift
for link in /bin /lib /lib64; do
  if [ -z "$image" ] && [ -L "$link" ]; then cp -P "$link" "$root$link"; fi
done
mkdir -p "$root/proc" "$root/tmp"
mount --rbind /proc "$root/proc"
for device in null zero random urandom; do
  mkdir -p "$root/dev"
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
if [ "$memory" = yes ]; then mkdir -p "$root/dev/shm"; mount -t tmpfs -o mode=1777,size=64m none "$root/dev/shm"; fi
mount -o remount,ro "$root"
# An image has no setpriv of its own.
if [ -n "$image" ]; then exec setpriv --inh-caps=-all --no-new-privs chroot --userspec="$user:$user" --groups= "$root" "$@"; fi
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
"""


def _contained() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        return subprocess.run(["unshare", "--mount", "--net", "setpriv", "--dump"], capture_output=True).returncode == 0
    except OSError:
        return False


CONTAINED = _contained()


@dataclass(frozen=True)
class Container:
    """One container. `mounts` are files and directories of the host by the path where they are seen, none of them writable."""

    process: Process
    directory: Path
    mounts: Mapping[str, Path]
    environment: Mapping[str, str]
    memory: bool = True
    """Whether there is a /dev/shm, the one place to write to, as container runtimes make it."""
    image: Path | None = None
    """The root file system of an image, in place of the program of this virtual environment. Only where `CONTAINED`."""
    cgroup: Path | None = None
    """A control group for its processes."""

    def start(self, args: list[str]) -> None:
        """Start the image's entrypoint with these arguments."""
        environment = {name: self.seen(value) for name, value in self.environment.items()}
        command = self.command(args)
        if self.cgroup is not None:
            command = ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.cgroup / "cgroup.procs"), *command]
        self.process.start(command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment}, self.directory)

    def command(self, args: list[str]) -> list[str]:
        if not CONTAINED:
            return [str(PROGRAM), *map(self.seen, args)]
        root = self.directory / "root"
        root.mkdir(exist_ok=True)
        mounts = [f"{path}={target}" for target, path in self.mounts.items()]
        memory = "yes" if self.memory else "no"
        enter = ["unshare", "--mount", "/bin/sh", "-c", _ENTER, "container", str(root), str(UID), memory]
        if self.image is not None:
            return [*enter, str(self.image), *mounts, "--", ENTRYPOINT, *args]
        image = [path for path in (*map(Path, _SYSTEM), *_IMAGE) if path.is_dir() and not path.is_symlink()]
        own = [
            path for path in image if not any(path.is_relative_to(system) for system in _SYSTEM if str(path) != system)
        ]
        return [*enter, "", *(f"{path}={path}" for path in own), *mounts, "--", str(PROGRAM), *args]

    def seen(self, text: str) -> str:
        """Return the text with the paths under which the process finds the mounts."""
        for target, path in () if CONTAINED else self.mounts.items():
            text = text.replace(target, str(path))
        return text

    def status(self) -> dict[str, str]:
        """Return the fields of proc(5) about the process: Uid, CapEff, VmHWM and so on."""
        lines = Path(f"/proc/{self.process.pid()}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@contextmanager
def own_network() -> Iterator[None]:
    """Give this thread and its processes a loopback where every port is free and no other network is. Nothing of it outlives them.

    The authenticator's default ports are fixed, and the reference takes one of them on every address while it is tested.
    """
    if not CONTAINED:
        yield
        return
    import fcntl  # what only POSIX has

    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        if libc.unshare(_NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                # netdevice(7): the name of the interface, then its flags.
                fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
            yield
        finally:
            libc.setns(before.fileno(), _NEW_NETWORK)


def give(*paths: Path) -> None:
    """Make files the container's user's own, and nobody else's."""
    for path in paths:
        path.chmod(0o600)
        if CONTAINED:
            os.chown(path, UID, UID)
