"""A headless Chromium, driven by the DevTools protocol over a pipe: JSON messages that end with a zero byte, on descriptors 3 and 4.

https://chromedevtools.github.io/devtools-protocol/ (`--remote-debugging-pipe`). No driver, no port, no library.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from kube_iam.sandbox.control_plane import cache_directory
from required import missing

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # Chromium refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
)
SECONDS = 120.0
"""The longest wait for a message."""


def chromium() -> str:
    """Return the path of a Chromium, or skip the test."""
    named = (os.environ.get("KUBE_IAM_CHROMIUM", ""), *map(shutil.which, _NAMES))
    return next(filter(None, named), None) or missing("Chromium", "apt-get install chromium, or set KUBE_IAM_CHROMIUM")


def axe_script() -> str:
    """Return the script of axe-core, or skip the test."""
    found = sorted((cache_directory(os.environ) / "axe-core").glob("axe-core-*/node_modules/axe-core/axe.min.js"))
    return found[-1].read_text() if found else missing("axe-core", "make browser")


class Browser:
    """A running browser, with one page at a time. `requests` are the URLs that the page asked for since `open`."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The child gets the ends as 3 and 4; a shell script in between, as Debian's, passes them on. dash knows none above 9.
        command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._events: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Any:
        """Return the result of a command. Raises AssertionError with the browser's error."""
        self._number += 1
        number = self._number
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            found = self._message()
            if found.get("id") == number:
                assert "error" not in found, f"{method}: {found['error']}"
                return found["result"]
            self._note(found)

    def open(self, url: str) -> float:
        """Load the page, and return the seconds until it is on the screen."""
        began = time.monotonic()
        self.load(url)
        self.wait_for_paint()
        return time.monotonic() - began

    def load(self, url: str) -> None:
        """Load the page until its load event."""
        self.requests.clear()
        self.errors.clear()
        self._events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._note(self._message())

    def wait_for_paint(self) -> None:
        """Wait for two frames: then everything before is on the screen. It never ends in a page without scripts."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, which may be a promise. Works in a page without scripts too."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def view(self, width: int, height: int = 900, *, scheme: str = "light", media: str = "") -> None:
        """Set the window's size in CSS pixels, the colour scheme that the user prefers, and the medium (print)."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def scripts(self, *, on: bool) -> None:
        """Switch the scripts of pages on or off. It counts from the next `open`."""
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press a key on the keyboard, such as Tab (9), or a letter."""
        pressed = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **pressed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def screenshot(self, path: Path, *, full: bool = False) -> None:
        """Write a PNG of what the window shows, or of the whole page."""
        path.write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)["data"])
        )

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(20)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            readable, _, _ = select.select([self._read], [], [], SECONDS)
            assert readable, f"Chromium says nothing for {SECONDS} s"
            part = os.read(self._read, 1 << 20)
            assert part, f"Chromium ended with {self._process.wait(20)}"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method", ""), event.get("params", {})
        self._events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if method == "Log.entryAdded":
            self.errors.append(parameters["entry"]["text"])
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
