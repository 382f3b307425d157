"""``python -m chunked_upload``, and the command ``chunked-upload``."""

import sys


def main() -> int:
    try:
        from chunked_upload.cli.app import run
    except ModuleNotFoundError as missing:
        print(
            f"chunked-upload: {missing.name} is not installed; pip install 'chunked-upload[cli]' brings it",
            file=sys.stderr,
        )
        return 1
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
