"""The command line; the only file that prints."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from genre.runs import VERSION

if TYPE_CHECKING:
    from genre.evaluation.ladder import Ladder

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="The configuration: its schema, and what a file resolves to.")
app.add_typer(config_app, name="config")
experiment_app = typer.Typer(no_args_is_help=True, help="Experiments: plan, start, read and stop them, on logs of any system.")
app.add_typer(experiment_app, name="experiment")
keys_app = typer.Typer(no_args_is_help=True, help="API keys of a run's store: made, listed, revoked.")
app.add_typer(keys_app, name="keys")
out = Console()
err = Console(stderr=True)

ConfigFile = Annotated[Path, typer.Argument(help="A configuration, NAME.yaml.")]
RunFolder = Annotated[Path, typer.Argument(help="A run's folder, runs/NAME.")]
StoreUrl = Annotated[
    str | None, typer.Option("--database", envvar="GENRE_DATABASE", help="postgresql://user@host/name; RUN/store.db (SQLite) by default.")
]
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
    except ModuleNotFoundError as error:
        if "--debug" in sys.argv or error.name is None or error.name.startswith("genre"):
            raise
        from genre.component import install_hint

        err.print(
            f"[bold red]error[/] this needs {error.name}, which is not installed: {_escape(install_hint(error.name))}", highlight=False
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


@app.command("publish")
def publish_run(run: RunFolder, force: Annotated[bool, typer.Option(help="A new version even where nothing changed.")] = False) -> None:
    """Make the bundle that is served: the next version in RUN/models, or the newest where nothing changed.

    Example: `genre publish runs/shop`
    """
    from genre.config import load_run_config
    from genre.pipeline import publish
    from genre.runs import Run

    config, made = load_run_config(run), Run(run)
    with made.locked():
        folder = publish(config, made, force)
    out.print(f"{folder}   serve it with: genre serve {run}", highlight=False, soft_wrap=True)


@app.command()
def serve(
    runs: Annotated[list[Path], typer.Argument(help="Runs with a published bundle; with several, a caller's key says which is meant.")],
    host: Annotated[str, typer.Option(help="0.0.0.0 is every address of this machine, and needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes; about one a core.")] = 1,
    database: StoreUrl = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="A web page that may call from a browser, https://shop.example.")] = None,
) -> None:
    """Answer requests: lists, events, items, over HTTP. The document is at /docs.

    Example: `genre serve runs/shop --port 8080`
    """
    from genre.serving.running import serve as run_server
    from genre.serving.settings import ServeSettings

    settings = ServeSettings(runs=runs, database=database, workers=workers, allow_origins=allow_origin or [])
    err.print(f"serving {', '.join(map(str, runs))} on http://{host}:{port}   document: http://{host}:{port}/docs", highlight=False)
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
        float, typer.Option(min=0.001, max=0.49, help="The newest share of interactions that both models are judged on.")
    ] = 0.1,
    tolerance: Annotated[float, typer.Option(min=0, help="So much the new model may lose, as a share of the current one's ndcg@10.")] = 0.0,
    wait: Annotated[bool, typer.Option("--wait", help="Publish it, but do not let it serve.")] = False,
    every: Annotated[float | None, typer.Option(min=0.01, help="Hours from one update to the next, for ever.")] = None,
    database: StoreUrl = None,
) -> None:
    """Train on what the server logged, compare with the model that serves on the newest events, publish only if not worse.

    Example: `genre update runs/shop`   In the background: `genre update runs/shop --every 6`
    """
    from genre.updating import update as update_run

    while True:
        found = update_run(run, database=database, share=share, tolerance=tolerance, promote=not wait)
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
    _print_list(f"keys of {run}", rows, ["id", "name", "scopes", "rate", ""])


@keys_app.command("revoke")
def revoke_key(run: RunFolder, key_id: Annotated[str, typer.Argument(help="Its id: genre keys list.")], database: StoreUrl = None) -> None:
    """A key is good for nothing from now on; running servers notice within two seconds.

    Example: `genre keys revoke runs/shop 0a1b2c3d4e5f`
    """
    from genre.serving.operating import revoke_key as revoke

    revoke(run, key_id, database=database)
    out.print(f"revoked {key_id}", highlight=False)


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


ExperimentFile = Annotated[Path, typer.Argument(help="A definition, NAME.yaml.")]
ExperimentFolder = Annotated[Path, typer.Option("--folder", help="Where started experiments are kept.")]
Moment = Annotated[str | None, typer.Option("--now", help="As of when: a date, a time or unix seconds.")]


@experiment_app.command("plan")
def experiment_plan(definition: ExperimentFile, now: Moment = None) -> None:
    """Before the start: how many units and days each effect needs, from the events there are.

    Example: `genre experiment plan home.yaml`
    """
    from genre.experiments.loading import load_experiment
    from genre.experiments.planning import look_ahead

    found = look_ahead(load_experiment(definition), _moment(now))
    header, rows = found.table()
    _print_list(found.caption(), rows, header)
    out.print(f"write into {definition}: planned_units: {found.planned_units}", highlight=False, soft_wrap=True)


@experiment_app.command("start")
def experiment_start(definition: ExperimentFile, now: Moment = None, folder: ExperimentFolder = Path("experiments")) -> None:
    """Start it; from now on the definition is fixed.

    Example: `genre experiment start home.yaml`
    """
    import time

    from genre.experiments.course import start
    from genre.experiments.loading import load_experiment

    moment = _moment(now)
    started = start(load_experiment(definition), time.time() if moment is None else moment, folder)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in started.config.shares().items())
    out.print(_escape(f"{started.config.name} runs: {shares}   kept in {folder}"), highlight=False, soft_wrap=True)


@experiment_app.command("report")
def experiment_report(
    which: Annotated[str, typer.Argument(help="The name of a started experiment, or NAME.yaml of one that ran elsewhere.")],
    exposures: Annotated[Path | None, typer.Option(help="In place of the file that the definition names.")] = None,
    events: Annotated[Path | None, typer.Option(help="The same.")] = None,
    now: Moment = None,
    page: Annotated[Path | None, typer.Option("--out", help="Where the page goes.")] = None,
    folder: ExperimentFolder = Path("experiments"),
) -> None:
    """Ship, hold or stop, with reasons, and one self-contained HTML page. Stops what must not go on.

    Example: `genre experiment report home`
    """
    from genre.experiments.course import report as analyse

    files = {name: file for name, file in (("exposures", exposures), ("events", events)) if file is not None}
    found, written, state = analyse(which, _moment(now), files, page, folder)
    colours = {"ship": "green", "hold": "yellow", "stop": "red"}
    out.print(f"[bold {colours[found.decision.verdict]}]{_escape(found.decision.sentence)}[/]", highlight=False)
    for reason in found.decision.reasons:
        out.print(_escape(f"  {reason}"), highlight=False, soft_wrap=True)
    header, rows = found.table()
    _print_list(found.caption(), rows, header)
    for rail in found.guardrails:
        out.print(_escape(f"guardrail {rail.name}, {rail.variant}: {rail.state}: {rail.text}"), highlight=False, soft_wrap=True)
    for why in found.silent.values():
        out.print(_escape(why), highlight=False, soft_wrap=True)
    if state is not None and state.status == "stopped":
        out.print(_escape(f"stopped: {state.reason}"), highlight=False, soft_wrap=True)
    out.print(f"report: {written}", highlight=False, soft_wrap=True)


@experiment_app.command("stop")
def experiment_stop(
    name: Annotated[str, typer.Argument(help="The experiment's name.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the experiment.")],
    now: Moment = None,
    folder: ExperimentFolder = Path("experiments"),
) -> None:
    """Stop it: nobody is assigned any more.

    Example: `genre experiment stop home --reason "shipped blend"`
    """
    import time

    from genre.experiments.course import stop

    moment = _moment(now)
    stopped = stop(name, reason, time.time() if moment is None else moment, folder)
    out.print(_escape(f"{name} is stopped: {stopped.reason}"), highlight=False, soft_wrap=True)


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    import polars as pl

    from genre.data.readers.values import unix_seconds

    moment = unix_seconds(pl.Series([text]))[0]
    if moment is None:
        raise ValueError(f"--now {text!r} is no time; write 2026-03-01, 2026-03-01T12:00 or unix seconds")
    return float(moment)


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
    columns = [Column(_escape(name), no_wrap=i == 0) for i, name in enumerate(header)]  # a rung's or an item's name is never cut
    table = Table(*columns, title=_escape(title), title_justify="left", title_style="bold", header_style="dim")
    for row in rows:
        table.add_row(*(_escape(cell or "") for cell in row))
    out.print(table, highlight=False)


def _escape(text: str) -> str:
    """Titles and ids are data: nothing in them is markup."""
    return escape("".join(c if c.isprintable() else " " for c in text))


if __name__ == "__main__":
    main()
