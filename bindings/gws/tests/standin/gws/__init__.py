"""The parts of GWS that the plugin touches, as far as it touches them. Written for these tests from how GWS behaves."""

import os
import sys
import time
import traceback
from types import SimpleNamespace
from typing import Any


class Data:
    """Attributes that were not set read as None."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return None


class Config(Data): ...


class Request(Data): ...


class Response(Data): ...


class WebRequester: ...


Duration = str


class Error(Exception): ...


class ConfigurationError(Error): ...


class BadRequestError(Error): ...


class Node:
    config: Config

    def cfg(self, key: str, default: Any = None) -> Any:
        value = getattr(self.config, key)
        return default if value is None else value


ext = SimpleNamespace(new=SimpleNamespace(helper=lambda name: None))

c = SimpleNamespace(EPHEMERAL_DIR=os.environ.get("GWS_TMP_DIR", "/tmp/gws") + "/transient/ephemeral")


def _ensure_dir(path: str) -> str:
    os.makedirs(path, mode=0o755, exist_ok=True)
    return path


u = SimpleNamespace(ensure_dir=_ensure_dir, stime=lambda: int(time.time()))


def _log(level: str, text: str) -> None:
    print(f"{level} :: {text}", file=sys.stderr)


log = SimpleNamespace(
    warning=lambda text: _log("WARNING", text),
    exception=lambda: _log("ERROR", traceback.format_exc()),
)
