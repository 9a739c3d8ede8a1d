#!/usr/bin/env python3
"""Builds the container image without a container engine, for amd64 and arm64, as an OCI image layout.

    tools/image.py [--arch amd64] [DIRECTORY]      the default is ~/.cache/kube-iam/image; `make image` builds both

Three layers: Python and its libraries out of Debian packages, with the trusted roots; the packages of requirements/lock.txt; kube-iam.
There is no shell and no package manager in it. As with deploy/Dockerfile the program is in /opt/kube-iam and runs as uid 10000.
Equal packages and sources make an equal image: files are sorted, times are SOURCE_DATE_EPOCH (default 0), bytecode is checked by
hash. It needs Debian bookworm, for its packages, and uv, which is installed into .venv where it is missing; it needs no root.
Any tool that knows OCI layouts pushes it: skopeo copy --all oci:DIRECTORY docker://registry.example.com/kube-iam:0.1.0
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
PYTHON = "python3.11"
PACKAGES = (
    *("base-files", "ca-certificates", "libbz2-1.0", "libc6", "libcrypt1", "libexpat1", "libffi8", "libgcc-s1", "liblzma5"),
    *(f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib", "libssl3", "libuuid1", f"{PYTHON}-minimal", "zlib1g"),
)  # fmt: skip
"""Debian's packages. The interpreter needs no others for the modules that kube-iam and its packages import."""
USER = 10000
HOME = "opt/kube-iam"
SITE_PACKAGES = f"{HOME}/lib/{PYTHON}/site-packages"
PROGRAMS = ("aws-iam-authenticator", "kube-iam")
SOURCE_LABEL = "dev.kube-iam.source"
"""Label with the digest of the sources that the image was built from."""
_SCRIPT = f"""\
#!/{HOME}/bin/python
import sys

from kube_iam.cli.main import entry_point

sys.exit(entry_point())
"""
_LEFT_OUT = (
    *("usr/share/man", "usr/share/locale", "usr/share/i18n", "usr/share/lintian", "usr/share/bug", "usr/share/info"),
    *("usr/share/gcc", "usr/share/gdb", "usr/share/base-files", "usr/sbin", "sbin", "lib/systemd", "usr/lib/gcc", "var/lib"),
    *("etc/update-motd.d", "etc/ld.so.conf.d", "etc/ca-certificates", "etc/profile.d", f"usr/lib/{PYTHON}/pydoc_data"),
)  # fmt: skip


@dataclass(frozen=True)
class Arch:
    """A platform by its name in OCI and Debian, that of its wheels, and its dynamic linker."""

    name: str
    wheels: str
    linker: str


ARCHS = {
    "amd64": Arch("amd64", "x86_64-manylinux_2_28", "lib64/ld-linux-x86-64.so.2"),
    "arm64": Arch("arm64", "aarch64-manylinux_2_28", "lib/ld-linux-aarch64.so.1"),
}


def main() -> None:
    """Build the image, unless the directory holds that of the same sources. Print the directory."""
    parser = argparse.ArgumentParser(description="Build the container image as an OCI image layout.")
    parser.add_argument("--arch", action="append", choices=ARCHS, help="one platform (repeatable); default: all")
    parser.add_argument("directory", nargs="?", type=Path)
    given = parser.parse_args()
    target = given.directory or cache_directory() / "image"
    archs = [ARCHS[name] for name in given.arch or ARCHS]
    if given.directory is not None or built_from(target) != source_digest():
        with tempfile.TemporaryDirectory(prefix="kube-iam-image.") as work:
            build(archs, Path(work), target)
    print(target)


def cache_directory() -> Path:
    """Return the directory of what tools/ builds."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("KUBE_IAM_CACHE") or Path(base) / "kube-iam")


def source_digest() -> str:
    """Return a digest of everything of this repository that is in the image or decides about it."""
    others = ("pyproject.toml", "requirements/lock.txt", "tools/image.py")
    files = [*sorted((REPOSITORY / "src").rglob("*")), *(REPOSITORY / name for name in others)]
    digest = hashlib.sha256()
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def built_from(layout: Path) -> str:
    """Return the digest of the sources of the image in a layout, or an empty text where there is none."""
    try:
        found = configuration(layout, native())["config"]["Labels"][SOURCE_LABEL]
    except (OSError, KeyError, ValueError):
        return ""
    return str(found)


def native() -> str:
    """Return the name of this machine's platform."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def configuration(layout: Path, arch: str) -> dict[str, Any]:
    """Return the configuration of the image for a platform. Raises KeyError where the layout has none."""
    found: dict[str, Any] = _json(layout, manifest(layout, arch)["config"]["digest"])
    return found


