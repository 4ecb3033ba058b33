"""Which tokenizers transformers (5.23) builds anew, by the family of the model. Imports nothing."""

# Families of config.json whose tokenizer is built anew -> how, where the class is not stated.
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
    # Built from tokenizer.json by rules that are not written here: settings must agree with it.
    **dict.fromkeys(
        "albert big_bird camembert deberta deberta-v2 funnel gemma gemma2 gemma3_text gpt_neox "
        "mbart nllb-moe pegasus qwen2 qwen2_moe qwen3 qwen3_moe rembert roformer xglm "
        "xlnet".split(),
        "other",
    ),
}
# What those classes build.
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
# The special tokens of a family, where tokenizer_config.json does not state them.
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
# Families whose tokenizer is of their own class, whatever class is stated.
OWN_CLASS = {"qwen2": "Qwen2"}
