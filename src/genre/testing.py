"""Public conformance checks: what every ranker, encoder, policy and reader promises, ours and yours alike.

Call them from your own tests: `check_ranker(build(Ranker, {"use": "my_module:MyRanker"}))`. Each raises AssertionError with a
sentence that says which promise was broken.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from genre.component import Component, build
from genre.data.readers import EVENTS, REJECTED, Reader
from genre.encoders import Encoder
from genre.policies import Policy
from genre.rankers import Ranker
from genre.types import Candidates, GroundTruth, Histories, Training

N_ITEMS = 12
CONTENT_DIM = 6


def small_training(ranker: Ranker, seed: int = 0) -> Training:
    """Thirty users walking up a ring of twelve items, of which the last two are never touched."""
    rng = np.random.default_rng(seed)
    live = N_ITEMS - 2
    walks = [(rng.integers(live) + np.arange(rng.integers(2, 8))) % live for _ in range(30)]
    times = [1e9 + 3600.0 * np.arange(len(walk)) for walk in walks]
    histories = Histories.of(walks, times)
    truth = GroundTruth(
        histories, np.array([(walk[-1] + 1) % live for walk in walks]), np.arange(31), np.arange(30)
    )  # fmt: skip
    content = rng.normal(size=(N_ITEMS, CONTENT_DIM)).astype(np.float32) if ranker.config.encoders() else None
    members = {}
    for name in ranker.config.members():
        members[name] = build(Ranker, {"use": name})
        members[name].fit(Training(histories, N_ITEMS, seed=seed), Path(tempfile.mkdtemp()))
    titles = [f"item number {i}" if i else "" for i in range(N_ITEMS)]
    items = pl.DataFrame({"item_idx": range(N_ITEMS), "item_id": [str(i) for i in range(N_ITEMS)], "text": titles, "shown": titles})
    return Training(histories, N_ITEMS, content, truth, members=members, seed=seed, items=items)


def check_ranker(ranker: Ranker) -> None:
    """Shapes, finiteness, awkward queries, determinism, save and load, items added later. Fits the ranker on a dozen items."""
    training = small_training(ranker)
    _check_config_round_trip(ranker, Ranker)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ranker.fit(training, folder / "fit")
        queries = Histories.of([[0, 1, 2], [], [5], [N_ITEMS - 1], [3] * 40, [7, 8]])
        before = ranker.score(queries)
        assert before.shape == (6, N_ITEMS), f"score gives shape {before.shape}, not (queries, items) = (6, {N_ITEMS})"
        assert before.dtype == np.float32, f"scores are {before.dtype}, not float32"
        assert np.isfinite(before).all(), "a score is NaN or infinite, for an empty, one-item, unseen-item or repeated history"
        assert np.array_equal(before, ranker.score(queries)), "scoring the same queries twice gives different scores"
        alone = np.concatenate([ranker.score(one) for one in queries.batches(1)])
        assert np.allclose(before, alone, rtol=1e-4, atol=1e-5), "a query's scores depend on the other queries of its batch"
        assert ranker.score(Histories.of([])).shape == (0, N_ITEMS), "an empty batch of queries must give shape (0, items)"

        ranker.save(folder / "saved")
        loaded = Ranker.load(folder / "saved")
        assert type(loaded) is type(ranker), f"saved a {type(ranker).__name__}, loaded a {type(loaded).__name__}"
        assert np.array_equal(loaded.score(queries), before), "a loaded ranker scores differently from the one that was saved"
        _check_plain_files(folder / "saved")

        content = None
        if training.content_ND is not None:
            content = np.random.default_rng(1).normal(size=(3, CONTENT_DIM)).astype(np.float32)
        loaded.extend(content, 3)
        extended = loaded.score(queries)
        assert extended.shape == (6, N_ITEMS + 3), f"after extend by 3 items score gives shape {extended.shape}"
        assert np.isfinite(extended).all(), "the score of an item added after training is not finite"
        assert np.isfinite(loaded.score(Histories.of([[N_ITEMS + 1]]))).all(), "a history of an added item is not scored"
        if not ranker.config.members():  # a combination may rescale when the catalogue grows; a plain ranker has no reason to
            assert np.allclose(extended[:, :N_ITEMS], before, rtol=1e-4, atol=1e-5), "adding items changed the scores of the old ones"


def check_encoder(encoder: Encoder, items: pl.DataFrame | None = None) -> None:
    """Shapes, empty and very long texts, batches, save and load. `items` default to a dozen films."""
    _check_config_round_trip(encoder, Encoder)
    items = small_items() if items is None else items
    encoder.fit(items)
    vectors = _encoded(encoder, items)
    assert np.allclose(vectors, _encoded(encoder, items), atol=1e-5), "encoding the same items twice gives different vectors"
    backwards = _encoded(encoder, items.reverse())[::-1]
    assert np.allclose(vectors, backwards, atol=1e-4), "an item's vector depends on the order of the items"
    for text in ("", "   ", "\u0000", "word " * 20_000, "中文 العربية 🎬"):
        odd = items.head(2).with_columns(text=pl.lit(text, pl.String))
        assert np.isfinite(_encoded(encoder, odd)).all(), f"the vector of the text {text[:20]!r} is not finite"
    assert _encoded(encoder, items.head(0)).shape == (0, vectors.shape[1]), "no items must give shape (0, dimensions)"
    with tempfile.TemporaryDirectory() as scratch:
        encoder.save(Path(scratch))
        _check_plain_files(Path(scratch))
        assert np.allclose(_encoded(Encoder.load(Path(scratch)), items), vectors, atol=1e-6), "a loaded encoder encodes differently"


def check_policy(policy: Policy) -> None:
    """Distinct picks, exact propensities, short and empty lists, one candidate, broken scores refused, reproducible by the generator."""
    _check_config_round_trip(policy, Policy)
    candidates = small_candidates(policy)
    for n in (1, 10, 30, 50):
        slate = policy.select(candidates, n, np.random.default_rng(1))
        assert len(slate.item_idx) == min(n, 30), f"asked for {n} of 30 candidates, got {len(slate.item_idx)}"
        assert len(set(slate.item_idx.tolist())) == len(slate.item_idx), "an item is shown twice"
        assert np.isin(slate.item_idx, candidates.item_idx_K).all(), "an item is shown that was no candidate"
        assert len(slate.propensities) == len(slate.item_idx), "one propensity a pick is needed"
        assert ((slate.propensities > 0) & (slate.propensities <= 1)).all(), "a propensity is outside (0, 1]"
        again = policy.select(candidates, n, np.random.default_rng(1))
        assert np.array_equal(slate.item_idx, again.item_idx), "the same generator seed gives another slate"
        if slate.features_nF is not None:
            assert len(slate.features_nF) == len(slate.item_idx), "one row of features a pick is needed"
    alone = policy.select(_first(candidates, 1), 5, np.random.default_rng(1))
    assert alone.item_idx.tolist() == [100], "of one candidate, that one must be shown"
    assert np.allclose(alone.propensities, 1), "the only candidate is certain to be shown: its propensity must be 1"
    assert len(policy.select(_first(candidates, 0), 5, np.random.default_rng(1)).item_idx) == 0, "no candidates must give an empty slate"
    broken = replace(candidates, scores_K=np.where(np.arange(30) == 7, np.nan, candidates.scores_K))
    try:
        policy.select(broken, 2, np.random.default_rng(1))
    except ValueError:
        pass
    else:
        raise AssertionError("a NaN score must raise ValueError, not be ranked")
    if type(policy).probabilities is not Policy.probabilities:
        _check_propensities(policy, _first(candidates, 6))
    with tempfile.TemporaryDirectory() as scratch:
        policy.save(Path(scratch))
        _check_plain_files(Path(scratch))
        loaded = Policy.load(Path(scratch)).select(candidates, 10, np.random.default_rng(1))
        assert np.array_equal(loaded.item_idx, policy.select(candidates, 10, np.random.default_rng(1)).item_idx), "a loaded policy differs"


def small_candidates(policy: Policy, seed: int = 0) -> Candidates:
    """Thirty candidates, items 100 to 129, with everything that a policy may read: vectors, counts, a user, the columns it names."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(31, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = {name: np.eye(5)[rng.integers(5, size=30)] for name in policy.config.attributes()}
    mixes = {name: np.array([0.5, 0.3, 0.2, 0.0, 0.0]) for name in shares}
    return Candidates(np.arange(100, 130), rng.normal(size=30), vectors[:30], rng.integers(100, size=30), shares, mixes, vectors[30])


