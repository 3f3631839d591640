"""Off-policy evaluation on real logs: the value of one logged policy, estimated from the log of another (Open Bandit data).

    python benchmarks/off_policy.py [--data DIR] [--logs DIR] > benchmarks/RESULTS-off-policy.md

The data hold, for each of three campaigns of a fashion shop, 10,000 impressions of a uniformly random policy and 10,000 of Bernoulli
Thompson sampling, with propensities and clicks; one impression is one item at one of three positions. From the `random` log, the value of
the Thompson policy is estimated and compared with its own log's; and the other way round. Both are context-free: how likely the Thompson
policy made each item at each position, on average over its log, is how often it did. Since its propensities changed while it learnt, that
average is the policy whose value is estimated. `--logs` writes each log and candidate as Parquet, for `genre ope`.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genre.evaluation.off_policy.estimators import ips
from genre.evaluation.off_policy.intervals import bootstrap
from genre.evaluation.off_policy.logged import Logged, Predicted
from genre.evaluation.off_policy.rewards import RewardModel, folds
from genre.evaluation.off_policy.study import study
from genre.types import Floats, Ints

SEED, RESAMPLES = 0, 2000
ABOUT = """# Off-policy evaluation on the Open Bandit data

Made by `python benchmarks/off_policy.py`. Clicks per impression; 95 % intervals: bootstrap over impressions (2,000 resamples, seed 0), and
empirical Bernstein with the range of what was seen. The reward model of dm, dr and switch_dr (clicks over expected clicks by position and
item) is fitted on the other four of five folds. *Hit*: the estimate lies in the on-policy interval; *overlap*: the two intervals overlap.

From the uniform log, every estimator's interval overlaps the on-policy one in all three campaigns, and no estimator can show that Thompson
sampling is better: 10,000 impressions with some 45 clicks are too few. From the Thompson log the uniform policy's value is underestimated
by all but dm in two campaigns, where the weighted clicks are worth fewer than 15, and cannot be told in the third; the warnings say so.
"""
NAMES = {"random": "uniform", "bts": "Thompson"}


@dataclass(frozen=True)
class Campaign:
    """One campaign's log of one policy: item, position (from 0), click and propensity of each impression."""

    item_E: Ints
    position_E: Ints
    click_E: Floats
    propensity_E: Floats
    n_items: int

    @property
    def average_SN(self) -> Floats:
        """How often each item was shown at each position: what the policy was, on average over its log."""
        counts = np.bincount(self.position_E * self.n_items + self.item_E, minlength=3 * self.n_items).reshape(3, -1)
        return np.asarray(counts / counts.sum(1, keepdims=True))


