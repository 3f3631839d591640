"""The pipeline: every stage reads folders and writes one folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import polars as pl

from genre.choices import CHOSEN_FINETUNE, chosen, write_chosen
from genre.component import build, own_files, resolve
from genre.config import POLICY_RUNG, ConfigError, GenreConfig, dump_config, load_config
from genre.data.dataset import Dataset, checks_of, read_summary
from genre.data.enriched import COLUMNS as SUMMARIES
from genre.data.enriched import names_summaries, read_summaries, read_synthetic, with_summaries, with_synthetic
from genre.data.impressions import training_impressions
from genre.data.preparing import prepare as prepare_data
from genre.data.readers import Reader
from genre.data.splitting import Split
from genre.deciding import decided, shelf_of
from genre.encoders import Encoder
from genre.encoders.catalogue import CatalogueEncoder, fit_catalogue
from genre.encoders.likeness import Likeness
from genre.judging import content_of, judge
from genre.llm.enrichment import enrich as enrich_data
from genre.llm.finetune_settings import FinetuneConfig
from genre.llm.model_files import files_of, locate
from genre.llm.tuning_data import tuning_data
from genre.policies import Policy
from genre.progress import about
from genre.rankers import Ranker
from genre.reporting import keep_cost, report
from genre.runs import VERSION, Run
from genre.starting import ranker_of, start_of
from genre.types import Impressions, Training
from genre.writing import whole

log = logging.getLogger(__name__)

RUNS = Path("runs")


def run(
    config: GenreConfig | str | Path,
    overrides: Iterable[str] = (),
    *,
    force: bool = False,
    folder: Path | None = None,
    start: Path | None = None,
) -> Run:
    """Every stage of a configuration, in order; what is fresh is skipped, what was killed goes on.

    Args:
        config: a configuration or its YAML file, with `a.b=c` changes on top.
        force: do everything again.
        folder: where to; runs/NAME by default.
        start: a bundle whose rankers training begins from, where they can.
    """
    if not isinstance(config, GenreConfig):
        config = load_config(config, overrides)
    run = Run(folder or RUNS / config.name)
    with run.locked():
        if not config.data.split.chooses:  # before anything is trained
            for name in [*config.rankers, *([CHOSEN_FINETUNE] if config.finetune else [])]:
                chosen(config, run, name)
        prepare(config, run, force)
        check_columns(config, run)
        enrich(config, run, force)
        pretrain(config, run, force)
        finetune(config, run, force)
        for name in config.encoders:
            embed(config, run, name, force)
        for name in config.rankers:
            rank(config, run, name, force, start)
        # Only now, and whole: a run that is stopped before leaves the file that tells of what is there.
        with whole(run.folder / "config.yaml") as partial:
            partial.write_text(dump_config(config))
        if config.data.split.use != "none":
            for name in config.rankers:
                evaluate(config, run, name, force)
            if POLICY_RUNG in config.rungs:
                decide(config, run, force)
            report([run.folder], run.folder / "report.html")
        if config.surfaces:
            publish(config, run, force)
    ours = {*(f"embed/{name}" for name in config.encoders), *(f"rank/{name}" for name in config.rankers)}
    if others := [stage for stage in run.stages() if stage.startswith(("embed/", "rank/")) and stage not in ours]:
        log.info(
            "%s: %s: no longer in the configuration; kept in case you go back, delete what you need no more", run.folder, ", ".join(others)
        )
    return run


def prepare(config: GenreConfig, run: Run, force: bool = False) -> None:
    """Files to typed tables, ids, text and split."""
    data, reader = config.data, build(Reader, config.data.reader)

    def work(folder: Path) -> None:
        settings = data.model_dump(exclude={"reader", "split"})
        prepare_data(reader, build(Split, data.split), folder, **settings)

    run.stage("prepare", data.model_dump(mode="json"), (), work, files=[*reader.sources(), *own_files(data)], force=force)
    for each in checks_of(read_summary(run.path("prepare"))):
        if each.level == "leak":
            log.warning("leak: %s; figures of this run promise more than will come true (genre check says what to do)", each.sentence)


def check_columns(config: GenreConfig, run: Run) -> None:
    """Every item column that later stages read is there; said before anything is learnt.

    Raises:
        ConfigError: with each that is not, where it is named, and what there is.
    """
    there = list(pl.read_parquet_schema(run.path("prepare") / "items.parquet"))
    policies = {"policy": config.policy}
    policies |= {f"surfaces.{name}.policy": surface.policy for name, surface in config.surfaces.items() if surface.policy}
    named = [("evaluate.category", name) for name in [config.evaluate.category] if name]
    named += [(f"encoders.{name}", column) for name, encoder in config.encoders.items() for column in encoder.attributes()]
    named += [(path, column) for path, policy in policies.items() for column in policy.attributes()]
    lacking = [(path, column) for path, column in named if column not in there and column not in SUMMARIES]
    if lacking:
        known = f"the items have {', '.join(there)}"
        raise ConfigError("\n".join(f"{path} names the column {column!r}; {known}" for path, column in lacking))


def enrich(config: GenreConfig, run: Run, force: bool = False) -> None:
    """What a language model writes about items and users, if it is asked to."""
    settings = config.enrich
    if settings is None:
        return

    def work(folder: Path) -> None:
        dataset = Dataset.load(run.path("prepare"))
        enrich_data(dataset, settings, folder, run.folder / "calls.sqlite", Likeness(dataset.items), config.seed)

    files = [*settings.generator.files(), *own_files(settings)]
    run.stage("enrich", {"enrich": settings.decides(), "seed": config.seed}, ("prepare",), work, files, force)


def pretrain(config: GenreConfig, run: Run, force: bool = False) -> None:
    """A language model on the items' text, if it is asked for."""
    settings = config.pretrain
    if settings is None:
        return

    def work(folder: Path) -> None:
        from genre.llm.pretraining import pretrain as pretrain_model

        pretrain_model(settings, Dataset.load(run.path("prepare")).items["text"].to_list(), config.seed, folder)

    files = [*settings.corpus, *(files_of(settings.model) if settings.model else ())]
    run.stage("pretrain", {"pretrain": settings.model_dump(mode="json"), "seed": config.seed}, ("prepare",), work, files, force)