def manifest(layout: Path, arch: str) -> dict[str, Any]:
    """Return the manifest of the image for a platform. Raises KeyError where the layout has none."""
    index = json.loads((layout / "index.json").read_text())
    for each in _json(layout, index["manifests"][0]["digest"])["manifests"]:
        if each["platform"]["architecture"] == arch:
            found: dict[str, Any] = _json(layout, each["digest"])
            return found
    raise KeyError(arch)


def unpack(layout: Path, arch: str, target: Path) -> None:
    """Write the root file system of the image for a platform."""
    for layer in manifest(layout, arch)["layers"]:
        with tarfile.open(_blob(layout, layer["digest"])) as archive:
            archive.extractall(target, filter="fully_trusted")  # noqa: S202  (our own archive)


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / Path(*digest.split(":"))


def _json(layout: Path, digest: str) -> Any:
    return json.loads(_blob(layout, digest).read_text())


def build(archs: Iterable[Arch], work: Path, target: Path) -> None:
    """Build the image into `target`, which is replaced as a whole."""
    layout = work / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    wheel = _wheel(work)
    # This machine's interpreter goes first: it compiles the modules of all platforms.
    manifests, compiler = [], ""
    for arch in sorted(archs, key=lambda each: each.name != native()):
        say(f"{arch.name}: Debian packages")
        roots = [work / arch.name / name for name in ("base", "packages", "program")]
        _debian(arch, roots[0], work)
        compiler = compiler or str(roots[0])
        say(f"{arch.name}: Python packages")
        _python_packages(arch, roots[1])
        _program(wheel, roots[2])
        for root in roots:
            _compile(Path(compiler), root)
        layers = [_layer(layout, root) for root in roots]
        manifests.append({**_manifest(layout, arch, layers), "platform": {"architecture": arch.name, "os": "linux"}})
    _index(layout, sorted(manifests, key=lambda each: str(each["platform"])))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(layout, target)


