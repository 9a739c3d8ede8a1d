"""A machine whose user signs in with `kube-iam token` as a process."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from aws_stand_ins import BEARER
from tls_sts import TlsSts

import forks


@dataclass
class Home:
    """A machine with nothing on it but what the test puts there."""

    path: Path
    environ: dict[str, str]

    @staticmethod
    def on(path: Path, sts: TlsSts) -> Home:
        """Make a home directory at the path, whose STS is `sts`."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),
            "AWS_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **sts.environment(),
        }
        return Home(path, environ)

    def config(self, text: str) -> None:
        (self.path / ".aws").mkdir(exist_ok=True)
        (self.path / ".aws" / "config").write_text(text)

    def sso_token(self, name: str, lasts: float = 3600, bearer: str = BEARER) -> None:
        """Write the files of `aws sso login`."""
        cache = self.path / ".aws" / "sso" / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lasts))
        token = {"accessToken": bearer, "expiresAt": end, "region": "eu-west-1", "startUrl": "https://x.awsapps.com"}
        (cache / f"{sha1(name.encode()).hexdigest()}.json").write_text(json.dumps(token))

    def token(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return forks.run(["token", "-i", "shop", *arguments], {**self.environ, **environ}, new_session=True)

    def signed_by(self, *arguments: str, **environ: str) -> tuple[str, str]:
        """Return the access key id that signed the token, and the time at which the token ends."""
        ran = self.token(*arguments, **environ)
        assert (ran.returncode, ran.stderr) == (0, "")
        return signer_of(ran.stdout), json.loads(ran.stdout)["status"]["expirationTimestamp"]


def signer_of(answer: str) -> str:
    """Return the access key id that signed the token of an exec credential."""
    body = json.loads(answer)["status"]["token"].removeprefix("k8s-aws-v1.")
    query = parse_qs(urlsplit(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()).query)
    return query["X-Amz-Credential"][0].split("/")[0]
