"""Model folders against Sentence Transformers: families x settings.

Makes tiny folders with seeded random weights, and prints for each the largest difference between
`BertEmbedder(folder)` and `SentenceTransformer(folder).encode`, or the text of the refusal.

Run: python benchmarks/table_model_folders.py [part of a name ...]
"""

import json
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch
import transformers
from tiny import (
    add_modules,
    save_bytes_tokenizer,
    save_pieces_tokenizer,
    save_tiny_tokenizer,
)

from skembed import BertEmbedder

TEXTS = [
    "The cat sat on a mat.",
    "  a dog  ran over   the hill ",
    "naïve CAFÉ été — ÀÉ",
    "中文 cat 日本",
    "query: what is a [MASK] or a <mask>?",
    "[SPECIAL]cat <extra>dog",
    "the river and the town, " * 12,
    "x",
]
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 80,
}
T5_SIZES = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
BART_SIZES = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 80,
}
MODULES = "sentence_transformers.models"


# -- making folders --------------------------------------------------------------------------------


def save_model(folder, config, model_class):
    """Write a model with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)


def modules(folder):
    """Add pooling, normalizing and a length."""
    add_modules(folder, normalize=True)


def bert(folder, class_name="BertTokenizer", model="Bert", **sizes):
    """Write a model with a WordPiece tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab_size = save_tiny_tokenizer(folder)
    change(folder, "tokenizer_config.json", tokenizer_class=class_name, model_max_length=64)
    config_class = getattr(transformers, f"{model}Config")
    config = config_class(vocab_size=vocab_size, pad_token_id=0, **(sizes or SIZES))
    save_model(folder, config, getattr(transformers, f"{model}Model"))
    modules(folder)


def roberta(folder, class_name="RobertaTokenizer", model="Roberta", special=True, **sizes):
    """Write a model with a byte-level BPE tokenizer."""
    vocab_size = save_bytes_tokenizer(folder, class_name, special)
    config_class = getattr(transformers, f"{model}Config")
    config = config_class(
        vocab_size=vocab_size, pad_token_id=1, bos_token_id=0, eos_token_id=2, **(sizes or SIZES)
    )
    architecture = model if model.endswith(("ForCausalLM", "Model")) else f"{model}Model"
    save_model(folder, config, getattr(transformers, architecture))
    modules(folder)


