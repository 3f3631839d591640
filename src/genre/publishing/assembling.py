"""Assembling: what a bundle is made of, from the stages of a run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from genre.bundle import seal
from genre.component import Arrays, build
from genre.config import GenreConfig, dump_config
from genre.data.dataset import Dataset
from genre.encoders.catalogue import load_vectors
from genre.llm.onnx_encoder import EXPORTED
from genre.policies import Policy
from genre.policies.learner import FOLDER, LEARNT, learner_of, space_of
from genre.publishing.nearest import write_index
from genre.publishing.scan import SCAN, write_scan
from genre.publishing.tables import write_tables
from genre.publishing.text_encoder import write_text_encoder
from genre.publishing.tower import TOWER, write_tower
from genre.rankers import Ranker
from genre.rankers.counters import Counters
from genre.rankers.deep_state import LATEST, below
from genre.surfaces import DEFAULT, Surface
from genre.vectors import unit

log = logging.getLogger(__name__)

SCANNED_UP_TO = 1_000_000
"""Items above which the coarse scan is too slow to be worth its memory."""
INDEXED_ABOVE = 200_000
"""Items above which there is an approximate index beside the scan."""
LINKED = ("transitions", "item_knn")
"""Rankers that lead from an item to others."""


@dataclass(frozen=True)
class Parts:
    """Where the finished stages are.

    Attributes:
        rankers, encoders: their folders, by name.
        metrics: what the served ranker reached on the test part; None if it was not evaluated.
        fingerprints: of the stages, by name: the data and settings that made the bundle.
        learnt: what the policies that serve have learnt, a folder a surface, as a bundle has it; None if nothing did.
    """

    dataset: Dataset
    rankers: Mapping[str, Path]
    encoders: Mapping[str, Path]
    metrics: Path | None
    fingerprints: Mapping[str, str]
    learnt: Path | None = None


def assemble(config: GenreConfig, parts: Parts, folder: Path) -> None:
    """Write everything that serving needs, and seal it."""
    ranker = Ranker.load(parts.rankers[config.served])
    ranker.save(folder / "ranker")
    links = _links(config, parts, folder)
    for file in sorted([*folder.glob("ranker/**/component.json"), *folder.glob("links/**/component.json")]):
        write_search(file.parent)
    for name, source in parts.encoders.items():
        shutil.copytree(source / "encoder", folder / "encoders" / name / "encoder", dirs_exist_ok=True)
        shutil.copy(source / "transform.safetensors", folder / "encoders" / name)
        vector_ND = unit(load_vectors(source))
        save_file({"vector_ND": vector_ND}, folder / "encoders" / name / "unit.safetensors")
        if 0 < len(vector_ND) <= SCANNED_UP_TO:
            write_scan(vector_ND, folder / "encoders" / name / SCAN)
        write_text_encoder(source, folder / "encoders" / name / EXPORTED, parts.dataset.items)
    dataset = parts.dataset
    dataset.items.write_parquet(folder / "items.parquet")
    write_tables(dataset, folder)
    (folder / "config.yaml").write_text(dump_config(config))
    metrics = json.loads(parts.metrics.read_text()) if parts.metrics else {}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    content = content_of(folder, config)
    write_policies(config, parts.learnt, content, folder / FOLDER)
    seal(folder, _facts(config, parts, links) | {"space": content})


def content_of(folder: Path, config: GenreConfig) -> str:
    """What the vectors mean that policies read: a hash of the first encoder, without the items it was used on."""
    first = next(iter(config.encoders), None)
    digest = hashlib.sha256()
    if first is not None:
        whole = folder / "encoders" / first
        for file in sorted([*(whole / "encoder").rglob("*"), whole / "transform.safetensors"]):
            if file.is_file():
                digest.update(str(file.relative_to(whole)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def write_policies(config: GenreConfig, learnt: Path | None, content: str, folder: Path) -> None:
    """The state of every policy that learns: what it has learnt so far where that still means the same, else that of one that begins."""
    for name, settings in {DEFAULT: Surface(), **config.surfaces}.items():
        learner = learner_of(build(Policy, settings.policy or config.policy))
        if learner is None:
            continue
        learner.save(folder / name)
        nothing = {"exposures": 0, "events": 0, "waiting": [], "items": [], "space": space_of(learner, content)}
        (folder / name / LEARNT).write_text(json.dumps(nothing) + "\n")
        told = None if learnt is None else learnt / name / LEARNT
        if told is not None and told.is_file() and json.loads(told.read_text())["space"] == nothing["space"]:
            for file in (told, told.parent / "state.safetensors"):
                shutil.copy(file, folder / name)


def write_search(folder: Path) -> None:
    """The files of a ranker that only serving reads: the user tower, the coarse scan, the newest counts."""
    settings = json.loads((folder / "component.json").read_text())
    use = settings["use"].replace("-", "_")
    if use == "deep":
        write_latest(folder, settings)
    vectors = {"sequential": "items_ND", "content": "vector_ND"}.get(use)
    if vectors is None:
        return
    state = load_file(folder / "state.safetensors")
    if use == "sequential":
        write_tower(state, settings["heads"], folder / TOWER)
    if 0 < len(state[vectors]) <= SCANNED_UP_TO:
        write_scan(state[vectors], folder / SCAN)
    if len(state[vectors]) > INDEXED_ABOVE:
        if importlib.util.find_spec("faiss") is None:
            log.warning("%d items are many for a scan: pip install 'genre-rec[ann]' and publish again for an index", len(state[vectors]))
        else:
            write_index(state[vectors], folder)


def write_latest(folder: Path, settings: Mapping[str, Any]) -> None:
    """What a deep ranker's counters knew last, from where serving goes on counting."""
    described = below(load_file(folder / "state.safetensors"), "features.")
    latest: Arrays = {}
    for name in {name.split(".")[0] for name in described if name.endswith(".item_E")}:
        counters = Counters.restored(described, name, settings["half_life_days"])
        found = counters.latest(int(counters.item_E.max(initial=-1)) + 1)
        latest |= {f"{name}.{what}": array for what, array in found.items()}
    save_file(latest, folder / LATEST)


def _links(config: GenreConfig, parts: Parts, folder: Path) -> str | None:
    """The folder of a ranker that leads from an item to others: inside the served one, or beside it."""
    for file in sorted(folder.glob("ranker/**/component.json")):
        if json.loads(file.read_text())["use"].replace("-", "_") in LINKED:
            return str(file.parent.relative_to(folder))
    for name, settings in config.rankers.items():
        if settings.use.replace("-", "_") in LINKED:
            Ranker.load(parts.rankers[name]).save(folder / "links")
            return "links"
    return None


def _facts(config: GenreConfig, parts: Parts, links: str | None) -> dict[str, Any]:
    summary = parts.dataset.summary
    return {
        "name": config.name,
        "ranker": config.served,
        "links": links,
        "encoders": list(config.encoders),
        "policy": config.policy.model_dump(mode="json"),
        "surfaces": {name: surface.model_dump(mode="json") for name, surface in config.surfaces.items()},
        "text": config.data.text,
        "title": config.data.title,
        "repeats": config.data.repeats,
        "data": {name: summary[name] for name in ("users", "items", "interactions", "first_time", "last_time", "protocol")},
        "made_from": dict(parts.fingerprints),
    }
