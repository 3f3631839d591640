"""What the items of the synthetic world say: titles and descriptions made of their topic's words."""

# N items, W words of a description

from __future__ import annotations

import numpy as np

from genre.types import Ints

TOPICS: tuple[tuple[str, str, str], ...] = (
    ("Outdoors", "sailing", "sail mast harbour tide rudder anchor regatta keel deck voyage"),
    ("Outdoors", "climbing", "rope summit granite ledge harness ridge glacier carabiner belay crag"),
    ("Kitchen", "baking", "dough oven flour yeast crust butter pastry sourdough icing whisk"),
    ("Kitchen", "coffee", "espresso roast grinder crema filter barista arabica kettle brew latte"),
    ("Music", "jazz", "saxophone swing trumpet bebop improvisation quartet bass trombone blues syncopation"),
    ("Music", "opera", "soprano aria libretto tenor overture chorus baritone orchestra conductor stage"),
    ("Home", "gardening", "seed soil rose compost pruning hedge tulip greenhouse trowel mulch"),
    ("Home", "carpentry", "oak chisel plane dovetail saw varnish mallet joint lathe plywood"),
    ("Science", "astronomy", "telescope galaxy comet orbit nebula eclipse planet observatory supernova meteor"),
    ("Science", "biology", "cell enzyme genome evolution bacteria protein species organism membrane fossil"),
    ("Sport", "football", "goal penalty midfield striker referee league corner tackle dribble stadium"),
    ("Sport", "cycling", "pedal sprint saddle peloton gear chain climb velodrome helmet spoke"),
    ("Fiction", "crime", "detective murder alibi clue inspector suspect witness verdict forensic heist"),
    ("Fiction", "fantasy", "dragon wizard sword castle prophecy elf spell kingdom quest rune"),
    ("Family", "toys", "puzzle doll blocks train marbles kite teddy puppet dice balloon"),
    ("Family", "pets", "puppy kitten leash aquarium hamster collar vet parrot biscuit kennel"),
)
"""Category, topic, words. Category is coarser than topic: two topics share one."""

LINES = ("Everything about {}, {} and {}.", "A guide to {}, {} and {}.", "With {}, {} and {} for beginners.", "The art of {}, {} and {}.")
ONSETS = ("b", "br", "d", "f", "g", "gr", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "z")
VOWELS = ("a", "e", "i", "o", "u", "ia", "eo")


def write_texts(
    topic_N: Ints, series_N: Ints, volume_N: Ints, n_topics: int, noise: float, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Titles and descriptions; each word is of the item's topic, or with probability `noise` of any topic."""
    words = [topic[2].split() for topic in TOPICS[:n_topics]]
    source_NW = np.where(rng.random((len(topic_N), 5)) < noise, rng.integers(n_topics, size=(len(topic_N), 5)), topic_N[:, None])
    # One random start and distinct strides, so that no word comes twice from the same topic.
    pick_NW = (rng.integers(10, size=(len(topic_N), 1)) + 3 * np.arange(5)) % 10
    line_N = rng.integers(len(LINES), size=len(topic_N)).tolist()
    names = invent_names(int(series_N.max()) + 1, rng)
    titles, descriptions = [], []
    for series, volume, sources, picks, line in zip(
        series_N.tolist(), volume_N.tolist(), source_NW.tolist(), pick_NW.tolist(), line_N, strict=True
    ):
        a, b, c, d, e = (words[source][pick] for source, pick in zip(sources, picks, strict=True))
        titles.append(f"{names[series]} {volume}: {a} {b}")
        descriptions.append(LINES[line].format(c, d, e))
    return titles, descriptions


def invent_names(n: int, rng: np.random.Generator) -> list[str]:
    """Names such as "Gravelio": three syllables each, not always distinct."""
    onset_N3 = rng.integers(len(ONSETS), size=(n, 3)).tolist()
    vowel_N3 = rng.integers(len(VOWELS), size=(n, 3)).tolist()
    return [
        "".join(ONSETS[onset] + VOWELS[vowel] for onset, vowel in zip(onsets, vowels, strict=True)).capitalize()
        for onsets, vowels in zip(onset_N3, vowel_N3, strict=True)
    ]
