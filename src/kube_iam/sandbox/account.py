"""The emulated AWS account, a process of its own: ministack's IAM, STS and EKS behind TLS on loopback.

The sandbox starts it with `command` and `environment`, and `main` runs in it. SIGUSR1 ends all sessions of the account at once. Tests
need that for expired sessions, because STS issues none that is shorter than 15 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from importlib import import_module
from pathlib import Path

from kube_iam.core.partitions import sts_host
from kube_iam.sandbox.account_delay import install_delay
from kube_iam.sandbox.account_requests import filter_requests
from kube_iam.sandbox.aws_fidelity import expire_sessions, install

LOOPBACK = "127.0.0.1"


def command(
    port: int, region: str, certificate: Path, key: Path, root_key: str, iam_delay_seconds: float = 0.0
) -> list[str]:
    """Return the command line of the process. It holds no secret: `environment` carries the root's secret."""
    options: dict[str, object] = {
        "port": port,
        "region": region,
        "certificate": certificate,
        "key": key,
        "root-key": root_key,
    }
    options["iam-delay"] = iam_delay_seconds
    return [sys.executable, "-m", __spec__.name, *(f"--{name}={value}" for name, value in options.items())]


def environment(account: str, region: str, root_key: str, root_secret: str, directory: Path) -> dict[str, str]:
    """Return the whole environment of the process. It holds none of the user's own AWS settings and persists nothing."""
    return {
        "AUTH": "true",
        "SERVICES": "iam,sts,eks",
        "AWS_ACCESS_KEY_ID": root_key,
        "AWS_SECRET_ACCESS_KEY": root_secret,
        "MINISTACK_ACCOUNT_ID": account,
        "MINISTACK_REGION": region,
        "PERSIST_STATE": "0",
        "IOT_MTLS_ENABLED": "false",
        "SFTP_ENABLED": "false",
        "LOG_LEVEL": "WARNING",
        "HOME": str(directory),
        "TMPDIR": str(directory),
    }


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="kube-iam-account", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--root-key", required=True)
    parser.add_argument("--iam-delay", type=float, default=0.0)
    options = parser.parse_args()
    install(options.root_key)
    if options.iam_delay > 0:
        install_delay(options.iam_delay)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, expire_sessions)
    config = Config()
    config.bind = [f"{LOOPBACK}:{options.port}"]
    config.certfile, config.keyfile = options.certificate, options.key
    config.loglevel = "WARNING"
    config.graceful_timeout = 0.5
    config.keep_alive_timeout = 75  # the webhook keeps its connection between sign-ins
    hosts = frozenset({f"{LOOPBACK}:{options.port}", f"localhost:{options.port}", sts_host(options.region)})
    app = filter_requests(import_module("ministack.app").app, hosts=hosts, region=options.region)
    await serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
