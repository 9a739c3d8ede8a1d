"""A Kubernetes API server as small as can be, for what a real one does not do on demand: 410 Gone, errors, silence, broken streams.

It keeps objects by collection path, answers lists and watches of them with resourceVersions, takes status patches and events, and
speaks plain HTTP on loopback.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kube_iam.kube.endpoint import EndpointSource

Thing = dict[str, Any]


class FakeKube:
    """`lists` and `watches` count requests; the faults last until they are taken back."""

    def __init__(self) -> None:
        self.lists = 0
        self.watches = 0
        self.patched: list[tuple[str, Thing]] = []
        self.posted: list[tuple[str, Thing]] = []
        self.status = 0
        """Answer every request with this status."""
        self.watch_status = 0
        """Answer every watch with this status."""
        self.silent = False
        """Take watches and say nothing, not even when they end."""
        self.end_at_once = False
        """End every watch before anything is said."""
        self.body: bytes | None = None
        """Answer every request with 200 and these bytes."""
        self.hold = threading.Event()
        """Answer nothing at all until this is set."""
        self.hold.set()
        self._objects: dict[str, dict[str, Thing]] = {}
        self._events: list[tuple[int, str, str, Thing]] = []
        self._version = 100
        self._forgotten = 0
        self._generation = 0
        self._changed = threading.Condition()
        self._server = self._listen(0)
        self.port = self._server.server_port

    @property
    def access(self) -> EndpointSource:
        return EndpointSource("", f"http://127.0.0.1:{self.port}", {})

    def put(self, path: str, name: str, fields: Thing) -> None:
        with self._changed:
            self._version += 1
            known = self._objects.setdefault(path, {})
            old = known.get(name)
            created = (
                old["metadata"] if old else {"uid": f"uid-{self._version}", "creationTimestamp": _stamp(self._version)}
            )
            metadata = {**created, **fields.get("metadata", {}), "name": name, "resourceVersion": str(self._version)}
            thing = {**fields, "metadata": metadata}
            known[name] = thing
            self._tell("MODIFIED" if old else "ADDED", path, thing)

    def delete(self, path: str, name: str) -> None:
        with self._changed:
            if name in self._objects.get(path, {}):
                self._version += 1
                thing = self._objects[path].pop(name)
                thing["metadata"]["resourceVersion"] = str(self._version)
                self._tell("DELETED", path, thing)

    def forget(self) -> None:
        """Compact: watches from before now are answered 410 Gone, and the open ones end with that."""
        with self._changed:
            self._forgotten = self._version
            self._events.append((self._version, "ERROR", "", {"kind": "Status", "code": 410, "message": "too old"}))
            self._changed.notify_all()

    def cut(self) -> None:
        """Break all open streams off."""
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Go away: nobody listens any more."""
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    def restart(self) -> None:
        """Come back on the same port."""
        self._server = self._listen(self.port)

    def _tell(self, kind: str, path: str, thing: Thing) -> None:
        self._events.append((self._version, kind, path, json.loads(json.dumps(thing))))
        self._changed.notify_all()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        class Handler(_Handler):
            fake = self

        server = _Quiet(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def answer_list(self, path: str, wanted: str) -> Thing:
        with self._changed:
            self.lists += 1
            items = [thing for name, thing in self._objects.get(path, {}).items() if wanted in ("", name)]
            return {"items": items, "metadata": {"resourceVersion": str(self._version)}}

    def follow(self, handler: _Handler, path: str, wanted: str, version: int, seconds: float) -> None:
        """Send what happens after the version, until the time is over or the stream is cut."""
        with self._changed:
            self.watches += 1
            generation = self._generation
            if version < self._forgotten:
                return handler.answer(410, {"kind": "Status", "code": 410, "message": "too old resource version"})
            position = next((at for at, event in enumerate(self._events) if event[0] > version), len(self._events))
        handler.begin()
        end = time.monotonic() + (0 if self.end_at_once else seconds)
        while generation == self._generation:
            with self._changed:
                while generation == self._generation and position == len(self._events) and time.monotonic() < end:
                    self._changed.wait(end - time.monotonic())
                fresh, position = self._events[position:], len(self._events)
            if self.silent:
                self._wait_for_cut(generation)
            if generation != self._generation:
                return None
            for _, kind, where, thing in fresh:
                if kind == "ERROR" or (where == path and wanted in ("", thing["metadata"]["name"])):
                    handler.send({"type": kind, "object": thing})
                if kind == "ERROR":
                    return handler.end()
            if time.monotonic() >= end:
                return handler.end()
        return None

    def _wait_for_cut(self, generation: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: generation != self._generation or not self.silent)


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing about a client that closes its connection."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeKube
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._fault():
            return
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        wanted = query.get("fieldSelector", "").removeprefix("metadata.name=")
        if "watch" not in query:
            self.answer(200, self.fake.answer_list(url.path, wanted))
        elif self.fake.watch_status:
            self.answer(self.fake.watch_status, {"kind": "Status", "message": "no"})
        else:
            self.fake.follow(self, url.path, wanted, int(query["resourceVersion"]), float(query["timeoutSeconds"]))
            self.close_connection = True

    def do_PATCH(self) -> None:
        body = self._sent()
        if not self._fault():
            self.fake.patched.append((self.path, body))
            self.answer(200, {})

    def do_POST(self) -> None:
        body = self._sent()
        if not self._fault():
            known = any(body["metadata"]["name"] == thing["metadata"]["name"] for _, thing in self.fake.posted)
            self.fake.posted += [] if known else [(self.path, body)]
            self.answer(409 if known else 201, {})

    def answer(self, status: int, thing: Thing) -> None:
        body = json.dumps(thing).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def send(self, thing: Thing) -> None:
        line = json.dumps(thing).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, *arguments: object) -> None:
        pass

    def _fault(self) -> bool:
        self.fake.hold.wait(60)
        if self.fake.body is not None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.fake.body)))
            self.end_headers()
            self.wfile.write(self.fake.body)
        elif self.fake.status:
            self.answer(self.fake.status, {"kind": "Status", "message": "no", "code": self.fake.status})
        return self.fake.body is not None or self.fake.status != 0

    def _sent(self) -> Thing:
        return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))


def _stamp(version: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_700_000_000 + version))
