"""Demonstrations: demo loop."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from genre.cli.console import err, escape, out, print_list, say

demo_app = typer.Typer(no_args_is_help=True, help="Demonstrations on the synthetic world, where the truth is known.")
app = typer.Typer()
app.add_typer(demo_app, name="demo")


@demo_app.command("loop")
def demo_loop(
    users: Annotated[int, typer.Option(min=200, help="Of the synthetic world.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Lists that everybody asks for, in each of the stages that are measured.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the world and its users; what the server draws is new every time.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Keep the run there, which must be empty; deleted at the end by default.")] = None,
) -> None:
    """The closed loop over HTTP: serve, retrain from the log, estimate off-policy, A/B test, promote if it says so, roll back.

    Example: `genre demo loop`
    """
    from genre.demo.loop import LoopConfig, run_loop

    def tell(text: str) -> None:
        err.print(escape(text), highlight=False, soft_wrap=True)

    settings = LoopConfig(users=users, rounds=rounds, seed=seed)
    with tempfile.TemporaryDirectory(prefix="genre-loop-") as scratch:
        found = run_loop(settings, folder or Path(scratch) / "loop", tell)
    for caption, header, rows in found.tables():
        print_list(caption, rows, header)
    say(found.offline)
    say(f"off-policy: {found.estimate}")
    for warning in found.off_policy.overlap.warnings:
        say(f"  {warning}")
    say(f"experiment: {found.report['sentence']}; {'; '.join(found.report['reasons'])}")
    for rail in found.report["guardrails"]:
        say(f"guardrail {rail['name']}: {rail['state']}: {rail['text']}")
    say(found.outcome)
    out.print(f"[bold]{escape(found.conclusion)}[/]   {found.users:,} users, {found.seconds:.0f} s", highlight=False, soft_wrap=True)
