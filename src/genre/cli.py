"""The command line; the only file that prints."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genre.runs import VERSION

if TYPE_CHECKING:
    from genre.evaluation.ladder import Ladder

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="The configuration: its schema, and what a file resolves to.")
app.add_typer(config_app, name="config")
out = Console()
err = Console(stderr=True)

ConfigFile = Annotated[Path, typer.Argument(help="A configuration, NAME.yaml.")]
RunFolder = Annotated[Path, typer.Argument(help="A run's folder, runs/NAME.")]
Changes = Annotated[list[str] | None, typer.Argument(help="Changes on top: path.to.key=value.")]


def main() -> None:
    """Entry point: a mistake of the user's is one sentence, not a stack of frames."""
    try:
        app()
    except (ValueError, FileNotFoundError, RuntimeError, FileExistsError, PermissionError) as error:
        if "--debug" in sys.argv:
            raise
        err.print(f"[bold red]error[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
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
    for noisy in ("httpx", "urllib3", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if version:
        out.print(f"genre {VERSION}")
        raise typer.Exit


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
    from genre.pipeline import run as run_pipeline
    from genre.reporting import ladder

    done = run_pipeline(config, changes or [], force=force)
    report_file = done.folder / "report.html"
    if (done.folder / "evaluate").is_dir():
        _print_ladder(ladder([done.folder]))
    out.print(f"run: {done.folder}" + (f"   report: {report_file}" if report_file.is_file() else ""), highlight=False, soft_wrap=True)


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

    file = write_config(name, events, items, users, overrides=_pairs("--role", role, "role=column"), force=force)
    out.print(file.read_text(), highlight=False, markup=False, soft_wrap=True)
    out.print(f"wrote {file}   next: genre check {file}", highlight=False, soft_wrap=True)


@app.command()
def check(config: ConfigFile, changes: Changes = None) -> None:
    """Read the data and say what is wrong with it: leaks, duplicates, future times, bots, cold rates. Exit code 1 on an error.

    Example: `genre check shop.yaml`
    """
    from genre.pipeline import check as check_data

    findings, rejected = check_data(config, changes or [])
    colours = {"error": "red", "warning": "yellow", "note": "cyan"}
    for finding in findings:
        examples = f" ({', '.join(finding.examples[:3])})" if finding.examples else ""
        head = f"[{colours[finding.severity]}]{finding.severity:8}[/] {_escape(finding.what + examples)}"
        out.print(f"{head}\n         {_escape(finding.advice)}", highlight=False, soft_wrap=True)
    for row in rejected.head(10).iter_rows(named=True):
        out.print(f"[yellow]rejected[/] {_escape(row['file'])} row {row['row']}: {_escape(row['reason'])}", highlight=False, soft_wrap=True)
    worst = [sum(finding.severity == severity for finding in findings) for severity in colours]
    out.print(f"{worst[0]} errors, {worst[1]} warnings, {worst[2]} notes, {len(rejected):,} rows rejected", highlight=False)
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
    _print_ladder(write_page(runs, file))
    out.print(f"report: {file}", highlight=False, soft_wrap=True)


@app.command()
def recommend(
    run: RunFolder,
    user: Annotated[list[str] | None, typer.Option(help="A user's id; may be given several times.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids of a stranger, oldest first, separated by commas.")] = None,
    text: Annotated[str | None, typer.Option(help="What is looked for, in words.")] = None,
    exclude: Annotated[str, typer.Option(help="Item ids that must not be shown, separated by commas.")] = "",
    n: Annotated[int, typer.Option("-n", min=1, help="Length of a list.")] = 10,
    ranker: Annotated[str | None, typer.Option(help="Another rung than the one served.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say which event of the history each item rests on.")] = False,
    all_users: Annotated[bool, typer.Option("--all-users", help="Everybody's list, to a Parquet file.")] = False,
    file: Annotated[Path, typer.Option("--out", help="Where --all-users writes: user_id, item_id, rank, score.")] = Path("recs.parquet"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of tables.")] = False,
) -> None:
    """Lists for users of the run, for a stranger with a history, for a text, or for everybody.

    Example: `genre recommend runs/shop --user 42 --explain`

    Everybody: `genre recommend runs/shop --all-users -n 10 --out recs.parquet`
    """
    from genre.recommender import Recommender, describe

    recommender = Recommender.load(run, ranker)
    if all_users:
        rows = recommender.recommend_all(file, n)
        out.print(f"wrote {rows:,} rows to {file}", highlight=False, soft_wrap=True)
        return
    if not user and history is None and text is None:
        raise ValueError("for whom? Give --user ID, --history ITEM,ITEM, --text WORDS, or --all-users")
    past = None if history is None else [item for item in history.split(",") if item]
    banned = [item for item in exclude.split(",") if item]
    whose: Sequence[str | None] = user or [None]
    for who in whose:
        found = recommender.recommend(who, n, history=past, text=text, exclude=banned, explain=explain)
        if as_json:
            print(json.dumps({"user_id": who, "items": [describe(line) for line in found]}, ensure_ascii=False))
            continue
        if who is not None and past is None:
            seen = recommender.history(who)
            _print_list(
                f"{who}: newest first" if seen else f"{who}: nobody we know, so no history", [[line.title] for line in seen], ["history"]
            )
        columns = ["", "recommended", "score", *(["why"] if explain else [])]
        rows_shown = [[str(line.rank), line.title, f"{line.score:.3f}", *([line.reason] if explain else [])] for line in found]
        _print_list(f"for {who or text or history}", rows_shown, columns)


@app.command()
def evaluate(
    run: RunFolder,
    ranker: Annotated[list[str] | None, typer.Option(help="Which rungs; all by default.")] = None,
    part: Annotated[str, typer.Option(help="valid, to choose by; test, once the choice is made.")] = "valid",
) -> None:
    """Measure rankers of a run over the whole catalogue; each line carries its protocol.

    Example: `genre evaluate runs/shop --ranker blend --part valid`
    """
    from genre.pipeline import measure

    for name, result in measure(run, ranker or [], part):
        for line in result.lines():
            out.print(f"{name:16} {line}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def tradeoff(
    run: RunFolder,
    part: Annotated[str, typer.Option(help="valid, to choose by; test, once the choice is made.")] = "valid",
    k: Annotated[int, typer.Option("-k", min=1, help="Length of the lists.")] = 10,
    users: Annotated[int | None, typer.Option(min=1, help="At most so many users, drawn at random.")] = None,
    file: Annotated[Path | None, typer.Option("--out", help="Where the plot goes; RUN/tradeoff.svg by default.")] = None,
) -> None:
    """What variety, coverage and the long tail cost in accuracy: every policy swept over its setting, as a table and a plot.

    Example: `genre tradeoff runs/shop`
    """
    from genre.tradeoff import tradeoff as sweep

    if part not in ("valid", "test"):
        raise ValueError(f"there is no part {part!r}; valid or test")
    curve = sweep(run, "test" if part == "test" else "valid", k, users)
    file = file or run / "tradeoff.svg"
    curve.draw(file)
    header, rows = curve.table()
    _print_list(f"{curve.users:,} users, {part} part, full ranking, on top of the served ranker", rows, header)
    out.print(f"plot: {file}", highlight=False, soft_wrap=True)


@app.command()
def ope(
    candidate: Annotated[Path, typer.Argument(help="A run's folder, or a Parquet file: request_id, propensities.")],
    log: Annotated[Path, typer.Option("--against", help="A folder with exposures.parquet and events.parquet, or one Parquet file.")],
    reward: Annotated[
        list[str] | None, typer.Option(help="What an event is worth, type=value; click=1 by default. Several add up.")
    ] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only exposures with column=value: surface=home.")] = None,
    policy: Annotated[str | None, typer.Option(help="Another policy than the run's, as YAML: '{use: mmr, diversity: 0.3}'.")] = None,
    ranker: Annotated[str | None, typer.Option(help="Another rung than the one served.")] = None,
    file: Annotated[Path, typer.Option("--out", help="Where the plot of the weights goes.")] = Path("ope.svg"),
    seed: Annotated[int, typer.Option(help="Of the bootstrap, the folds and policies that draw.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """What a candidate would have earned, told from the log of another policy: every estimator, how sure it is, and a verdict.

    Example: `genre ope runs/shop --against logs --reward click=1 --reward purchase=10 --policy "{use: plackett_luce, temperature: 0.2}"`
    """
    from genre.counterfactual import against, parse_policy
    from genre.evaluation.off_policy.log import read_log
    from genre.evaluation.off_policy.plot import write_weights
    from genre.evaluation.off_policy.study import study

    worth = {name: _number(name, value) for name, value in _pairs("--reward", reward).items()}
    logged = against(candidate, read_log(log, worth, _pairs("--where", where)), parse_policy(policy), ranker, seed)
    found = study(logged, seed=seed)
    write_weights(file, logged, found)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
        return
    header, rows = found.table()
    _print_list(f"{found.requests:,} requests of {found.units:,} units, {found.overlap.effective:,.0f} of them effective", rows, header)
    for warning in found.overlap.warnings:
        out.print(f"[yellow]warning[/] {_escape(warning)}", highlight=False, soft_wrap=True)
    out.print(f"[bold]verdict[/] {_escape(found.verdict)}", highlight=False, soft_wrap=True)
    out.print(f"weights: {file}", highlight=False, soft_wrap=True)


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


def _pairs(option: str, given: Sequence[str] | None, form: str = "name=value") -> dict[str, str]:
    pairs = {}
    for pair in given or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"{option} {pair!r}: write {form}")
        pairs[key] = value
    return pairs


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ValueError(f"--reward {name}={value}: {value!r} is not a number") from error


def _print_ladder(climbed: Ladder) -> None:
    header, rows = climbed.table()
    _print_list(climbed.caption(), rows, header)


def _print_list(title: str, rows: Sequence[Sequence[str | None]], header: Sequence[str]) -> None:
    table = Table(*(_escape(name) for name in header), title=_escape(title), title_justify="left", title_style="bold", header_style="dim")
    for row in rows:
        table.add_row(*(_escape(cell or "") for cell in row))
    out.print(table, highlight=False)


def _escape(text: str) -> str:
    """Titles and ids are data: nothing in them is markup."""
    return escape("".join(c if c.isprintable() else " " for c in text))


if __name__ == "__main__":
    main()