def _debian(arch: Arch, root: Path, work: Path) -> None:
    """Unpack Debian's packages of a platform, with what their scripts would write."""
    state = work / arch.name / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (state / folder).mkdir(parents=True)
    options = {
        "APT::Architecture": arch.name,
        "APT::Architectures::": arch.name,
        "APT::Sandbox::User": "root",
        "Dir::State::lists": str(state / "lists"),
        "Dir::Cache": str(state / "cache"),
        "Dir::State::status": "/dev/null",
    }
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if sources.exists():  # others than Debian's may not have the platform
        options |= {"Dir::Etc::sourcelist": str(sources), "Dir::Etc::sourceparts": "-"}
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    run([*apt, "update"], state)
    run([*apt, "download", *PACKAGES], state / "debs")
    root.mkdir(parents=True)
    status = root / "var/lib/dpkg/status.d"
    found = sorted((state / "debs").glob("*.deb"))
    for package in found:
        run(["dpkg-deb", "--extract", str(package), str(root)], state)
    for name in _LEFT_OUT:
        shutil.rmtree(root / name, ignore_errors=True)
    for path in (
        *(root / "usr/share/doc").rglob("*"),
        *(root / "usr/lib").glob("*/gconv"),
        *(root / "usr/bin").iterdir(),
    ):
        if path.is_dir() and not path.is_symlink():
            if path.name == "gconv":
                shutil.rmtree(path)
        elif path.name not in ("copyright", PYTHON):
            path.unlink()
    # Scanners look for the packages of an image without dpkg in this directory.
    status.mkdir(parents=True)
    for package in found:
        control = run(["dpkg-deb", "--field", str(package)], state)
        (status / package.name.split("_")[0]).write_text(control)
    roots = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text().rstrip() + "\n" for path in roots))
    default = root / "usr/lib/ssl/cert.pem"  # where OpenSSL looks
    default.parent.mkdir(parents=True, exist_ok=True)
    default.symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (root / "etc/passwd").write_text(
        f"root:x:0:0::/:/nonexistent\nkube-iam:x:{USER}:{USER}::/nonexistent:/nonexistent\n"
    )
    (root / "etc/group").write_text(f"root:x:0:\nkube-iam:x:{USER}:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "tmp").mkdir(exist_ok=True)


def _python_packages(arch: Arch, root: Path) -> None:
    """Install what kube-iam depends on, by the versions of the lock file, as wheels of the platform."""
    site = root / SITE_PACKAGES
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    options = [
        "--target",
        str(site),
        "--python-platform",
        arch.wheels,
        "--python-version",
        PYTHON.removeprefix("python"),
    ]
    lock = [
        "--constraint",
        str(REPOSITORY / "requirements/lock.txt"),
        "--only-binary",
        ":all:",
        "--no-compile-bytecode",
    ]
    run([_uv(), "pip", "install", "--quiet", *options, *lock, *wanted], root.parent)
    # Scripts name the interpreter of this machine, and none of them is kube-iam's.
    shutil.rmtree(site / "bin", ignore_errors=True)
    for path in site.glob(".lock"):
        path.unlink()


def _wheel(work: Path) -> Path:
    """Build the wheel of kube-iam from a copy: the build must neither see nor leave anything in the checkout."""
    copy = work / "copy"
    shutil.copytree(REPOSITORY / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    run([_uv(), "build", "--quiet", "--wheel", "--out-dir", str(work / "wheel"), str(copy)], work)
    (wheel,) = (work / "wheel").glob("*.whl")
    return wheel


def _program(wheel: Path, root: Path) -> None:
    """Write the virtual environment of kube-iam, without the packages of the other layer."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / SITE_PACKAGES)  # noqa: S202  (our own wheel)
    programs = root / HOME / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(f"/usr/bin/{PYTHON}")
    (root / HOME / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    for name in PROGRAMS:
        (programs / name).write_text(_SCRIPT)
        (programs / name).chmod(0o755)
    # Where the reference's image has its program: manifests that name it as their command go on working.
    (root / PROGRAMS[0]).symlink_to(f"/{HOME}/bin/{PROGRAMS[0]}")


def _compile(interpreter: Path, root: Path) -> None:
    """Compile all modules with the image's own interpreter: the root file system cannot be written later.

    Unchecked hashes: the bytecode does not depend on times, and the files of an image do not change.
    """
    arch = ARCHS[native()]
    libraries = ":".join(str(interpreter / folder) for folder in _library_folders(interpreter))
    command = [str(interpreter / arch.linker), "--library-path", libraries, str(interpreter / "usr/bin" / PYTHON)]
    compiling = [
        "-m",
        "compileall",
        "-qq",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(root),
        "-p",
        "/",
        str(root),
    ]
    environment = {"PYTHONHOME": str(interpreter / "usr"), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    # Some packages ship files that are no valid Python on purpose; they stay uncompiled.
    subprocess.run([*command, *compiling], env=environment, check=False)  # noqa: S603  (our own command line)


def _library_folders(root: Path) -> list[str]:
    return sorted({str(path.parent.relative_to(root)) for path in root.glob("**/*-linux-gnu/lib*.so.*")})


def _layer(layout: Path, root: Path) -> tuple[dict[str, object], str]:
    """Write a directory as a layer. Return its descriptor and the digest of the uncompressed archive."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(root.rglob("*")):
            entry = archive.gettarinfo(path, str(path.relative_to(root)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            if path.relative_to(root) == Path("tmp"):
                entry.mode = 0o1777
            if entry.islnk():  # gettarinfo sees two names of one file
                entry.type, entry.linkname = tarfile.REGTYPE, ""
                entry.size = path.stat().st_size
            with path.open("rb") if entry.isreg() else io.BytesIO() as content:
                archive.addfile(entry, content)
    packed = gzip.compress(plain.getvalue(), 9, mtime=0)
    diff = f"sha256:{hashlib.sha256(plain.getvalue()).hexdigest()}"
    return _put(layout, packed, "application/vnd.oci.image.layer.v1.tar+gzip"), diff


def _manifest(layout: Path, arch: Arch, layers: list[tuple[dict[str, object], str]]) -> dict[str, object]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    labels = {
        "org.opencontainers.image.title": project["name"],
        "org.opencontainers.image.version": project["version"],
        "org.opencontainers.image.licenses": project["license"],
        SOURCE_LABEL: source_digest(),
    }
    config = {
        "architecture": arch.name,
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": [f"PATH=/{HOME}/bin:/usr/bin:/bin"],
            "Entrypoint": [f"/{HOME}/bin/{PROGRAMS[0]}"],
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]},
    }
    body = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _put_json(layout, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor for descriptor, _ in layers],
    }
    return _put_json(layout, body, str(body["mediaType"]))


def _index(layout: Path, manifests: list[dict[str, object]]) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    media_type = "application/vnd.oci.image.index.v1+json"
    both = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    named = {**_put_json(layout, both, media_type), "annotations": {"org.opencontainers.image.ref.name": version}}
    outer = {"schemaVersion": 2, "mediaType": media_type, "manifests": [named]}
    (layout / "index.json").write_text(json.dumps(outer, indent=2) + "\n")
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')


def _put_json(layout: Path, data: object, media_type: str) -> dict[str, object]:
    return _put(layout, json.dumps(data, sort_keys=True).encode(), media_type)


def _put(layout: Path, content: bytes, media_type: str) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found is None:
        say("installing uv into this environment")
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], REPOSITORY)
        found = str(Path(sys.executable).parent / "uv")
    return found


def run(command: list[str], directory: Path) -> str:
    """Run a command that has to succeed, with the times of SOURCE_DATE_EPOCH. Return what it prints."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "315532800")}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  (our own command line)
    if done.returncode != 0:
        raise SystemExit(f"image: {command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def say(text: str) -> None:
    """Print progress on standard error."""
    print(f"image: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
