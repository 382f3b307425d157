"""Writes a software bill of materials (CycloneDX 1.6) for one package: every crate that is linked into it.

Crates that only run during the build are left out: build scripts' dependencies and procedural macros.
The output depends only on the sources and the toolchain, so two builds write the same bytes.
"""

import argparse
import datetime
import json
import os
import subprocess
import tomllib
import uuid
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent


def said(*command: str) -> str:
    return subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(metadata: dict[str, Any], name: str) -> dict[str, list[str]]:
    """The identifiers of the package `name` and of all crates linked into it, each with those that it links itself."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

    def links(crate: str) -> list[str]:
        normal = {dep["pkg"] for dep in nodes[crate]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])}
        macros = {dep for dep in normal if any("proc-macro" in target["kind"] for target in packages[dep]["targets"])}
        return sorted(normal - macros)

    [root] = [package["id"] for package in metadata["packages"] if package["name"] == name]
    found: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        crate = waiting.pop()
        if crate not in found:
            found[crate] = links(crate)
            waiting += found[crate]
    return found


def component(package: dict[str, Any], checksums: dict[tuple[str, str], str]) -> dict[str, Any]:
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    result = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    result["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package["source"] is not None:
        result["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
        url = f"https://crates.io/api/v1/crates/{name}/{version}/download"
        result["externalReferences"] = [{"type": "distribution", "url": url}]
    return result


def toolchain() -> list[dict[str, Any]]:
    """What the compilers add: Rust's standard library, and the stack unwinder that Zig brings."""
    rust = said("rustc", "--version").split()[1]
    zig = said("python-zig", "version").strip()
    parts = [
        ("std", rust, "MIT OR Apache-2.0", "Rust's standard library"),
        ("libunwind", f"zig-{zig}", "Apache-2.0 WITH LLVM-exception", "LLVM's stack unwinder, as Zig builds it"),
    ]
    return [
        {
            "type": "library",
            "bom-ref": name,
            "name": name,
            "version": version,
            "description": description,
            "licenses": [{"expression": licence}],
        }
        for name, version, licence, description in parts
    ]


def bill(name: str, target: str) -> dict[str, Any]:
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(said(*command))
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())
    checksums = {(entry["name"], entry["version"]): entry.get("checksum", "") for entry in lock["package"]}
    graph = linked(metadata, name)
    components = {package["id"]: component(package, checksums) for package in metadata["packages"]}
    root = next(iter(graph))
    parts = sorted((components[crate] for crate in graph if crate != root), key=lambda part: part["bom-ref"])
    added = toolchain()

    depends = {
        components[crate]["bom-ref"]: [components[link]["bom-ref"] for link in links] for crate, links in graph.items()
    }
    depends[components[root]["bom-ref"]] += [part["bom-ref"] for part in added]
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{components[root]['purl']}?{target}").urn,
        "version": 1,
        "metadata": {
            "timestamp": time.isoformat().replace("+00:00", "Z"),
            "component": components[root],
            "properties": [{"name": "rust:target", "value": target}],
        },
        "components": parts + added,
        "dependencies": [{"ref": ref, "dependsOn": sorted(links)} for ref, links in sorted(depends.items())],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", help="the crate that the package is built from")
    parser.add_argument("target", help="the Rust target, such as x86_64-unknown-linux-gnu")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(bill(arguments.package, arguments.target), indent=2)
    arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