def xlm_roberta(folder):
    """Write a model with a tokenizer of the SentencePiece kind."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    size = save_pieces_tokenizer(folder, "XLMRobertaTokenizer", "<s> $A </s>", special, 3)
    config = transformers.XLMRobertaConfig(vocab_size=size, pad_token_id=1, **SIZES)
    save_model(folder, config, transformers.XLMRobertaModel)
    modules(folder)


def t5(folder, model="T5EncoderModel", config_class="T5Config"):
    """Write T5, its encoder alone or in full."""
    special = ["<pad>", "</s>", "<unk>"]
    size = save_pieces_tokenizer(
        folder, "T5Tokenizer", "$A </s>", special, 2, extra_ids=0, additional_special_tokens=[]
    )
    config = getattr(transformers, config_class)(vocab_size=size, **T5_SIZES)
    save_model(folder, config, getattr(transformers, model))
    modules(folder)


def bart(folder):
    """Write BART in full."""
    roberta(folder, "BartTokenizer", "Bart", **BART_SIZES)


def causal(folder):
    """Write a causal model without modules.json, whose vector is that of the last token."""
    roberta(folder, "PreTrainedTokenizerFast", "GPT2", n_embd=16, n_layer=2, n_head=2)
    (folder / "modules.json").unlink()
    change(folder, "config.json", architectures=["GPT2ForCausalLM"])
    change(folder, TOKENIZER, pad_token="<pad>")


def change(folder, file, **changes):
    """Change keys of a JSON file; None removes the key."""
    path = folder / file
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **changes}))


def changed(make, file, **changes):
    """Return a function that makes a folder and changes a file of it."""

    def function(folder):
        make(folder)
        change(folder, file, **changes)

    return function


def without(make, file):
    """Return a function that makes a folder and removes a file of it."""

    def function(folder):
        make(folder)
        (folder / file).unlink()

    return function


def with_module(kind, config=None, position=None):
    """Return a function that makes a folder with one more module."""

    def function(folder):
        bert(folder)
        path = folder / "modules.json"
        entries = json.loads(path.read_text())
        entry = {"idx": 9, "name": "9", "path": "9_More", "type": kind}
        entries.insert(len(entries) if position is None else position, entry)
        path.write_text(json.dumps(entries))
        (folder / "9_More").mkdir()
        (folder / "9_More" / "config.json").write_text(json.dumps(config or {}))

    return function


def dense(**settings):
    """Return a function that makes a folder with a dense layer."""

    def function(folder):
        bert(folder)
        settings_of_layer = {"in_features": 16, "out_features": 6, "bias": True, **settings}
        add_modules(folder, dense=settings_of_layer)

    return function


TOKENIZER, MODEL = "tokenizer_config.json", "config_sentence_transformers.json"
TEXT = "sentence_bert_config.json"
FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}
EXTRA = {"7": {"content": "[SPECIAL]", "special": True, "normalized": False}}
CASES = {
    "BERT": bert,
    "DistilBERT": lambda f: bert(
        f, "DistilBertTokenizer", "DistilBert", dim=16, n_layers=2, n_heads=2, hidden_dim=24
    ),
    "Electra": lambda f: bert(f, "ElectraTokenizer", "Electra", embedding_size=16, **SIZES),
    "MPNet": lambda f: bert(f, "BertTokenizer", "MPNet", **SIZES),
    "ModernBERT": lambda f: bert(f, "PreTrainedTokenizerFast", "ModernBert", **SIZES),
    "RoBERTa": roberta,
    "XLM-RoBERTa": xlm_roberta,
    "T5, encoder": t5,
    "T5, in full": lambda f: t5(f, "T5ForConditionalGeneration"),
    "mT5, encoder": lambda f: t5(f, "MT5EncoderModel", "MT5Config"),
    "BART, in full": bart,
    "GPT-2, causal, no modules.json": causal,
    "BERT, no modules.json": without(bert, "modules.json"),
    "tokenizer: do_lower_case false": changed(bert, TOKENIZER, do_lower_case=False),
    "tokenizer: strip_accents true": changed(bert, TOKENIZER, strip_accents=True),
    "tokenizer: strip_accents false": changed(bert, TOKENIZER, strip_accents=False),
    "tokenizer: tokenize_chinese_chars false": changed(
        bert, TOKENIZER, tokenize_chinese_chars=False
    ),
    "tokenizer: class PreTrainedTokenizerFast, do_lower_case false": changed(
        bert, TOKENIZER, do_lower_case=False, tokenizer_class="PreTrainedTokenizerFast"
    ),
    "tokenizer: cls_token [MASK]": changed(bert, TOKENIZER, cls_token="[MASK]"),
    "tokenizer: unk_token a": changed(bert, TOKENIZER, unk_token="a"),
    "tokenizer: additional_special_tokens": changed(
        bert, TOKENIZER, additional_special_tokens=["cat"]
    ),
    "tokenizer: added_tokens_decoder": changed(
        bert,
        TOKENIZER,
        added_tokens_decoder={
            str(i): {"content": token, "special": True, "normalized": False}
            for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat"])
        },
    ),
    "tokenizer: no tokenizer_config.json": without(bert, TOKENIZER),
    "tokenizer: add_prefix_space true (RoBERTa)": changed(
        roberta, TOKENIZER, add_prefix_space=True
    ),
    "tokenizer: add_prefix_space false (XLM-RoBERTa)": changed(
        xlm_roberta, TOKENIZER, add_prefix_space=False
    ),
    "tokenizer: truncation_side left": changed(bert, TOKENIZER, truncation_side="left"),
    "tokenizer: split_special_tokens true": changed(bert, TOKENIZER, split_special_tokens=True),
    "tokenizer: padding_side left": changed(bert, TOKENIZER, padding_side="left"),
    "tokenizer: model_max_length 10": changed(bert, TOKENIZER, model_max_length=10),
    "texts: max_seq_length 10": changed(bert, TEXT, max_seq_length=10),
    "texts: max_seq_length 60 beyond the positions (ModernBERT)": changed(
        lambda f: bert(
            f, "PreTrainedTokenizerFast", "ModernBert", **{**SIZES, "max_position_embeddings": 20}
        ),
        TEXT,
        max_seq_length=60,
    ),
    "texts: do_lower_case true (RoBERTa)": changed(roberta, TEXT, do_lower_case=True),
    "texts: tokenizer_args model_max_length 9": changed(
        bert, TEXT, tokenizer_args={"model_max_length": 9}
    ),
    "texts: tokenizer_args do_lower_case false": changed(
        bert, TEXT, tokenizer_args={"do_lower_case": False}
    ),
    "texts: processing_kwargs max_length 6": changed(
        bert, TEXT, processing_kwargs={"text": {"max_length": 6}}
    ),
    "texts: config_args num_hidden_layers 1": changed(
        bert, TEXT, config_args={"num_hidden_layers": 1}
    ),
    "texts: model_args attn_implementation eager": changed(
        bert, TEXT, model_args={"attn_implementation": "eager"}
    ),
    "texts: modality_config, the usual one": changed(
        bert, TEXT, modality_config={"text": FORWARD}, module_output_name="token_embeddings"
    ),
    "texts: modality_config, hidden_states": changed(
        bert,
        TEXT,
        modality_config={"text": {**FORWARD, "method_output_name": ["hidden_states", 1]}},
        module_output_name="token_embeddings",
    ),
    "model: truncate_dim 5": changed(bert, MODEL, truncate_dim=5),
    "model: a prompt of null": changed(
        bert, MODEL, prompts={"query": None}, default_prompt_name="query"
    ),
    "model: a default prompt": changed(
        bert, MODEL, prompts={"query": "query: "}, default_prompt_name="query"
    ),
    "model: an unknown key": changed(bert, MODEL, query_prefix="query: "),
    "config: return_dict false": changed(bert, "config.json", return_dict=False),
    "config: is_decoder true": changed(bert, "config.json", is_decoder=True),
    "modules: pooling of cls and max": changed(
        bert, "1_Pooling/config.json", pooling_mode_cls_token=True, pooling_mode_max_tokens=True
    ),
    "modules: pooling without config.json": without(bert, "1_Pooling/config.json"),
    "modules: pooling, unknown key": changed(bert, "1_Pooling/config.json", scale=2),
    "modules: Dense": dense(),
    "modules: Dense with GELU": dense(activation_function="torch.nn.modules.activation.GELU"),
    "modules: Dense with Softmax": dense(activation_function="torch.nn.modules.activation.Softmax"),
    "modules: Dense, another output": dense(module_output_name="token_embeddings"),
    "modules: Dropout": with_module(f"{MODULES}.Dropout", {"dropout": 0.5}),
    "modules: LayerNorm": with_module(f"{MODULES}.LayerNorm", {"dimension": 16}),
    "modules: CNN": with_module(f"{MODULES}.CNN", position=1),
    "modules: foreign code": with_module("my_code.Pooling"),
}


# -- comparing -------------------------------------------------------------------------------------


def reference(folder):
    """Return Sentence Transformers' vectors, or its error."""
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return model.encode(TEXTS, show_progress_bar=False, batch_size=1)
    except Exception as error:
        return f"{type(error).__name__}"


def compared(make, folder):
    """Return what skembed does with a folder, beside Sentence Transformers."""
    make(folder)
    expected = reference(folder)
    try:
        vectors = BertEmbedder(folder, backend="torch", cache=None).fit_transform(TEXTS)
    except Exception as error:
        text = str(error).replace(str(folder), "<folder>").replace("\n", " ")
        outcome = f"{type(error).__name__}: {text}"
    else:
        if isinstance(expected, str):
            outcome = "vectors"
        elif vectors.shape != expected.shape:
            outcome = f"shape {vectors.shape}, not {expected.shape}"
        else:
            outcome = f"{np.abs(vectors - expected).max():.1e}"
    return outcome, expected if isinstance(expected, str) else "vectors"


def main():
    """Print the table."""
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    asked = sys.argv[1:]
    print("| folder | largest difference, or refusal | Sentence Transformers |\n|---|---|---|")
    for name, make in CASES.items():
        if asked and not any(part in name for part in asked):
            continue
        place = Path(tempfile.mkdtemp())
        try:
            outcome, expected = compared(make, place / "model")
        finally:
            shutil.rmtree(place)
        print(f"| {name} | {outcome} | {expected} |", flush=True)


if __name__ == "__main__":
    main()
