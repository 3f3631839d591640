"""The closed loop over several worlds: what was told before the launch beside what was measured, and one loop in full.

    python benchmarks/loop.py --users 1000 --seeds 4

Each loop starts a server of its own and talks to it over HTTP. The world and its users follow the seed; what the server draws does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from genre.demo.loop import LoopConfig, run_loop
from genre.demo.report import Claim, LoopReport


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    found = []
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(
                run_loop(LoopConfig(users=asked.users, seed=seed), Path(folder) / "loop", lambda text: print(text, file=sys.stderr))
            )
    print(f"`python benchmarks/loop.py --users {asked.users} --seeds {asked.seeds}`\n")
    whole(found[0])
    if asked.seeds > 1:
        print("Every seed:\n")
        table(
            ["seed", "told before", "measured", "the world", "agree", "effective lists", "seconds"],
            [line(i, one) for i, one in enumerate(found)],
        )


def whole(found: LoopReport) -> None:
    """One loop."""
    for caption, header, rows in found.tables():
        print(f"{caption[0].upper()}{caption[1:]}:\n")
        table(header, rows)
    for text in (
        found.offline,
        f"off-policy: {found.estimate}",
        *found.off_policy.overlap.warnings,
        *found.report["reasons"],
        found.conclusion,
    ):
        print(f"- {text}")
    print(f"\n{found.users:,} users, {found.seconds:.0f} s.\n")


def line(seed: int, found: LoopReport) -> list[str]:
    """One of several."""
    claims = [said(claim) for claim in found.claims]
    return [str(seed), *claims, "yes" if found.agree else "no", f"{found.off_policy.overlap.effective:,.0f}", f"{found.seconds:.0f}"]


def said(claim: Claim) -> str:
    """A lift with its interval."""
    return f"{claim.lift:+.1%} ({claim.low:+.1%} to {claim.high:+.1%})"


def table(header: list[str], rows: list[list[str]]) -> None:
    """As Markdown."""
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


if __name__ == "__main__":
    main()
