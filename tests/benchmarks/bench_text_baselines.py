"""What words alone reach, without any network: TF-IDF beside the pipelines of texts.

    python tests/benchmarks/bench_text_baselines.py [spam] [package_descriptions] [package_names]

Fitted on the train split, scored on the test split, as `pipelines/text_spam.yaml` and
`pipelines/embedding_minilm.yaml` divide them. Classes by logistic regression; packages found by
the cosine of a name's and a description's letters, three to five at a time.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from edgekd.core.refs import UseSource

SOURCES = ("spam", "package_descriptions", "package_names")
CUT = 600
"""Letters of a mail that are about as many as a network of 128 tokens sees."""
PACKAGES = {"kind": "package_names", "packages": 30000, "validation": 0.05, "test": 0.1}


def classified(name: str, cut: int | None) -> float:
    """Return the share of test texts whose class is found."""
    source = UseSource.model_validate(name).build()
    splits = {split: source.load(split) for split in ("train", "test")}

    def texts(split: str) -> list[str]:
        return [text[:cut] for text in splits[split]["text"]]

    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    known = words.fit_transform(texts("train"))
    model = LogisticRegression(C=30, max_iter=2000).fit(known, splits["train"]["label"])
    return float(model.score(words.transform(texts("test")), splits["test"]["label"]))


def found(within: Sequence[int]) -> list[float]:
    """Return the share of package names whose description is among the so many nearest."""
    source = UseSource.model_validate(PACKAGES).build()
    letters = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5))
    letters.fit(source.load("train")["text"])
    rows = letters.transform(source.load("test")["text"])
    near = (rows[0::2] @ rows[1::2].T).toarray()  # names, then descriptions
    before = (near >= near.diagonal()[:, None]).sum(1) - 1
    return [float(np.mean(before < count)) for count in within]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sources", nargs="*", help=", ".join(SOURCES))
    for name in parser.parse_args().sources or SOURCES:
        if name == "package_names":
            first, ten = found((1, 10))
            print(f"{name}: found first {first:.1%}, among 10 {ten:.1%}", flush=True)
            continue
        whole, cut = classified(name, None), classified(name, CUT)
        print(f"{name}: whole texts {whole:.2%}, the first {CUT} letters {cut:.2%}", flush=True)


if __name__ == "__main__":
    main()
