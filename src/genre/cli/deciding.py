"""What another policy would do: tradeoff, ope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genre.cli.console import RunFolder, escape, out, pairs_of, print_list

app = typer.Typer()


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
    print_list(f"{curve.users:,} users, {part} part, full ranking, on top of the served ranker", rows, header)
    out.print(f"plot: {file}", highlight=False, soft_wrap=True)


@app.command()
def ope(
    candidate: Annotated[Path, typer.Argument(help="A run's folder, or a Parquet file: request_id, propensities.")],
    log: Annotated[Path, typer.Option("--against", help="A folder with exposures.parquet and events.parquet, or one Parquet file.")],
    reward: Annotated[
        list[str] | None, typer.Option(help="What an event is worth, type=value; click=1 by default. Several add up.")
    ] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only exposures with column=value: surface=home.")] = None,
    since: Annotated[
        float | None, typer.Option(help="Only exposures from then on, in unix seconds: after what the candidate learnt from.")
    ] = None,
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

    worth = {name: _number(name, value) for name, value in pairs_of("--reward", reward).items()}
    logged = against(candidate, read_log(log, worth, pairs_of("--where", where), since), parse_policy(policy), ranker, seed)
    found = study(logged, seed=seed)
    write_weights(file, logged, found)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
        return
    header, rows = found.table()
    print_list(f"{found.requests:,} requests of {found.units:,} units, {found.overlap.effective:,.0f} of them effective", rows, header)
    for warning in found.overlap.warnings:
        out.print(f"[yellow]warning[/] {escape(warning)}", highlight=False, soft_wrap=True)
    out.print(f"[bold]verdict[/] {escape(found.verdict)}", highlight=False, soft_wrap=True)
    out.print(f"weights: {file}", highlight=False, soft_wrap=True)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ValueError(f"--reward {name}={value}: {value!r} is not a number") from error