def main() -> None:
    """Estimate each policy from the other's log, campaign by campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENRE_DATA", "../shared/data")))
    parser.add_argument("--logs", type=Path, help="also write logs and candidates here, for `genre ope`")
    asked = parser.parse_args()
    table = pl.read_parquet(asked.data / "obd-small" / "interactions.parquet")
    print(ABOUT)
    for source, target in (("random", "bts"), ("bts", "random")):
        for campaign in table["campaign"].unique().sort():
            parts = table.filter(campaign=campaign)
            logs = {policy: read(parts, policy) for policy in (source, target)}
            report(campaign, source, target, logs)
            if asked.logs is not None:
                write(asked.logs, campaign, source, target, logs)


def read(parts: pl.DataFrame, policy: str) -> Campaign:
    """The impressions of one policy."""
    items = parts["item_id"].unique().sort().to_list()
    rows = parts.filter(policy=policy).sort("timestamp")
    item_E = np.searchsorted(np.array(items), rows["item_id"].to_numpy())
    clicks, propensities = rows["rating"].cast(pl.Float64).to_numpy(), rows["propensity_score"].to_numpy()
    return Campaign(item_E, rows["position"].to_numpy() - 1, clicks, propensities, len(items))


def logged(log: Campaign, target_SN: Floats) -> Logged:
    """The log with a context-free candidate, and a cross-fitted reward model."""
    n = len(log.item_E)
    fold_E, zeros = folds(np.arange(n), seed=SEED), np.zeros(n, np.int64)
    sizes = (3, log.n_items, 1)
    model = RewardModel.cross_fitted(log.click_E, log.position_E, log.item_E, zeros, fold_E, sizes)
    shown_E, expected_E = np.zeros(n), np.zeros(n)
    for fold in range(int(fold_E.max()) + 1):
        rate_SN = model.predict(fold, np.arange(3)[:, None], np.arange(log.n_items), zeros[:1])
        mine = fold_E == fold
        shown_E[mine] = rate_SN[log.position_E[mine], log.item_E[mine]]
        expected_E[mine] = (target_SN * rate_SN).sum(1)[log.position_E[mine]]
    columns = [array[:, None] for array in (log.click_E, log.propensity_E, target_SN[log.position_E, log.item_E], shown_E, expected_E)]
    reward_RS, logging_RS, target_RS, shown_RS, expected_RS = columns
    predicted = Predicted(shown_RS, expected_RS, expected_RS)
    return Logged(reward_RS, logging_RS, target_RS, np.ones((n, 1), bool), np.arange(n), predicted)


def report(campaign: str, source: str, target: str, logs: dict[str, Campaign]) -> None:
    """One table."""
    found = study(logged(logs[source], logs[target].average_SN), RESAMPLES, seed=SEED)
    itself = logged(logs[target], logs[target].average_SN)
    truth = bootstrap(ips(itself.as_logged()), itself.cluster_R, RESAMPLES, seed=SEED)
    print(f"## {campaign}: the {NAMES[target]} policy from the {NAMES[source]} log\n")
    print(f"On-policy {truth.mean:.5f} ({truth.low:.5f} to {truth.high:.5f}); the {NAMES[source]} log itself {found.logged.mean:.5f}.")
    seen = found.overlap
    print(f"Effective sample size {seen.effective:,.0f} of {found.requests:,}, of those that were clicked {seen.rewarded:.1f}; ", end="")
    print(f"mean weight {seen.mean_weight:.3f}, largest {seen.largest:.1f}.\n")
    print("| estimator | estimate | 95 % bootstrap | empirical Bernstein | hit | overlap |\n| --- | --- | --- | --- | --- | --- |")
    for line in found.lines:
        value, wide = line.value, line.bernstein
        hit, overlaps = truth.low <= value.mean <= truth.high, value.low <= truth.high and truth.low <= value.high
        cells = [f"{value.mean:.5f}", f"{value.low:.5f} to {value.high:.5f}", f"{wide.low:.5f} to {wide.high:.5f}" if wide else "–"]
        print(f"| {line.name} | {' | '.join([*cells, 'yes' if hit else 'no', 'yes' if overlaps else 'no'])} |")
    print(f"\nVerdict: {found.verdict}.")
    for warning in found.overlap.warnings:
        print(f"\nWarning: {warning}.")
    print()


def write(folder: Path, campaign: str, source: str, target: str, logs: dict[str, Campaign]) -> None:
    """The log and the candidate, as `genre ope` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    log, target_SN = logs[source], logs[target].average_SN
    ids = [str(e) for e in range(len(log.item_E))]
    lists = {"items": log.item_E.astype(str), "positions": log.position_E, "propensities": log.propensity_E, "rewards": log.click_E}
    columns = {name: [[value] for value in values.tolist()] for name, values in lists.items()}
    pl.DataFrame({"request_id": ids, "unit": ids, **columns}).write_parquet(folder / f"{campaign}-{source}.parquet")
    probability_E = target_SN[log.position_E, log.item_E]
    candidate = pl.DataFrame({"request_id": ids, "propensities": [[value] for value in probability_E.tolist()]})
    candidate.write_parquet(folder / f"{campaign}-{target}-on-{source}.parquet")


if __name__ == "__main__":
    main()
