"""The commands, and what a run ends with."""

import os
import sys
from collections.abc import Sequence

import click

import chunked_upload as cu
from chunked_upload.cli.output import complain
from chunked_upload.cli.receive import receive
from chunked_upload.cli.send import send
from chunked_upload.cli.store_commands import STORE_COMMANDS

FAILED, INTERRUPTED = 1, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cu.__version__, prog_name="chunked-upload")
def app() -> None:
    """Look after a store of chunked uploads, receive files, send files.

    Exit status: 0 done, 1 it failed (the error's name comes first in the message), 2 the command was not understood,
    3 verify found damage, 130 Ctrl-C. With --json, an error is an object with "error" and "message" on the standard
    error.
    """


for command in (*STORE_COMMANDS, receive, send):
    app.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Runs a command; answers the exit status."""
    as_json = "--json" in arguments
    try:
        status = app.main(list(arguments), prog_name="chunked-upload", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as misunderstood:
        misunderstood.show()
        return misunderstood.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted", "interrupted", as_json)
        return INTERRUPTED
    except cu.Error as error:
        complain(error.name, str(error), as_json)
        return FAILED
    except BrokenPipeError:
        # Whoever read our output has enough; nothing more is to be written when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        complain("io", str(error), as_json)
        return FAILED
    return status if isinstance(status, int) else 0