def finetune(config: GenreConfig, run: Run, force: bool = False) -> None:
    """A language model's top on the training interactions, if it is asked for."""
    settings = config.finetune
    if settings is None:
        return
    everything = not config.data.split.chooses
    if everything:
        settings = FinetuneConfig.model_validate({**settings.model_dump(), **chosen(config, run, CHOSEN_FINETUNE)})
    own = settings.model == "pretrain"

    def work(folder: Path) -> None:
        from genre.llm.finetuning import finetune as finetune_model

        dataset, where = Dataset.load(run.path("prepare")), str(run.path("pretrain")) if own else locate(settings.model)
        data = tuning_data(dataset, run.path("prepare"), not everything, config.seed)
        metrics = finetune_model(settings, where, dataset.items["text"].to_list(), data, folder)
        if not everything:
            write_chosen(config, run, CHOSEN_FINETUNE, {"epochs": metrics["epochs"]})

    inputs, files = ["prepare", *(["pretrain"] if own else [])], [*settings.objective.files(), *own_files(settings)]
    files += [] if own else files_of(settings.model)
    run.stage("finetune", {"finetune": settings.model_dump(mode="json"), "seed": config.seed}, inputs, work, files, force)


def embed(config: GenreConfig, run: Run, name: str, force: bool = False) -> None:
    """Vectors for every item, from one encoder."""

    enriched = names_summaries(config.encoders[name].text)

    def work(folder: Path) -> None:
        encoder, items = build(Encoder, config.encoders[name]), Dataset.load(run.path("prepare")).items
        encoder.within(run.folder)
        if enriched:
            items = with_summaries(items, read_summaries(run.path("enrich")))
        vectors_ND, transform = fit_catalogue(encoder, items)
        CatalogueEncoder(encoder, transform).save(folder, vectors_ND)

    inputs = ["prepare", *(["enrich"] if enriched else []), *config.encoders[name].stages()]
    files = [*config.encoders[name].files(), *own_files(config.encoders[name])]
    run.stage(f"embed/{name}", config.encoders[name].model_dump(mode="json"), inputs, work, files, force)


def rank(config: GenreConfig, run: Run, name: str, force: bool = False, start: Path | None = None) -> None:
    """One ranker, learnt from the training interactions and the vectors and rankers it names, from a bundle's weights if one is given."""
    settings = config.rankers[name]
    everything = not config.data.split.chooses
    if everything:
        settings = type(settings).model_validate({**settings.model_dump(), **chosen(config, run, name)})

    earlier = None if start is None else ranker_of(start, name)
    if not resolve(settings.use, Ranker).begins:
        earlier = None

    def work(folder: Path) -> None:
        dataset = Dataset.load(run.path("prepare"))
        ranker = build(Ranker, settings)
        members = {member: Ranker.load(run.path(f"rank/{member}")) for member in settings.members()}
        validation = None if everything else dataset.ground_truth("valid")
        histories = dataset.training
        if settings.synthetic:
            histories = with_synthetic(histories, read_synthetic(run.path("enrich"), len(dataset.users)))
        training = Training(
            histories, dataset.n_items, content_of(run, settings.encoders()), validation, dataset.repeats, members,
            {member: content_of(run, each.config.encoders()) for member, each in members.items()},
            shown_to(settings, dataset, run), config.seed, dataset.items,
            None if earlier is None else start_of(earlier, dataset.items),
        )  # fmt: skip
        with about(name):
            ranker.fit(training, folder)
        ranker.save(folder)
        for file in folder.rglob("checkpoint.safetensors"):  # what a killed training needs, a finished one does not
            file.unlink()
        if not everything:
            write_chosen(config, run, name, ranker.chosen())

    inputs = ["prepare", *(f"embed/{encoder}" for encoder in settings.encoders()), *(f"rank/{member}" for member in settings.members())]
    inputs += ["enrich"] if settings.synthetic else []
    files = [*settings.files(), *own_files(settings), *([] if earlier is None else [earlier])]
    run.stage(f"rank/{name}", {"ranker": settings.model_dump(mode="json"), "seed": config.seed}, inputs, work, files, force)


