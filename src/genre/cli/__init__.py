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


def main() -> None:
    """Entry point: a mistake of the user's is one sentence, not a stack of frames."""
    try:
        app()
    except (ValueError, FileNotFoundError, RuntimeError, FileExistsError, PermissionError) as error:
        if "--debug" in sys.argv:
            raise
        err.print(f"[bold red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from error
    except ModuleNotFoundError as error:
        if "--debug" in sys.argv or error.name is None or error.name.startswith("genre"):
            raise
        from genre.component import install_hint

        err.print(
            f"[bold red]error[/] this needs {error.name}, which is not installed: {escape(install_hint(error.name))}", highlight=False
        )
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on where it was")
        raise SystemExit(130) from None


@app.callback(invoke_without_command=True)
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show the full trace of an error.")] = False,
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
