"""The body of an STS response to GetCallerIdentity, JSON or XML, read strictly: bounded, each field once, no DTD, no entities."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn
from xml.parsers import expat

from kube_iam.core.strict_json import DuplicateKey, read_json

MAX_BODY = 64 * 1024
XML_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

_FIELDS = ("Account", "Arn", "UserId")
_XML_PATH = tuple(f"{XML_NAMESPACE} {name}" for name in ("GetCallerIdentityResponse", "GetCallerIdentityResult"))
_XML_FIELDS = {f"{XML_NAMESPACE} {name}": name for name in _FIELDS}
# "Signature expired: <X-Amz-Date> is now earlier than <limit> (<AWS's time> - 15 min.)"
# "Signature not yet current: <X-Amz-Date> is still later than <limit> (<AWS's time> + 15 min.)"
# Both have the code of a wrong signature.
_CLOCK_TIMES = re.compile(rb": (\d{8}T\d{6}Z) is (?:now earlier|still later) than \d{8}T\d{6}Z \((\d{8}T\d{6}Z) [-+] ")
_ERROR_MESSAGE = re.compile(rb'(?:"[Mm]essage"\s*:\s*"|<[Mm]essage>)\s*')
_ERROR_CODE = re.compile(rb'(?:"Code"\s*:\s*"|<Code>)([A-Za-z]{1,64})["<]')


class InvalidResponse(Exception):
    """The body is not a response to GetCallerIdentity. The message says why and quotes nothing from the body."""


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """The three fields of GetCallerIdentity's result, as STS spells them."""

    account: str
    arn: str
    user_id: str


def read_response(body: bytes, content_type: str) -> CallerIdentity:
    """Return the result in the body. Raises InvalidResponse."""
    if len(body) > MAX_BODY:
        raise InvalidResponse("the answer is longer than 64 KiB")
    match content_type.partition(";")[0].strip().lower():
        case "application/json":
            return _read_json(body)
        case "text/xml" | "application/xml":
            return _read_xml(body)
    raise InvalidResponse("the answer's content type is neither JSON nor XML")


def error_code(body: bytes) -> str:
    """Return the error code (`SignatureDoesNotMatch`) of an STS error in either format; empty where there is none."""
    found = _ERROR_CODE.search(body[:MAX_BODY])
    return found.group(1).decode() if found else ""


class SignatureProblem(Enum):
    """A cause that STS names in the message alone. The value is how the message begins."""

    EXPIRED = "Signature expired"
    REQUEST_EXPIRED = "Request has expired"
    NOT_YET_CURRENT = "Signature not yet current"
    OTHER_REGION = "Credential should be scoped to a valid region"


def signature_problem(body: bytes) -> tuple[SignatureProblem | None, str]:
    """Return the problem that the message of an STS error begins with, and its times in words; None and empty for other messages.

    Nothing else of a message is returned: it can quote the signed request.
    """
    begin = _ERROR_MESSAGE.search(body[:MAX_BODY])
    if begin is None:
        return None, ""
    text = body[begin.end() :]
    for problem in SignatureProblem:
        head = problem.value.encode()
        if text.startswith(head):
            times = _CLOCK_TIMES.match(text, len(head))
            return problem, _times(*times.groups()) if times else ""
    return None, ""


def _times(signed: bytes, refused: bytes) -> str:
    return f"signed at {signed.decode()}, refused at {refused.decode()} by AWS's clock"


def is_throttling(status: int, body: bytes) -> bool:
    """Return whether a response other than 200 is throttling: HTTP 429, or `Throttl` anywhere in its body.

    STS throttles with 400 or 503 and a code of that family; proxies and gateways put the word into texts of their own.
    """
    return status == 429 or b"throttl" in body[:MAX_BODY].lower()


def _read_json(body: bytes) -> CallerIdentity:
    try:
        answer = read_json(body.decode("utf-8"))
    except DuplicateKey as problem:
        raise InvalidResponse("a field repeats in the answer") from problem
    except ValueError as problem:
        raise InvalidResponse("the answer is not JSON") from problem
    # Unknown fields below the top are ignored: AWS adds fields to results, and a new one must not refuse all sign-ins.
    if not isinstance(answer, dict) or list(answer) != ["GetCallerIdentityResponse"]:
        raise InvalidResponse("the answer is not a GetCallerIdentityResponse")
    response = answer["GetCallerIdentityResponse"]
    result = response.get("GetCallerIdentityResult") if isinstance(response, dict) else None
    if not isinstance(result, dict):
        raise InvalidResponse("the answer has no GetCallerIdentityResult")
    return _caller({name: result[name] for name in _FIELDS if name in result})


def _caller(fields: dict[str, Any]) -> CallerIdentity:
    for name in _FIELDS:
        if not isinstance(fields.get(name), str):
            raise InvalidResponse(f"the answer has no {name}")
    return CallerIdentity(fields["Account"], fields["Arn"], fields["UserId"])


def _read_xml(body: bytes) -> CallerIdentity:
    reader = _XmlReader()
    try:
        # Decoded here, so that neither a byte order mark nor the document's own declaration chooses another encoding.
        reader.parser.Parse(body.decode("utf-8"), True)
    except (expat.ExpatError, UnicodeDecodeError) as problem:
        raise InvalidResponse("the answer is not XML") from problem
    return _caller(reader.fields)


class _XmlReader:
    """Collects the three fields from exactly Response/Result/field. Refuses everything that could hide another meaning."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.CommentHandler = self._refuse
        self.parser.ProcessingInstructionHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.fields: dict[str, str] = {}
        self._path: list[str] = []
        self._results = 0
        self._field = ""

    def _refuse(self, *_: object) -> NoReturn:
        raise InvalidResponse(
            "the answer has a document type, comment or processing instruction, which STS never sends"
        )

    def _start(self, tag: str, _: object) -> None:
        depth = len(self._path)
        if depth == 0 and tag != _XML_PATH[0]:
            raise InvalidResponse("the answer is not a GetCallerIdentityResponse")
        if depth == 1 and tag == _XML_PATH[1]:
            self._results += 1
            if self._results > 1:
                raise InvalidResponse("the answer has two results")
        if self._field:
            raise InvalidResponse("a field of the answer holds elements")
        if tuple(self._path) == _XML_PATH and tag in _XML_FIELDS:
            self._field = _XML_FIELDS[tag]
            if self._field in self.fields:
                raise InvalidResponse("a field repeats in the answer")
            self.fields[self._field] = ""
        self._path.append(tag)

    def _end(self, _: str) -> None:
        self._path.pop()
        self._field = ""

    def _text(self, text: str) -> None:
        if self._field:
            self.fields[self._field] += text