def _first(candidates: Candidates, k: int) -> Candidates:
    return replace(
        candidates,
        item_idx_K=candidates.item_idx_K[:k],
        scores_K=candidates.scores_K[:k],
        vectors_KD=None if candidates.vectors_KD is None else candidates.vectors_KD[:k],
        counts_K=None if candidates.counts_K is None else candidates.counts_K[:k],
        shares={name: share_KC[:k] for name, share_KC in candidates.shares.items()},
    )


def _check_propensities(policy: Policy, candidates: Candidates, draws: int = 2000, n: int = 3) -> None:
    """The propensities of slates are those that `probabilities` gives, sum to one at each place, and are how often picks are drawn."""
    first = policy.select(candidates, n, np.random.default_rng(1))
    for seed in range(20):
        slate = policy.select(candidates, n, np.random.default_rng(seed))
        probability_nK = policy.probabilities(candidates, slate.item_idx, np.random.default_rng(seed))
        assert probability_nK.shape == (n, len(candidates)), (
            f"probabilities have shape {probability_nK.shape}, not ({n}, {len(candidates)})"
        )
        assert np.allclose(probability_nK.sum(1), 1), f"the probabilities of a place sum to {probability_nK.sum(1)}, not to 1"
        at_pick_n = probability_nK[np.arange(n), slate.item_idx - candidates.item_idx_K[0]]
        assert np.allclose(at_pick_n, slate.propensities, rtol=1e-6), (
            f"a slate says its propensities are {slate.propensities}, `probabilities` says {at_pick_n}"
        )
        taken_KK = slate.item_idx[:, None] == candidates.item_idx_K
        assert not (np.cumsum(taken_KK, 0)[:-1] * probability_nK[1:] > 0).any(), "an item already shown has a probability above 0"
    rng = np.random.default_rng(2)
    drawn = np.array([policy.select(candidates, 1, rng).item_idx[0] for _ in range(draws)])
    share_K = (drawn[:, None] == candidates.item_idx_K).mean(0)
    # A policy may draw its distribution, too (posterior sampling): the mean over such draws is how often an item is first.
    mean_K = np.mean([policy.probabilities(candidates, first.item_idx[:1], rng)[0] for _ in range(200)], axis=0)
    off_K = np.abs(share_K - mean_K)
    assert (off_K < 5 * np.sqrt(0.25 / draws)).all(), f"items are drawn first at rates {share_K}, but the propensities say {mean_K}"


