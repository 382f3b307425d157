"""Checks bills of materials: by the schema of CycloneDX, and for what every released one must say."""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

for file in map(Path, sys.argv[1:]):
    text = file.read_text()
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"{file.name}: {error}")
    bill = json.loads(text)
    names = {component["name"] for component in bill["components"]}
    if missing := {"chunked-upload", "crc-fast", "sha2", "libc", "std"} - names:
        sys.exit(f"{file.name} lacks {missing}")
    if needless := {"syn", "cbindgen", "proptest", "thiserror-impl"} & names:
        sys.exit(f"{file.name} has {needless}, which is not linked")
    for component in bill["components"]:
        crates_io = "externalReferences" in component
        if not component["licenses"] or (crates_io and len(component["hashes"][0]["content"]) != 64):
            sys.exit(f"{file.name}: {component['name']} lacks its licence or its checksum")
    print(f"{file.name}: {len(names)} components, valid")
