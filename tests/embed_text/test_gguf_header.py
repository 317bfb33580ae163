"""The header of a GGUF file, against the gguf package, which writes and reads it as a whole."""

from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter

from ecgpipe.embed_text.gguf_header import read_gguf_header


def written(folder: Path) -> Path:
    path = folder / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_embedding_length(48)
    writer.add_feed_forward_length(96)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(["a", "波", "c"])
    writer.add_token_scores([0.5, 1.5, 2.5])
    writer.add_add_bos_token(True)
    writer.add_tensor("token_embd.weight", np.zeros((3, 48), np.float32))
    writer.add_tensor("blk.0.ffn_up.weight", np.zeros((96, 48), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_widths_and_sizes_are_those_that_the_package_reads(tmp_path: Path) -> None:
    path = written(tmp_path)
    header = read_gguf_header(path)
    assert header is not None
    whole = GGUFReader(path)
    assert header.tensors == {t.name: int(t.n_elements) for t in whole.tensors}
    assert header.fields["general.architecture"] == "llama"
    assert header.of_architecture("embedding_length") == 48
    assert header.of_architecture("feed_forward_length") == 96
    assert header.of_architecture("no_such_length") is None
    assert "tokenizer.ggml.tokens" not in header.fields


def test_what_is_cut_off_or_something_else_has_no_header(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"GGUF", whole[:100], b"x" * 200, b"GGUF\0\0\0\3" + whole[8:]):
        path.write_bytes(content)
        assert read_gguf_header(path) is None
