"""Kinds of failed connections to an API server, for programs: the errors of our tree are sentences for people."""

from __future__ import annotations

import socket
import ssl
from enum import Enum, auto

from kube_iam.core.redaction import causes
from kube_iam.errors import KubeIamError, Unreachable


class KubeFault(Enum):
    """A kind of failure."""

    UNRESOLVED = auto()
    REFUSED = auto()
    UNREACHABLE = auto()
    UNKNOWN_AUTHORITY = auto()
    WRONG_NAME = auto()
    WRONG_TIME = auto()
    UNREADABLE_AUTHORITY = auto()
    OTHER = auto()


# X509_V_ERR_* of OpenSSL, x509_vfy.h.
_TIMES = frozenset({9, 10})
_NAMES = frozenset({62, 63, 64})


def fault_of(error: KubeIamError) -> KubeFault:
    """Return the kind of an error of `KubeApi.call` for which there was no answer."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            code = cause.verify_code
            return (
                KubeFault.WRONG_TIME
                if code in _TIMES
                else KubeFault.WRONG_NAME
                if code in _NAMES
                else KubeFault.UNKNOWN_AUTHORITY
            )
        if isinstance(cause, socket.gaierror):
            return KubeFault.UNRESOLVED
        if isinstance(cause, ConnectionRefusedError):
            return KubeFault.REFUSED
    if isinstance(error, Unreachable):
        return KubeFault.UNREACHABLE
    # Files and PEM texts of the kubeconfig are read before there is a connection.
    unreadable = any(isinstance(cause, (OSError, ValueError)) for cause in causes(error))
    return KubeFault.UNREADABLE_AUTHORITY if unreadable else KubeFault.OTHER
