"""From files to a judged run: init, check, run, report, evaluate, config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genre.cli.console import Changes, ConfigFile, RunFolder, escape, out, pairs_of, print_ladder

app = typer.Typer()
config_app = typer.Typer(no_args_is_help=True, help="The configuration: its schema, and what a file resolves to.")
app.add_typer(config_app, name="config")


@app.command()
def run(
    config: ConfigFile,
    changes: Changes = None,
    force: Annotated[bool, typer.Option("--force", help="Do every stage again, fresh or not.")] = False,
) -> None:
    """Every stage; what is fresh is skipped, what was killed goes on where it stopped.

    Example: `genre run shop.yaml rankers.ids.epochs=5`

    For production, once the choices are made: `genre run shop.yaml data.split.use=none`
    """
    from genre.config import load_run_config
    from genre.data.dataset import read_summary
    from genre.pipeline import run as run_pipeline
    from genre.reporting import ladder

    done = run_pipeline(config, changes or [], force=force)
    said, page = f"run: {done.folder}", done.folder / "report.html"
    if load_run_config(done.folder).data.split.use != "none":
        print_ladder(ladder([done.folder]))
        said += f"   report: {page}"
    else:
        said += f"   trained on everything{f'; {page} tells of the run that was evaluated before' if page.is_file() else ''}"
    if rejected := read_summary(done.path("prepare"))["rejected"]:
        said += f"   {rejected} rows could not be read: {done.path('prepare') / 'rejected.parquet'} says why"
    out.print(said, highlight=False, soft_wrap=True)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="What to call it; NAME.yaml is written here.")],
    events: Annotated[Path, typer.Option(help="Interactions: CSV, TSV, Parquet or JSON lines.")],
    items: Annotated[Path | None, typer.Option(help="The catalogue.")] = None,
    users: Annotated[Path | None, typer.Option(help="What is known of users.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="Where the guess is wrong: role=column, e.g. user=client_no.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite NAME.yaml.")] = False,
) -> None:
    """Look at your files, guess what each column is, and write a commented NAME.yaml.

    Example: `genre init shop --events events.csv --items items.parquet`
    """
    from genre.data.profiling import write_config

    file = write_config(name, events, items, users, overrides=pairs_of("--role", role, "role=column"), force=force)
    out.print(file.read_text(), highlight=False, markup=False, soft_wrap=True)
    out.print(f"wrote {file}   next: genre check {file}", highlight=False, soft_wrap=True)


@app.command()
def check(config: ConfigFile, changes: Changes = None) -> None:
    """Read the data, split it, and say what is wrong: leaks, duplicates, future times, bots, cold rates. Exit code 1 on an error.

    Example: `genre check shop.yaml`
    """
    from genre.checking import check as check_data
    from genre.data.findings import several

    findings, rejected = check_data(config, changes or [])
    colours = {"error": "red", "warning": "yellow", "note": "cyan"}
    for finding in findings:
        examples = f" ({', '.join(finding.examples[:3])})" if finding.examples else ""
        head = f"[{colours[finding.severity]}]{finding.severity:8}[/] {escape(finding.what + examples)}"
        out.print(f"{head}\n         {escape(finding.advice)}", highlight=False, soft_wrap=True)
    for row in rejected.head(10).iter_rows(named=True):
        out.print(f"[yellow]rejected[/] {escape(row['file'])} row {row['row']}: {escape(row['reason'])}", highlight=False, soft_wrap=True)
    worst = [sum(finding.severity == severity for finding in findings) for severity in colours]
    counted = [several(count, severity, f"{severity}s") for count, severity in zip(worst, colours, strict=True)]
    out.print(f"{', '.join(counted)}, {several(len(rejected), 'row', 'rows')} rejected", highlight=False)
    if worst[0]:
        raise typer.Exit(1)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="A run's folder; several that differ only in their seed give the mean over seeds.")],
    file: Annotated[Path | None, typer.Option("--out", help="Where the page goes; RUN/report.html by default.")] = None,
) -> None:
    """The ladder, what each rung added with its interval and cost, and one self-contained HTML page.

    Example: `genre report runs/shop`
    """
    from genre.reporting import report as write_page

    file = file or runs[0] / "report.html"
    print_ladder(write_page(runs, file))
    out.print(f"report: {file}", highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    run: RunFolder,
    ranker: Annotated[list[str] | None, typer.Option(help="Which rungs; all by default.")] = None,
    part: Annotated[str, typer.Option(help="valid, to choose by; test, once the choice is made.")] = "valid",
) -> None:
    """Measure rankers of a run over the whole catalogue; each line carries its protocol.

    Example: `genre evaluate runs/shop --ranker blend --part valid`
    """
    from genre.judging import measure

    for name, result in measure(run, ranker or [], part):
        for line in result.lines():
            out.print(f"{name:16} {line}", highlight=False, markup=False, soft_wrap=True)


@config_app.command("schema")
def schema() -> None:
    """JSON Schema of the configuration, for editors.

    Example: `genre config schema > genre.schema.json`
    """
    from genre.config import config_schema

    print(json.dumps(config_schema(), indent=2))


@config_app.command("show")
def show(config: ConfigFile, changes: Changes = None) -> None:
    """What a file resolves to, with every default written out.

    Example: `genre config show shop.yaml data.split.use=none`
    """
    from genre.config import dump_config, load_config

    print(dump_config(load_config(config, changes or [])), end="")
