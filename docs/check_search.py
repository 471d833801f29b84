"""Check that words find their page first: check_search.py FOLDER.

Everyday words, and all of those in _ext/search_words.py. Repeats the ranking of Sphinx's search for
entries of the index and for titles. Names of objects and the text of pages score at most 26, so
that a page with more comes before them. An incremental build loses the entries of unchanged pages,
which is why `make docs` starts from scratch.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("_ext")))
from search_words import WORDS

TEXT = 26  # the most that names of objects and text score
EVERYDAY = {
    "class imbalance": "imbalance",
    "threshold": "decoders",
    "feature importance": "explanations",
    "missing values": "encoding",
    "ARFF": "datasets",
    "GPU": "gpu",
    "save": "saving",
    "SHAP": "explanations",
    "cross-validation": "selection",
    "calibration": "calibration",
}


def rank(index, query):
    """Return the scores of pages for a query, by page."""
    query = query.lower()
    scores = {}

    def add(page, score):
        name = index["docnames"][page]
        scores[name] = max(scores.get(name, 0), round(score))

    for title, places in index["alltitles"].items():
        if query in title.lower() and len(query) >= len(title) / 2:
            for page, _ in places:
                is_own = index["titles"][page] == title
                add(page, 15 * len(query) / len(title) + is_own)
    for entry, places in index["indexentries"].items():
        if query in entry and len(query) >= len(entry) / 2:
            for page, _, is_main in places:
                if is_main:
                    add(page, 100 * len(query) / len(entry))
    return scores


script = Path(sys.argv[1], "searchindex.js").read_text(encoding="utf-8")
index = json.loads(script[script.index("{") : script.rindex("}") + 1])
expected = [(word, page) for page, words in WORDS.items() for word in words.split(", ")]
wrong = []
for word, page in [*EVERYDAY.items(), *expected]:
    scores = rank(index, word)
    others = [score for name, score in scores.items() if name != page]
    if scores.get(page, 0) <= max([TEXT, *others]):
        first = sorted(scores, key=scores.get, reverse=True)[:2]
        wrong.append(
            f"{word!r} should find {page} first, not {' and '.join(first) or 'nothing'}"
        )
print(f"searched for {len(EVERYDAY) + len(expected)} words")
sys.exit("\n".join(["Not found first:", *wrong]) if wrong else 0)
