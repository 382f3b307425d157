"""A binding to the C library, made from abi.json and from nothing else.

    c = Binding("libchunked_upload.so", "abi.json")
    store = c.upload_store_open(path=b"uploads")
    chunk = c.struct("upload_chunk", total_size=5, chunk_count=1, content=b"hello")
    receipt = c.upload_handle_chunk(store=store, chunk=chunk)
    print(c.upload_get(store=store, uid=receipt.upload_uid).path)

Parameters and members are given by name; those that are left out are NULL, 0, or what they are at first. Lengths
follow from the bytes. A call returns what it gives; a failure is a `Failure`. A handle is freed with the last
reference to it.

Free to copy. ctypes releases the GIL around each call.
"""

import ctypes
import json
import weakref
from pathlib import Path
from typing import Any

# ctypes copies the text that a `const char *` points to, and keeps alive the bytes that are passed or set.
_TYPES: dict[str, Any] = {
    "void": None,
    "char": ctypes.c_char,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "char *": ctypes.c_char_p,
    "void *": ctypes.c_char_p,
}


class Failure(Exception):
    """A call that failed: the number of its result, and a handle with the facts."""

    def __init__(self, result: int, facts: "Handle | None") -> None:
        super().__init__(result, facts and facts.message)
        self.result, self.facts = result, facts


class Handle:
    """An object of the library. Its attributes are the functions that ask it: `finished.path`, `seen.range_first(0)`"""

    def __init__(self, binding: "Binding", kind: str, address: int, free: str) -> None:
        self._binding, self._kind, self.address = binding, kind, address
        weakref.finalize(self, binding.function(free), address)

    def __getattr__(self, name: str) -> Any:
        function = self._binding.function(f"{self._kind}_{name}")
        if len(function.argtypes) == 1:
            return function(self.address)
        return lambda *more: function(self.address, *more)


class Binding:
    """The library. Its attributes are the functions: `binding.upload_get(store=store, uid=uid)`."""

    def __init__(self, library: str | Path, abi: str | Path) -> None:
        declared = json.loads(Path(abi).read_text(encoding="utf-8"))
        self._library = ctypes.CDLL(str(library))
        self.constants: dict[str, int] = {item["name"]: item["value"] for item in declared["constants"]}
        self.results: dict[str, int] = {item["name"]: item["value"] for item in declared["results"]}
        self.declared: dict[str, Any] = {item["name"]: item for item in declared["functions"] + declared["structs"]}
        self._types = _TYPES | {"upload_result": _TYPES[declared["result_type"]]}
        self._types |= {f"{item['name']} *": ctypes.c_void_p for item in declared["opaque"]}
        for item in declared["structs"]:
            fields = [(member["name"], self._type(member["type"])) for member in item["members"]]
            made = type(item["name"], (ctypes.Structure,), {"_fields_": fields})
            assert (ctypes.sizeof(made), ctypes.alignment(made)) == (item["size"], item["alignment"]), item["name"]
            for member in item["members"]:
                field = getattr(made, member["name"])
                assert (field.offset, field.size) == (member["offset"], member["size"]), member["name"]
            self._types |= {item["name"]: made, f"{item['name']} *": ctypes.POINTER(made)}

    def _type(self, name: str) -> Any:
        name = name.removeprefix("const ")
        if name.endswith("]"):
            element, size = name.removesuffix("]").split("[")
            return self._type(element) * self.constants[size]
        return ctypes.POINTER(ctypes.c_void_p) if name.endswith(" **") else self._types[name]

    def function(self, name: str) -> Any:
        """The function as it is in C."""
        declared, function = self.declared[name], getattr(self._library, name)
        function.restype = self._type(declared["returns"])
        function.argtypes = [self._type(parameter["type"]) for parameter in declared["parameters"]]
        return function

    def struct(self, name: str, **given: Any) -> Any:
        """A struct as it is at first, but for these members."""
        members = self.declared[name]["members"]
        # Of an array and a pointer that is what ctypes makes of them, too.
        initial = {member["name"]: member["initial"] for member in members if isinstance(member["initial"], int)}
        return self._types[name](**initial | _with_lengths(members, given))

    def __getattr__(self, name: str) -> Any:
        return lambda **given: self._call(name, given)

    def _call(self, name: str, given: dict[str, Any]) -> Any:
        declared = self.declared[name]
        given = _with_lengths(declared["parameters"], given)
        asked = [item for item in declared["parameters"] if item["name"] not in given and item["direction"] != "in"]
        rooms = {item["name"]: self._room(item) for item in asked}
        passed = []
        for item in declared["parameters"]:
            value = (given | rooms).get(item["name"], None if "nullable" in item else 0)
            value = value.address if isinstance(value, Handle) else value
            passed.append(ctypes.byref(value) if isinstance(value, ctypes.Structure | ctypes.c_void_p) else value)
        result = self.function(name)(*passed)
        if declared["returns"] != "upload_result":
            return self._handle(declared["returns"], result, declared["free"]) if "free" in declared else result
        answers = {item["name"]: self._answer(item, rooms[item["name"]]) for item in asked}
        facts = answers.pop("error", None)
        if result != self.results["UPLOAD_OK"]:
            raise Failure(result, facts)
        return next(iter(answers.values()), None)

    def _room(self, parameter: Any) -> Any:
        """Where a call writes to."""
        if parameter["type"].endswith(" **"):
            return ctypes.c_void_p()
        if "length" in parameter:
            return ctypes.create_string_buffer(self.constants[parameter["length"]])
        return self.struct(parameter["type"].removesuffix(" *"))

    def _answer(self, parameter: Any, room: Any) -> Any:
        """What a call wrote."""
        if isinstance(room, ctypes.Structure):
            return room
        return self._handle(parameter["type"], room.value, parameter["free"]) if "free" in parameter else room.value

    def _handle(self, ctype: str, address: int | None, free: str) -> Handle | None:
        return Handle(self, ctype.rstrip(" *"), address, free) if address else None


def _with_lengths(declared: list[Any], given: dict[str, Any]) -> dict[str, Any]:
    """With the lengths of what is given, where they are not given themselves."""
    pointers = [item for item in declared if "length" in item and item["direction"] == "in"]
    return {item["length"]: len(given[item["name"]] or b"") for item in pointers if item["name"] in given} | given
