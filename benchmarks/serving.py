"""What a request costs: the engine alone, by what is asked of it, over a made-up catalogue of any size. Prints one Markdown table.

python benchmarks/serving.py engine --items 100000
python benchmarks/serving.py engine --items 1000000 --links 50
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from genre.bundle import seal
from genre.data.dataset import Dataset
from genre.encoders.tfidf import TfidfEncoder
from genre.encoders.transform import Transform
from genre.policies.greedy import GreedyPolicy
from genre.publishing.assembling import write_search
from genre.publishing.tables import write_tables
from genre.rankers.blend import BlendRanker
from genre.rankers.content import ContentRanker
from genre.rankers.sequential import SequentialRanker
from genre.rankers.transitions import TransitionsRanker
from genre.serving.contract import PastEvent, RecommendRequest
from genre.serving.engine import BundleEngine
from genre.vectors import unit

NOW = 1.8e9
TERMS = 50_000


def fabricate(folder: Path, items: int, dim: int, content_dim: int, links: int, users: int = 10_000) -> None:
    """A bundle as a run would publish it, of random numbers: a blend of transitions, content and a transformer over ids and text."""
    rng = np.random.default_rng(0)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    popularity_N = (1.0 / (1 + rng.permutation(items)) ** 0.8).astype(np.float64)
    popularity_N /= popularity_N.sum()
    content_NF = unit(topical(items, content_dim, rng))
    transitions = TransitionsRanker(TransitionsRanker.Config())
    transitions.restore(
        {
            "row_starts": np.arange(items + 1) * links,
            "columns": rng.choice(items, items * links, p=popularity_N).astype(np.int32),
            "weights": rng.random(items * links, np.float32),
            "count_N": (popularity_N * items * 20).astype(np.float32),
        }
    )
    content = ContentRanker(ContentRanker.Config(content=("text",)))
    content.restore({"vector_ND": content_NF})
    hybrid = SequentialRanker(SequentialRanker.Config(content=("text",), embedding_dim=dim, epochs=1))
    hybrid.restore(sequential_state(hybrid, items, content_dim, rng))
    blend = BlendRanker(BlendRanker.Config(of=("transitions", "content", "hybrid")))
    blend.members = {"transitions": transitions, "content": content, "hybrid": hybrid}
    blend.restore(
        {
            "weight_M": np.array([1.0, 0.5, 1.0]), "scale_M": np.array([0.3, 0.1, 1.0]),
            "covariance_MM": np.eye(3), "by_query": np.array([1], np.uint8),  # each query in its own units: the dearer way
        }
    )  # fmt: skip
    blend.save(folder / "ranker")
    for file in folder.glob("ranker/**/component.json"):
        write_search(file.parent)
    words = np.array([f"word{i}" for i in range(TERMS)])
    encoder = TfidfEncoder(TfidfEncoder.Config(use="tfidf"))
    encoder.terms, encoder.idf_V = words.tolist(), np.ones(TERMS, np.float32)
    encoder.directions_VD = rng.normal(size=(TERMS, content_dim)).astype(np.float32)
    encoder.save(folder / "encoders" / "text" / "encoder")
    Transform(np.zeros(content_dim, np.float32), np.eye(content_dim, dtype=np.float32)).save(folder / "encoders" / "text")
    save_file({"vector_ND": content_NF}, folder / "encoders" / "text" / "unit.safetensors")
    table = pl.DataFrame(
        {
            "item_idx": np.arange(items, dtype=np.int32),
            "item_id": [f"item-{i}" for i in range(items)],
            "title": words[rng.integers(TERMS, size=items)],
            "brand": words[rng.integers(1000, size=items)],
            "price": rng.random(items) * 100,
            "text": words[rng.integers(TERMS, size=items)],
        }
    ).with_columns(shown=pl.col("title"))
    table.write_parquet(folder / "items.parquet")
    entries = pl.DataFrame(
        {
            "user_idx": np.repeat(np.arange(users, dtype=np.int32), 50),
            "item_idx": rng.choice(items, users * 50, p=popularity_N).astype(np.int32),
            "time": np.tile(NOW - 86_400.0 * np.arange(50, 0, -1), users),
        }
    )
    people = pl.DataFrame({"user_id": [f"user-{u}" for u in range(users)]})
    write_tables(Dataset(table, people, entries, {}, False), folder)
    facts = {
        "name": "made-up", "ranker": "blend", "links": "ranker/members/transitions", "encoders": ["text"], "surfaces": {}, "repeats": False,
        "policy": GreedyPolicy.Config(use="greedy").model_dump(), "text": "{title}", "title": None,
    }  # fmt: skip
    seal(folder, facts)


def sequential_state(ranker: SequentialRanker, items: int, content_dim: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What training would have left, without training."""
    import torch

    from genre.rankers.scorer import Scorer
    from genre.rankers.transformer import projection

    dim = ranker.config.embedding_dim
    torch.manual_seed(0)
    items_ND = torch.from_numpy((topical(items, dim, rng) * spectrum(dim)).astype(np.float32))
    scorer = Scorer(ranker._new_tower(), projection(content_dim, dim), items_ND, torch.ones(items, dtype=torch.bool))
    return {name: value.numpy() for name, value in scorer.state_dict().items()}


