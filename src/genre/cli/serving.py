"""A run in production: publish, serve, promote, rollback, backup, update, forget, keys."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from genre.cli.console import RunFolder, StoreUrl, err, out, print_list

app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True, help="API keys of a run's store: made, listed, revoked.")
app.add_typer(keys_app, name="keys")


@app.command("publish")
def publish_run(
    run: RunFolder,
    force: Annotated[bool, typer.Option(help="A new version even where nothing changed.")] = False,
    database: StoreUrl = None,
) -> None:
    """Make the bundle that is served: the next version in RUN/models, or the newest where nothing changed.

    Policies that learn while serving go on from what they have learnt so far.

    Example: `genre publish runs/shop`
    """
    from genre.config import load_run_config
    from genre.pipeline import publish
    from genre.runs import Run

    config, made = load_run_config(run), Run(run)
    with made.locked(), tempfile.TemporaryDirectory(prefix="genre-learnt-") as scratch:
        folder = publish(config, made, force, _learnt(run, Path(scratch), database))
    out.print(f"{folder}   serve it with: genre serve {run}", highlight=False, soft_wrap=True)


def _learnt(run: Path, scratch: Path, database: str | None) -> Path | None:
    """What policies have learnt; nothing where nothing of the run was ever served, which needs no extra."""
    if database is None and not (run / "store.db").is_file():
        return None
    from genre.serving.operating import learnt_so_far

    return learnt_so_far(run, scratch, database=database)


@app.command()
def serve(
    runs: Annotated[list[Path], typer.Argument(help="Runs with a published bundle; with several, a caller's key says which is meant.")],
    host: Annotated[str, typer.Option(help="0.0.0.0 is every address of this machine, and needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes; about one a core.")] = 1,
    database: StoreUrl = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="A web page that may call from a browser, https://shop.example.")] = None,
) -> None:
    """Answer requests: lists, events, items, over HTTP, documented at /docs; and the dashboard, at /dashboard.

    Example: `genre serve runs/shop --port 8080`
    """
    from genre.dashboard.running import serve as run_server
    from genre.serving.settings import ServeSettings

    settings = ServeSettings(runs=runs, database=database, workers=workers, allow_origins=allow_origin or [])
    err.print(
        f"serving {', '.join(map(str, runs))} on http://{host}:{port}/docs   dashboard: http://{host}:{port}/dashboard", highlight=False
    )
    run_server(settings, host, port)


@app.command()
def promote(
    run: RunFolder,
    model: Annotated[str | None, typer.Argument(help="A bundle's version; the newest by default.")] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Ask it what is asked, compare, and show nothing of it.")] = False,
    database: StoreUrl = None,
) -> None:
    """Let a published bundle serve: verified first, then one transaction, noticed by running servers within two seconds.

    Example: `genre promote runs/shop 000012`
    """
    from genre.serving.operating import promote as promote_model

    model, roles = promote_model(run, model, shadow=shadow, database=database)
    after = f"; a rollback returns to {roles.below[0]}" if roles.below and not shadow else ""
    out.print(f"{model} is the {'shadow' if shadow else 'model that serves'}{after}", highlight=False)


@app.command()
def rollback(run: RunFolder, database: StoreUrl = None) -> None:
    """Let the model before serve again.

    Example: `genre rollback runs/shop`
    """
    from genre.serving.operating import rollback as roll_back

    out.print(f"{roll_back(run, database=database).current} serves again", highlight=False)


@app.command()
def backup(
    run: RunFolder,
    restore: Annotated[Path | None, typer.Option(help="Put this copy in the store's place; no server may be running.")] = None,
) -> None:
    """Copy the store while it is used, verify the copy, and put it into RUN/backups; or restore one.

    Example: `genre backup runs/shop`
    """
    from genre.serving.operating import back_up_run, restore_run

    if restore is not None:
        restore_run(run, restore)
        out.print(f"restored {restore}; what was there is beside it", highlight=False, soft_wrap=True)
        return
    made = back_up_run(run)
    out.print(f"{made.file}   {made.bytes:,} bytes, verified   sha256 {made.sha256}", highlight=False, soft_wrap=True)


@app.command()
def update(
    run: RunFolder,
    share: Annotated[
        float, typer.Option(min=0.01, max=0.7, help="Of what came since the serving model learnt, the newest share, to judge both on.")
    ] = 0.3,
    tolerance: Annotated[float, typer.Option(min=0, help="So much the new model may lose, as a share of the current one's ndcg@10.")] = 0.0,
    wait: Annotated[bool, typer.Option("--wait", help="Publish it, but do not let it serve.")] = False,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Train from chance, with all epochs, not from the weights that serve.")
    ] = False,
    every: Annotated[float | None, typer.Option(min=0.01, help="Hours from one update to the next, for ever.")] = None,
    database: StoreUrl = None,
) -> None:
    """Train on what the server logged, compare with the model that serves on the newest events, publish only if not worse.

    Example: `genre update runs/shop`   In the background: `genre update runs/shop --every 6`
    """
    from genre.updating import update as update_run

    while True:
        found = update_run(run, database=database, share=share, tolerance=tolerance, promote=not wait, warm=not scratch)
        out.print(
            f"ndcg@10 on the newest events of {found.queries:,} users: serving {found.current}, new {found.candidate}, "
            f"difference {found.difference.mean:+.4f} ({found.difference.low:+.4f} to {found.difference.high:+.4f})",
            highlight=False,
            soft_wrap=True,
        )
        out.print(f"published {found.model}" if found.model else "worse: not published", highlight=False)
        if every is None:
            return
        time.sleep(every * 3600)


@app.command()
def forget(
    run: RunFolder,
    user: Annotated[str, typer.Argument(help="The user's id.")],
    database: StoreUrl = None,
) -> None:
    """Erase a person: events, lists shown, attributes, archive, copies, training data, bundles.

    Example: `genre forget runs/shop 42`
    """
    from genre.serving.erasure import forget as erase
    from genre.serving.operating import who

    gone = erase(run, user, who(), database)
    out.print(", ".join(f"{count:,} {what}" for what, count in gone.items()) or "nothing was known", highlight=False, soft_wrap=True)
    out.print("your own source files are not touched; a running server forgets with its next model", highlight=False, soft_wrap=True)


@keys_app.command("create")
def create_key(
    run: RunFolder,
    scope: Annotated[list[str], typer.Option(help="ingest, read or admin; may be given several times.")],
    name: Annotated[str, typer.Option(help="Whose it is.")] = "unnamed",
    per_second: Annotated[float, typer.Option(help="Requests a second, with bursts of twice as many.")] = 100,
    database: StoreUrl = None,
) -> None:
    """Make a key and show its token, this once.

    Example: `genre keys create runs/shop --scope read --scope ingest --name webshop`
    """
    from genre.serving.operating import create_key as make

    _, token = make(run, name, scope, per_second, database=database)
    err.print("the token, shown this once; send it as Authorization: Bearer TOKEN", highlight=False)
    print(token)


@keys_app.command("list")
def list_keys(run: RunFolder, database: StoreUrl = None) -> None:
    """Every key, without its secret.

    Example: `genre keys list runs/shop`
    """
    from genre.serving.operating import list_keys as listed

    rows = [
        [key["key_id"], key["name"], ", ".join(key["scopes"]), f"{key['per_second']:g}/s", "revoked" if key["revoked"] else ""]
        for key in listed(run, database=database)
    ]
    print_list(f"keys of {run}", rows, ["id", "name", "scopes", "rate", ""])


@keys_app.command("revoke")
def revoke_key(run: RunFolder, key_id: Annotated[str, typer.Argument(help="Its id: genre keys list.")], database: StoreUrl = None) -> None:
    """A key is good for nothing from now on; running servers notice within two seconds.

    Example: `genre keys revoke runs/shop 0a1b2c3d4e5f`
    """
    from genre.serving.operating import revoke_key as revoke

    revoke(run, key_id, database=database)
    out.print(f"revoked {key_id}", highlight=False)
