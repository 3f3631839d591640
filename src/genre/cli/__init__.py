"""The command line; the only folder that prints."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from genre.cli import deciding, demonstrating, experimenting, recommending, running, serving
from genre.cli.console import err, escape, out
from genre.runs import VERSION

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
for part in (running, recommending, deciding, serving, experimenting, demonstrating):
    app.add_typer(part.app)


DEBUG = "--debug"


def main() -> None:
    """Entry point: a mistake of the user's is one sentence, not a stack of frames."""
    words = [word for word in sys.argv[1:] if word != DEBUG]
    debug = len(words) < len(sys.argv) - 1  # before the command or after it
    try:
        app([DEBUG, *words] if debug else words)
    except (ValueError, RuntimeError, OSError) as error:
        if debug:
            raise
        err.print(f"[bold red]error[/] {escape(_sentence(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from error
    except ModuleNotFoundError as error:
        if debug or error.name is None or error.name.startswith("genre"):
            raise
        from genre.component import install_hint

        err.print(
            f"[bold red]error[/] this needs {error.name}, which is not installed: {escape(install_hint(error.name))}", highlight=False
        )
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on where it was")
        raise SystemExit(130) from None


def _sentence(error: Exception) -> str:
    """What is wrong; of the system's own errors the file first, not a number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename2 or error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error)


@app.callback(invoke_without_command=True)
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Log more, and show the full trace of an error.")] = False,
) -> None:
    """GENRE: train a recommender on your own text and clicks, and trust it in production.

    An afternoon: `genre init`, `genre check`, `genre run`, `genre report`, `genre recommend`.
    """
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "urllib3", "matplotlib", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if version:
        out.print(f"genre {VERSION}")
        raise typer.Exit
