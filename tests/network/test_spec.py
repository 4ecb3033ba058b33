"""What a network is: its fingerprints and its pickle."""

from tiny import save_tiny_bert

from skembed import BertEmbedder


def test_one_bit_of_the_weights_is_another_fingerprint(tmp_path):
    folder = save_tiny_bert(tmp_path / "model", seed=8)
    before = BertEmbedder(folder, backend="torch").fit(["a"]).fingerprint_
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert BertEmbedder(folder, backend="torch").fit(["a"]).fingerprint_ != before
