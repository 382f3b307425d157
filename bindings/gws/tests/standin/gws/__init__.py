"""The parts of GWS that the plugin touches, as far as it touches them. Written for these tests from how GWS behaves."""

import contextlib
import os
import pathlib
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

    def get(self, key: str, default: Any = None) -> Any:
        return vars(self).get(key, default)


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
    root: "Root"

    def cfg(self, key: str, default: Any = None) -> Any:
        value = getattr(self.config, key)
        return default if value is None else value

    def configure(self) -> None: ...

    def post_configure(self) -> None: ...

    def create_child(self, classref: Any, config: Any = None, **more: Any) -> Any:
        return self.root.create(classref, config, **more)

    def create_children(self, classref: Any, configs: Any) -> list[Any]:
        return [node for node in (self.create_child(classref, config) for config in configs or []) if node]


class Root:
    """The tree of nodes. It drops one that cannot be configured, and keeps one whose `post_configure` fails."""

    app: Any

    def __init__(self, specs: Any) -> None:
        self.specs = specs
        self.nodes: list[Node] = []
        self.configErrors: list[Data] = []

    def create(self, classref: Any, config: Any = None, **more: Any) -> Any:
        config = Config(**{**more, **(vars(config) if config else {})})
        node = self._alloc(classref, config.type)
        if self._does(node, "configure", config):
            self.nodes.append(node)
            return node
        return None

    def create_application(self, config: Config) -> Any:
        self.app = self._alloc("gws.base.application.core.Object", None)
        self._does(self.app, "configure", config)
        return self.app

    def post_initialize(self) -> None:
        for node in self.nodes:
            self._does(node, "post_configure", node.config)

    def _alloc(self, classref: Any, ext_type: str | None) -> Any:
        node = self.specs.get_class(classref, ext_type)()
        node.root = self
        node.extType = ext_type
        return node

    def _does(self, node: Node, method: str, config: Config) -> bool:
        node.config = config
        try:
            getattr(node, method)()
        except Exception as exc:
            log.exception()
            self.configErrors.append(Data(message=str(exc.args[0])))
            return False
        return True


def create_root(specs: Any) -> Root:
    return Root(specs)


ext = SimpleNamespace(
    new=SimpleNamespace(helper=lambda name: None),
    object=SimpleNamespace(helper="gws.ext.object.helper"),
)

c = SimpleNamespace(
    EPHEMERAL_DIR=os.environ.get("GWS_TMP_DIR", "/tmp/gws") + "/transient/ephemeral",
    UID=1000,
    GID=1000,
)


def _ensure_dir(path: str) -> str:
    # Each missing directory with this mode, as GWS makes them. `os.makedirs` gives it to the last one only.
    for part in [*reversed(pathlib.Path(path).parents), pathlib.Path(path)]:
        if not part.is_dir():
            os.mkdir(part, 0o755)
    with contextlib.suppress(OSError):
        os.chown(path, c.UID, c.GID)
    return path


u = SimpleNamespace(ensure_dir=_ensure_dir, stime=lambda: int(time.time()))


def _log(level: str, text: str) -> None:
    print(f"{level} :: {text}", file=sys.stderr)


log = SimpleNamespace(
    error=lambda text: _log("ERROR", text),
    warning=lambda text: _log("WARNING", text),
    exception=lambda: _log("ERROR", traceback.format_exc()),
)