def topical(items: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Vectors with a topic in common each: three quarters of their variance is between topics, of 200 items on average.

    Without any, as of pure noise, there is nothing that an index could leave out: it looks into every list.
    """
    topic_ND = rng.normal(size=(max(items // 200, 1), dim))[rng.integers(max(items // 200, 1), size=items)]
    found: np.ndarray = (0.75**0.5 * topic_ND + 0.25**0.5 * rng.normal(size=(items, dim))).astype(np.float32)
    return found


def spectrum(dim: int) -> np.ndarray:
    """How far item vectors reach along their axes: shares of the variance as measured on a model trained on MovieLens-100K (128 axes)."""
    ends, shares = np.array([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), np.array([0.0, 0.853, 0.895, 0.942, 0.976, 1.0])
    reach: np.ndarray = np.sqrt(np.diff(np.interp(np.linspace(0, 1, dim + 1), ends, shares)) * 10)
    return reach


REQUESTS: dict[str, dict[str, object]] = {
    "plain": {},
    "anchors": {"anchors": ["item-5"]},
    "filter passes 50 %": {"filter": "price < 50"},
    "filter passes 1 %": {"filter": "price < 1"},
    "text filter, 0.5 %": {"filter": 'brand in ("word1", "word2", "word3", "word4", "word5") and not seen(30d)'},
    "words": {"text": "word1 word2 word3"},
    "explain": {"explain": True},
}


def engine_table(folder: Path, repeats: int) -> None:
    """CPU and wall time a request, and what loading took."""
    begin, burnt = time.perf_counter(), time.process_time()
    engine = BundleEngine.load(folder)
    ready, burnt = time.perf_counter() - begin, time.process_time() - burnt
    rng = np.random.default_rng(1)
    ids = engine.world.catalogue.ids
    histories = [[PastEvent(ids[i], NOW - 60.0 * age) for age, i in enumerate(rng.integers(len(ids), size=50))][::-1] for _ in range(100)]
    print("| request | CPU ms | wall ms p50 | p99 | degraded | slowest stages, ms |")
    print("|---|---|---|---|---|---|")
    for name, asked in REQUESTS.items():
        walls, spent, late, stages = [], 0.0, 0, dict[str, list[float]]()
        for i in range(-5, repeats):
            body = {"user_id": f"new-{i}", "n": 20, **asked}
            cpu, wall = time.process_time(), time.perf_counter()
            request = RecommendRequest.model_validate(body)
            response, trace = engine.recommend(request, histories[i % 100], NOW)
            packed = response.model_dump_json()
            if i >= 0:
                spent += time.process_time() - cpu
                walls.append((time.perf_counter() - wall) * 1000)
                for stage, ms in trace.ms.items():
                    stages.setdefault(stage, []).append(ms)
            late += response.degraded
            assert packed and len(response.items) == 20
        medians = {stage: float(np.median(ms)) for stage, ms in stages.items() if stage != "total"}
        slowest = ", ".join(f"{stage} {ms:.2f}" for stage, ms in sorted(medians.items(), key=lambda pair: -pair[1])[:5])
        cells = [f"{ms:.2f}" for ms in (spent / repeats * 1000, np.median(walls), np.quantile(walls, 0.99))]
        print("|", " | ".join([name, *cells, f"{late / repeats:.0%}", slowest]), "|")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"\n{len(ids):,} items, histories of 50, lists of 20, {repeats} requests a row; load average {os.getloadavg()[0]:.1f} on", end=" "
    )
    print(f"{os.cpu_count()} cores. Loaded in {ready:.1f} s, {burnt:.1f} s of them CPU, verified and warmed up; peak {memory:.0f} MB.")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["engine"])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128, help="of the transformer")
    parser.add_argument("--content-dim", type=int, default=128)
    parser.add_argument("--links", type=int, default=300, help="transitions kept an item")
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "genre-serving-benchmark")
    args = parser.parse_args()
    wanted = {"items": args.items, "dim": args.dim, "content_dim": args.content_dim, "links": args.links}
    made = args.folder / "made.json"
    if not made.is_file() or json.loads(made.read_text()) != wanted:
        fabricate(args.folder / "000001", **wanted)
        made.write_text(json.dumps(wanted))
    engine_table(args.folder / "000001", args.repeats)


if __name__ == "__main__":
    main()
