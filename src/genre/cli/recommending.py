"""Lists from a finished run: recommend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from genre.cli.console import RunFolder, out, print_list

app = typer.Typer()


@app.command()
def recommend(
    run: RunFolder,
    user: Annotated[list[str] | None, typer.Option(help="A user's id; may be given several times.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids of a stranger, oldest first, separated by commas.")] = None,
    text: Annotated[str | None, typer.Option(help="What is looked for, in words.")] = None,
    exclude: Annotated[str, typer.Option(help="Item ids that must not be shown, separated by commas.")] = "",
    context: Annotated[
        list[str] | None, typer.Option(help="What is known of the request, as a log of lists names it: device=phone.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Length of a list.")] = 10,
    ranker: Annotated[str | None, typer.Option(help="Another rung than the one served.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say which event of the history each item rests on.")] = False,
    all_users: Annotated[bool, typer.Option("--all-users", help="Everybody's list, to a Parquet file.")] = False,
    file: Annotated[
        Path | None, typer.Option("--out", help="Where --all-users writes: user_id, item_id, rank, score; recs.parquet by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of tables.")] = False,
) -> None:
    """Lists for users of the run, for a stranger with a history, for a text, or for everybody.

    Example: `genre recommend runs/shop --user 42 --explain`

    Everybody: `genre recommend runs/shop --all-users -n 10 --out recs.parquet`
    """
    from genre.recommender import Recommender, describe

    others = {
        "--user": user, "--history": history, "--text": text, "--exclude": exclude, "--context": context, "--explain": explain,
        "--json": as_json,
    }  # fmt: skip
    if all_users and (given := [option for option, value in others.items() if value]):
        raise ValueError(f"--all-users knows no {' and no '.join(given)}: it writes everybody's list, for -n and --ranker alone")
    if file is not None and not all_users:
        raise ValueError("--out is where --all-users writes; give both, or --json for the list of one user")
    if user and not all(user):
        raise ValueError("--user is empty; give an id, or --history for a stranger")
    recommender = Recommender.load(run, ranker)
    if all_users:
        file = file or Path("recs.parquet")
        rows = recommender.recommend_all(file, n)
        out.print(f"wrote {rows:,} rows to {file}", highlight=False, soft_wrap=True)
        return
    if not user and history is None and text is None:
        raise ValueError("for whom? Give --user ID, --history ITEM,ITEM, --text WORDS, or --all-users")
    past = None if history is None else [item for item in history.split(",") if item]
    banned = [item for item in exclude.split(",") if item]
    if unclear := [each for each in context or [] if "=" not in each]:
        raise ValueError(f"--context {unclear[0]}: write NAME=VALUE, such as device=phone")
    told = dict(each.split("=", 1) for each in context or [])
    names = recommender.ranker.context_names()
    if unknown := [name for name in told if name not in names]:
        raise ValueError(f"--context {unknown[0]}: the ranker reads {', '.join(names) or 'no context'}")
    whose: Sequence[str | None] = user or [None]
    for who in whose:
        found = recommender.recommend(who, n, history=past, text=text, exclude=banned, context=told, explain=explain)
        if as_json:
            print(json.dumps({"user_id": who, "items": [describe(line) for line in found]}, ensure_ascii=False))
            continue
        if who is not None and past is None:
            seen = recommender.history(who)
            known = "newest first" if seen else "nobody we know, so no history"
            print_list(f"{who}: {known}", [[line.title] for line in seen], ["history"])
        columns = ["", "recommended", "score", *(["why"] if explain else [])]
        rows_shown = [[str(line.rank), line.title, f"{line.score:.3f}", *([line.reason] if explain else [])] for line in found]
        print_list(f"for {who or text or history}", rows_shown, columns)
