"""Families of models whose tokenizer transformers (5.23) rebuilds. Imports nothing."""

# model_type whose tokenizer is rebuilt -> how, if the class of the tokenizer is not stated.
FAMILIES = {
    "bert": "bert",
    "convbert": "bert",
    "distilbert": "bert",
    "electra": "bert",
    "ernie": "bert",
    "layoutlm": "bert",
    "lxmert": "bert",
    "mobilebert": "bert",
    "squeezebert": "bert",
    "mpnet": "mpnet",
    "bart": "roberta",
    "data2vec-text": "roberta",
    "ibert": "roberta",
    "led": "roberta",
    "longformer": "roberta",
    "roberta": "roberta",
    "roberta-prelayernorm": "roberta",
    "gpt2": "gpt2",
    "gpt_neo": "gpt2",
    "gptj": "gpt2",
    "opt": "gpt2",
    "gte": "xlm-roberta",
    "xlm-roberta": "xlm-roberta",
    "xmod": "xlm-roberta",
    "mt5": "t5",
    "switch_transformers": "t5",
    "t5": "t5",
    # skembed does not implement the rules of these families; their settings must agree with
    # tokenizer.json.
    **dict.fromkeys(
        "albert big_bird camembert deberta deberta-v2 funnel gemma gemma2 gemma3_text gpt_neox "
        "mbart nllb-moe pegasus qwen2 qwen2_moe qwen3 qwen3_moe rembert roformer xglm "
        "xlnet".split(),
        "other",
    ),
}
# Class of a tokenizer of these families -> type of its model.
_OTHER_KINDS = {
    **dict.fromkeys("Funnel RoFormer".split(), "WordPiece"),
    **dict.fromkeys("CLIP Deberta Gemma GPTNeoX Llama Nllb Qwen2".split(), "BPE"),
    **dict.fromkeys(
        "Albert BigBird Camembert DebertaV2 MBart Pegasus RemBert XGLM XLNet".split(), "Unigram"
    ),
}
CLASSES = {
    **dict.fromkeys(
        "Bert DistilBert Electra Lxmert MobileBert LayoutLM SqueezeBert ConvBert".split(), "bert"
    ),
    "MPNet": "mpnet",
    **dict.fromkeys("Roberta Bart Longformer LED".split(), "roberta"),
    "GPT2": "gpt2",
    "XLMRoberta": "xlm-roberta",
    "T5": "t5",
    **dict.fromkeys(_OTHER_KINDS, "other"),
}
# Special tokens of a family, if tokenizer_config.json does not state them.
NAMED = tuple(f"{name}_token" for name in "bos eos unk sep pad cls mask".split())
_ROBERTA_TOKENS = ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>")
TOKENS = {
    "bert": dict(zip(NAMED[2:], ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"), strict=True)),
    "roberta": dict(zip(NAMED, _ROBERTA_TOKENS, strict=True)),
    "xlm-roberta": dict(zip(NAMED, _ROBERTA_TOKENS, strict=True)),
    "mpnet": dict(zip(NAMED, _ROBERTA_TOKENS, strict=True)) | {"unk_token": "[UNK]"},
    "gpt2": dict.fromkeys(NAMED[:3], "<|endoftext|>"),
    "t5": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
}
KINDS = {
    **dict.fromkeys(("bert", "mpnet"), "WordPiece"),
    **dict.fromkeys(("roberta", "gpt2"), "BPE"),
    **dict.fromkeys(("xlm-roberta", "t5"), "Unigram"),
}
CLASS_KINDS = {name: KINDS.get(family) for name, family in CLASSES.items()} | _OTHER_KINDS
# Families whose tokenizer always has this class.
OWN_CLASS = {"qwen2": "Qwen2"}
