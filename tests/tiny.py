"""Tiny networks with seeded random weights, saved as real models are."""

import json
import warnings

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = "the cat sat on a mat while dog ran over hill and river to town bank query : passage"
_PIECES = "##s ##ing ##e ##a ##i ##o ##n ##t"


def save_tiny_tokenizer(folder, max_length=32):
    """Write a WordPiece tokenizer of letters, a few words and pieces."""
    letters = "abcdefghijklmnopqrstuvwxyz?.,!—éèïà0123456789"
    pieces = [f"##{letter}" for letter in letters]
    tokens = dict.fromkeys([*_SPECIAL, *letters, *pieces, *_WORDS.split(), *_PIECES.split()])
    vocab = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(_SPECIAL)
    # As published tokenizers are: with the padding and truncation of their last use.
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(8)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        **{f"{token.strip('[]').lower()}_token": token for token in _SPECIAL},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocab)


def save_bytes_tokenizer(folder, class_name, special=True):
    """Write a byte-level BPE tokenizer of single bytes and a few merges."""
    special_tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokens = [*special_tokens, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "c"), ("Ġ", "the"), ("a", "t")]
    tokens += [a + b for a, b in merges]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(BPE(vocab, merges, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if special:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.add_special_tokens(special_tokens)
    return _save_tokenizer(folder, tokenizer, class_name)


def save_pieces_tokenizer(folder, class_name, frame, special_tokens, unk_id, **more):
    """Write a tokenizer of the Unigram kind."""
    pieces = "▁ the cat s a t o n d g r v e i ▁the ▁cat ▁a ▁dog C A F T É é".split()
    names = dict.fromkeys([*special_tokens, *pieces])
    vocab = [(name, 0.0 if name in special_tokens else -float(i)) for i, name in enumerate(names)]
    tokenizer = Tokenizer(Unigram(vocab, unk_id=unk_id, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC()])
    space = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=frame,
        special_tokens=[(t, special_tokens.index(t)) for t in ("<s>", "</s>")]
        if "<s>" in special_tokens
        else [("</s>", special_tokens.index("</s>"))],
    )
    tokenizer.add_special_tokens(special_tokens)
    return _save_tokenizer(folder, tokenizer, class_name, **more)


def _save_tokenizer(folder, tokenizer, class_name, **more):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": class_name, "model_max_length": 64, **more}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()


def save_tiny_model(folder, config_class, model_class, seed=0, max_length=32, **config):
    """Write a model of two layers with its tokenizer; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab_size = save_tiny_tokenizer(folder, max_length)
    config = config_class(vocab_size=vocab_size, **config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        for parameter in model.parameters():  # far from the tiny values they start with
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def save_tiny_bert(folder, seed=0, max_length=32, **config):
    """Write a BERT of two layers and 16 dimensions; return the folder."""
    settings = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 40,
        **config,
    }
    return save_tiny_model(
        folder, transformers.BertConfig, transformers.BertModel, seed, max_length, **settings
    )


def add_modules(folder, *, pooling=None, dense=None, normalize=False, prompts=None, default=None):
    """Make a model's folder one of Sentence Transformers, by its published layout."""
    kinds = ["Transformer", "Pooling"] + ["Dense"] * bool(dense) + ["Normalize"] * normalize
    modules = []
    for number, kind in enumerate(kinds):
        path = "" if number == 0 else f"{number}_{kind}"
        modules.append(
            {
                "idx": number,
                "name": str(number),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
        )
        (folder / path).mkdir(exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 24}')
    settings = {"word_embedding_dimension": 16, **(pooling or {"pooling_mode_mean_tokens": True})}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    if dense:
        torch.manual_seed(1)
        out_features = dense["out_features"]
        weights = {"linear.weight": torch.randn(out_features, dense["in_features"])}
        if dense.get("bias", True):
            weights["linear.bias"] = torch.randn(out_features)
        save_file(weights, folder / "2_Dense" / "model.safetensors")
        (folder / "2_Dense" / "config.json").write_text(json.dumps(dense))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": prompts or {}, "default_prompt_name": default})
    )
    return folder


def without_array(tensor):
    """Return a sparse, a compressed and a quantized copy of a 2-D tensor, which torch warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_tensor(tensor, 0.01, 0, torch.qint8)
        return tensor.to_sparse(), tensor.to_sparse_csr(), quantized


# 54 words that the tiny tokenizer has as a whole.
LONG = "the cat sat on a mat while the dog ran over the hill and the river to town " * 3


def change_json(path, **changes):
    """Change keys of a JSON file; write it if it does not exist."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **changes}))


def save_tiny_static(folder, sentence=False, tensors=None, **config):
    """Write a static model of eight dimensions as its authors' packages do; return the folder.

    Without them: model2vec's layout, or that of Sentence Transformers.
    """
    place = folder / "0_StaticEmbedding" if sentence else folder
    place.mkdir(exist_ok=True)
    n_tokens = save_tiny_tokenizer(place)
    (place / "tokenizer_config.json").unlink()
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(n_tokens, 8, generator=random)
    kinds = ["StaticEmbedding", "Normalize"]
    paths = [place.name if sentence else ".", "1_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    if sentence:
        tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.save(str(place / "tokenizer.json"))
        own = {"embedding.weight": vectors}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    else:
        codes = (vectors * 30).round().to(torch.int8)
        own = {"embeddings": codes, "weights": torch.rand(n_tokens, generator=random) + 0.5}
        config = {"model_type": "model2vec", "normalize": True, "max_length": None} | config
        (folder / "config.json").write_text(json.dumps(config))
    save_file(own if tensors is None else tensors, str(place / "model.safetensors"))
    return folder