def shown_to(settings: Ranker.Config, dataset: Dataset, run: Run) -> Impressions | None:
    """The lists that a ranker learns from, with what was asked for in words as its encoder reads it; None if it learns from none."""
    shown = training_impressions(dataset) if settings.reads_impressions() else None
    words = None if shown is None else shown.queries.context.get(settings.asked_in() or "")
    if shown is None or words is None:
        return shown
    encoder = CatalogueEncoder.load(run.path(f"embed/{settings.encoders()[0]}"))
    return replace(shown, queries=replace(shown.queries, words_BD=encoder.encode_asked(words)))


def evaluate(config: GenreConfig, run: Run, name: str, force: bool = False) -> None:
    """One ranker, judged on the test part over the whole catalogue."""

    def work(folder: Path) -> None:
        dataset, ranker = Dataset.load(run.path("prepare")), Ranker.load(run.path(f"rank/{name}"))
        content = content_of(run, config.encoders)
        judge(config, run, dataset, ranker.score, content, "test", name, ranker.config.synthetic).save(folder)
        keep_cost(run, f"rank/{name}", folder)

    inputs = ["prepare", *(f"embed/{encoder}" for encoder in config.encoders), f"rank/{name}"]
    run.stage(f"evaluate/{name}", config.evaluate.model_dump(mode="json"), inputs, work, force=force)


def decide(config: GenreConfig, run: Run, force: bool = False) -> None:
    """The policy on top of the ranker that is served, judged like a ranker: the ladder's last rung."""

    def work(folder: Path) -> None:
        dataset, content = Dataset.load(run.path("prepare")), content_of(run, config.encoders)
        ranker = Ranker.load(run.path(f"rank/{config.served}"))
        score = decided(build(Policy, config.policy), shelf_of(config, run, dataset), ranker.score, config, dataset.repeats)
        judge(config, run, dataset, score, content, "test", POLICY_RUNG, ranker.config.synthetic).save(folder)
        keep_cost(run, f"rank/{config.served}", folder)

    settings = {"evaluate": config.evaluate.model_dump(mode="json"), "policy": config.policy.model_dump(mode="json"), "seed": config.seed}
    inputs = ["prepare", *(f"embed/{encoder}" for encoder in config.encoders), f"rank/{config.served}"]
    run.stage(f"evaluate/{POLICY_RUNG}", settings, inputs, work, own_files(config.policy), force)


def publish(config: GenreConfig, run: Run, force: bool = False, learnt: Path | None = None) -> Path:
    """Everything that serving needs, as the next version in models/; the newest version where nothing changed since it was made.

    Args:
        learnt: what policies have learnt while serving (`serving.operating.learnt_so_far`); they go on from there.
    """
    from genre.publishing.assembling import Parts, assemble  # needs onnx, and nothing else here does

    evaluated = f"evaluate/{config.served}"
    judged = (run.folder / evaluated / "manifest.json").is_file()
    inputs = ["prepare", *(f"embed/{name}" for name in config.encoders), *(f"rank/{name}" for name in config.rankers)]
    inputs += [evaluated] if judged else []
    settings = config.model_dump(mode="json", include={"name", "serve", "policy", "surfaces"})
    fingerprints = {stage: run.manifest(stage).fingerprint for stage in inputs}
    versions = sorted(path.parent.name for path in run.folder.glob("models/*/manifest.json"))
    if versions and not force:
        newest = run.manifest(f"models/{versions[-1]}")
        if (newest.settings, newest.inputs, newest.versions["genre"]) == (settings, fingerprints, VERSION):
            return run.path(f"models/{versions[-1]}")
    version = f"models/{int(versions[-1]) + 1 if versions else 1:06d}"

    def work(folder: Path) -> None:
        rankers = {name: run.path(f"rank/{name}") for name in config.rankers}
        encoders = {name: run.path(f"embed/{name}") for name in config.encoders}
        metrics = run.path(evaluated) / "metrics.json" if judged else None
        assemble(config, Parts(Dataset.load(run.path("prepare")), rankers, encoders, metrics, fingerprints, learnt), folder)

    run.stage(version, settings, inputs, work)
    return run.path(version)
