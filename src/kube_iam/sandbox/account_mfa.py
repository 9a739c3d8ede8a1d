"""MFA of the emulated account. The emulator stores virtual devices and never checks their codes.

A code is that of RFC 6238 over the characters of the device's seed, which is not base32. It is valid once, in its half minute, the one
before and the one after. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html, SerialNumber and TokenCode
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from contextvars import ContextVar
from importlib import import_module

_STEP_SECONDS = 30
_used: dict[str, int] = {}  # the step of each device's last code

present: ContextVar[bool] = ContextVar("present", default=False)
"""Whether the present request holds a valid code of the caller's own device."""


def code(seed: str, step: int) -> str:
    """Return the six digits of a device with that seed. `step` counts half minutes of Unix time."""
    digest = hmac.digest(seed.encode(), step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


def code_now(seed: str, now: float) -> str:
    """Return the code that a device with that seed shows at `now`, in Unix seconds."""
    return code(seed, int(now // _STEP_SECONDS))


def code_problem(parameters: Mapping[str, str], access_key: str, now: float) -> str:
    """Return the error of STS about the code of this request, empty where the code is valid or missing. Sets `present`."""
    present.set(False)
    serial, given = parameters.get("SerialNumber"), parameters.get("TokenCode")
    if serial is None and given is None:
        return ""
    iam = import_module("ministack.services.iam")
    user = (iam._access_keys.get(access_key) or {}).get("UserName")
    device = iam._mfa_devices.get(serial)
    if not user or device is None or device["User"] != user:
        return (
            "MultiFactorAuthentication failed, unable to validate MFA code. "
            "Please verify your MFA serial number is valid and associated with this user."
        )
    newest = int(now // _STEP_SECONDS) + 1
    for step in range(max(newest - 2, _used.get(str(serial), 0) + 1), newest + 1):
        if hmac.compare_digest(code(device["Base32StringSeed"], step).encode(), (given or "").encode()):
            _used[str(serial)] = step
            present.set(True)
            return ""
    return "MultiFactorAuthentication failed with invalid MFA one time pass code."
