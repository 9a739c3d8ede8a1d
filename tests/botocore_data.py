"""Data that botocore computes for each session or client out of its own files and code: computed once per process here.

It parses 1 MiB of JSON and lists 400 directories for each client, and looks at 130 signatures and names of events for each session:
most of the time of a test that makes one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def work_out_once() -> None:
    """Make all of botocore's sessions and clients in this process share these results."""
    import botocore
    from botocore import hooks
    from botocore.compat import accepts_kwargs
    from botocore.loaders import JSONFileLoader, Loader

    own = str(Path(botocore.__file__).parent)
    parse: Any = JSONFileLoader.load_file
    parsed = cache(lambda path: parse(JSONFileLoader(), path))

    def load_file(self: JSONFileLoader, file_path: str) -> Any:
        return parsed(file_path) if str(file_path).startswith(own) else parse(self, file_path)

    own_data = Loader.BUILTIN_DATA_PATH
    list_services: Any = Loader.list_available_services
    listed = cache(
        lambda kind: list_services(Loader(extra_search_paths=[own_data], include_default_search_paths=False), kind)
    )

    def list_available_services(self: Any, type_name: str) -> Any:
        return listed(type_name) if [*self._potential_locations()] == [own_data] else list_services(self, type_name)

    of_function = cache(accepts_kwargs)

    def verified(handler: Callable[..., Any]) -> Any:
        function = getattr(handler, "__func__", handler)
        return of_function(function) if inspect.isfunction(function) else accepts_kwargs(handler)

    aliaser: Any = hooks.EventAliaser
    names: dict[str, str] = {}
    begin_alone = aliaser.__init__

    def begin(self: Any, event_emitter: Any, event_aliases: Any = None) -> None:
        begin_alone(self, event_emitter, event_aliases)
        if self._event_aliases == hooks.EVENT_ALIASES:
            self._alias_name_cache = names

    JSONFileLoader.load_file = load_file  # type: ignore[method-assign]
    Loader.list_available_services = list_available_services  # type: ignore[method-assign]
    hooks.accepts_kwargs = verified  # type: ignore[assignment]
    aliaser.__init__ = begin
