"""Items change while lists are made: nobody waits, nothing breaks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from patient import load_patient

from genre.serving.contract import EventIn, ItemIn, PastEvent, RecommendRequest

NOW = 1.8e9


def test_lists_are_made_while_items_come_and_go(small_bundle: Path) -> None:
    engine = load_patient(small_bundle)
    stop, broken, made = threading.Event(), list[str](), [0]

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            ids = engine.world.catalogue.ids
            history = [PastEvent(ids[i], NOW) for i in rng.integers(len(ids) - 1, size=5)]
            text = "coffee beans" if rng.random() < 0.3 else None
            request = RecommendRequest(user_id="u", n=10, text=text, filter="price < 50", explain=True)
            response, trace = engine.recommend(request, history, NOW)
            made[0] += 1
            if response.degraded or len({item.item_id for item in response.items}) < 10:
                broken.append(f"{trace.degraded} {trace.item_ids}")

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(2)]
    for reader in readers:
        reader.start()
    for i in range(40):
        attributes = {"title": f"coffee {i}", "description": "beans", "price": i % 60, f"extra {i % 7}": i}
        engine.upsert_item(ItemIn(item_id=f"new-{i}", attributes=attributes))
        engine.observe(EventIn(event_id=str(i), type="click", user_id="u", item_id=f"new-{i}"), NOW)
        if i % 3 == 0:
            engine.delete_item(f"new-{i // 2}")
    stop.set()
    for reader in readers:
        reader.join()
    assert not broken and made[0] > 3
    assert engine.world.catalogue.n == 100 and not engine.failures