def check_reader(reader: Reader) -> None:
    """Standard columns and types, no null ids, every rejected row explained."""
    _check_config_round_trip(reader, Reader)
    with tempfile.TemporaryDirectory() as scratch:
        tables = reader.read(Path(scratch))
        assert dict(tables.events.collect_schema()) == EVENTS, f"events have columns {tables.events.collect_schema()}, not {EVENTS}"
        assert dict(tables.rejected.schema) == REJECTED, f"rejected has columns {tables.rejected.schema}, not {REJECTED}"
        events = tables.events.collect()
        assert len(events), "no event was read"
        for column in ("user_id", "item_id", "event"):
            assert events[column].null_count() == 0, f"events.{column} has nulls: reject those rows with a reason"
        for name, table, key in (("items", tables.items, "item_id"), ("users", tables.users, "user_id")):
            if table is not None:
                ids = table.select(key).collect()[key]
                assert ids.dtype == pl.String, f"{name}.{key} is {ids.dtype}, not a string"
                assert ids.null_count() == 0, f"{name}.{key} has nulls"
                assert ids.n_unique() == len(ids), f"{name}.{key} has duplicates"
        assert all(path.exists() for path in reader.sources()), "sources() names a file that does not exist"


def small_items() -> pl.DataFrame:
    """Twelve films with a title, a genre list, a year and a null or two."""
    titles = [
        "The General (1926)", "Modern Times (1936)", "Citizen Kane (1941)", "Casablanca (1942)", "Rashomon (1950)", "Vertigo (1958)",
        "Psycho (1960)", "Solaris (1972)", "Alien (1979)", "Ran (1985)", "Fargo (1996)", "",
    ]  # fmt: skip
    known = ["comedy|action", "comedy", "drama", "drama|romance", "crime", "thriller", "thriller", "sf", "sf|thriller", "war", "crime"]
    genres = [*known, None]
    years = [1926, 1936, 1941, 1942, 1950, 1958, 1960, 1972, 1979, 1985, 1996, None]
    return pl.DataFrame(
        {
            "item_id": [f"{i:03d}" for i in range(12)],
            "text": [f"{title} {(genre or '').replace('|', ' ')}".strip() for title, genre in zip(titles, genres, strict=True)],
            "genres": genres,
            "year": years,
        }
    )


def _encoded(encoder: Encoder, items: pl.DataFrame) -> npt.NDArray[np.float32]:
    vectors = encoder.encode(items)
    assert vectors.ndim == 2 and len(vectors) == len(items), f"encode gives shape {vectors.shape} for {len(items)} items"
    assert vectors.dtype == np.float32, f"vectors are {vectors.dtype}, not float32"
    assert np.isfinite(vectors).all(), "a vector has NaN or infinity"
    return vectors


def _check_config_round_trip(component: Component, kind: type[Component]) -> None:
    written = json.loads(json.dumps(component.config.model_dump(mode="json")))
    again = build(kind, written).config
    assert again == component.config, f"the config changes on its way through JSON: {component.config} became {again}"


def _check_plain_files(folder: Path) -> None:
    plain = {".json", ".safetensors", ".parquet", ".txt", ".onnx", ".yaml", ".model"}
    strange = [file.name for file in folder.rglob("*") if file.is_file() and file.suffix not in plain]
    assert not strange, f"saved {strange}: only plain formats ({', '.join(sorted(plain))}), never pickle"
