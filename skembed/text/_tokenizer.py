"""Build the tokenizer of a model's folder as transformers (5.23) does.

For some families, transformers loads tokenizer.json unchanged. For others, it uses only the
vocabulary of this file and builds the rest from tokenizer_config.json. It always adds special
tokens. `changes_of` returns the resulting changes of tokenizer.json as text, for fingerprints.
`load_tokenizer` applies them.
"""

import json
from functools import lru_cache

from skembed.base._digest import file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._files import read_json
from skembed.text._tokenizer_families import (
    CLASS_KINDS,
    CLASSES,
    FAMILIES,
    KINDS,
    NAMED,
    OWN_CLASS,
    TOKENS,
)

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def tokenizer_settings(folder, place, arguments):
    """Return the content of ``tokenizer_config.json``, completed by other files.

    Parameters
    ----------
    folder : ModelFolder
        The model's folder.
    place : pathlib.Path
        The folder of ``tokenizer.json``.
    arguments : dict
        Arguments that Sentence Transformers passes to the tokenizer; they take precedence.

    Raises
    ------
    ModelFormatError
        If a setting is not supported; the message states file and key.
    """
    file = folder.backbone_path / "tokenizer_config.json"
    settings = read_json(file, {}) | arguments
    if "added_tokens_decoder" not in settings:
        settings = settings | read_json(place / "special_tokens_map.json", {})
    for key, usual in (("truncation_side", "right"), ("split_special_tokens", False)):
        value = settings.get(key)
        if value not in (None, usual):
            raise ModelFormatError(f"{file}: {key}={value!r} is not supported; {usual!r} is.")
    return settings


def changes_of(path, settings, config):
    """Return the changes of transformers in a ``tokenizer.json``, as JSON; "" if there are none.

    Parameters
    ----------
    path : pathlib.Path
        Path of ``tokenizer.json``.
    settings : dict
        The result of `tokenizer_settings`.
    config : dict
        Content of the backbone's ``config.json``; empty for an .onnx file without one.
    """
    if not config:
        return ""
    # Cached, because a search calls this in each `fit`, and a tokenizer.json is large.
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    legacy = read_json(path.with_name("added_tokens.json"), {})
    stated = json.dumps([settings, legacy, config.get("model_type"), name])
    return _changes(path, file_sha256(path), stated)


@lru_cache(maxsize=32)
def _changes(path, sha256, stated):
    """Return `changes_of` a file with this digest; `stated` is the content of other files."""
    settings, legacy, model_type, name = json.loads(stated)
    content = read_json(path)
    family = FAMILIES.get(model_type)
    short = str(name).removesuffix("Fast").removesuffix("Tokenizer")
    if family and name:
        family = CLASSES.get(short)
    try:
        if family and name and OWN_CLASS.get(model_type, short) == short:
            file = "tokenizer_config.json" if settings.get("tokenizer_class") else "config.json"
            _check_kind(path.with_name(file), name, CLASS_KINDS[short], _kind(content["model"]))
        if family == "other":
            _check_agreement(path.with_name("tokenizer_config.json"), settings, content)
            family = None
        if family and _kind(content["model"]) != KINDS[family]:
            family = None  # no class is stated, so the file takes precedence over the family
        tokens = TOKENS.get(family, {}) | {
            key: value for key, value in settings.items() if key in NAMED
        }
        added = _added_tokens(content, settings, tokens, legacy, rebuilt=family is not None)
        changes = _SECTIONS[family](content, settings, tokens) if family else {}
    except ModelFormatError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFormatError(
            f"{path}: the settings in tokenizer_config.json do not fit it ({error!r})."
        ) from error
    if added is not None:
        changes["added_tokens"] = added
    return json.dumps(changes, sort_keys=True) if changes else ""


def load_tokenizer(path, changes):
    """Return the `tokenizers.Tokenizer` of a file with the changes of `changes_of`."""
    from tokenizers import AddedToken, Tokenizer

    if not changes:
        return Tokenizer.from_file(str(path))
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    changes = json.loads(changes)
    added = changes.pop("added_tokens", {"kept": True, "new": []})
    content["model"] |= changes.pop("model", {})
    if changes.get("normalizer") == "precompiled":
        changes["normalizer"] = _precompiled(content)
    content |= changes
    if not added["kept"]:
        content["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_tokens([AddedToken(**token) for token in added["new"]])
    return tokenizer


def _kind(model):
    """Return the type of a tokenizer's model; older files do not state it."""
    usual = "Unigram" if isinstance(model["vocab"], list) else "WordPiece"
    return model.get("type") or ("BPE" if "merges" in model else usual)


def _check_kind(file, name, expected, found):
    """Raise a ModelFormatError if a class builds another type of model than tokenizer.json has.

    transformers would use the vocabulary with the model of the class, which splits texts in another
    way.
    """
    if found != expected and found in ("BPE", "Unigram", "WordPiece"):
        raise ModelFormatError(
            f"{file}: tokenizer_class={name!r} builds a tokenizer of the kind {expected}, but "
            f"tokenizer.json contains one of the kind {found}. If tokenizer.json is right, set "
            "tokenizer_class to 'PreTrainedTokenizerFast'."
        )


# -- added tokens ----------------------------------------------------------------------------------


def _token(token, special=False):
    """Return a token with all its flags."""
    if isinstance(token, str):
        token = {"content": token, "special": special}
    special = bool(token.get("special", special))
    flags = {flag: bool(token.get(flag, False)) for flag in _FLAGS}
    flags |= {"special": special, "normalized": bool(token.get("normalized", not special))}
    return {"content": token["content"], **flags}


def _added_tokens(content, settings, named, legacy, *, rebuilt):
    """Return the tokens to add and whether those of the file are kept; None without changes."""
    own = {token["id"]: _token(token) for token in content.get("added_tokens") or []}
    if "added_tokens_decoder" in settings:
        stated = {int(i): _token(t) for i, t in settings["added_tokens_decoder"].items()}
    else:
        stated = {number: _token(text) for text, number in legacy.items()} | own
    kept = [] if rebuilt else list(own.values())
    new = [token for _, token in sorted(stated.items()) if token not in kept]
    known = {token["content"] for token in [*kept, *new]}
    for token in _special_tokens(settings, named):
        if token["content"] not in known:
            new.append(token)
            known.add(token["content"])
    unchanged = new == [own[number] for number in sorted(own)] if rebuilt else not new
    if unchanged:
        return None
    return {"kept": not rebuilt, "new": new}


def _special_tokens(settings, named):
    """Return the special tokens of the settings, in the order in which they are added."""
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    others = {
        key: value
        for key, value in settings.items()
        if key.endswith("_token") and key not in NAMED and isinstance(value, (str, dict))
    }
    values = [named.get(key) for key in NAMED] + list(others.values())
    values += extra.values() if isinstance(extra, dict) else extra
    return [_token(value, special=True) for value in values if value]


# -- sections that are built from settings ---------------------------------------------------------


def _text_of(token):
    return token if isinstance(token, str) else token["content"]


def _ids(content):
    """Return the ids of a file's tokens."""
    vocab = content["model"]["vocab"]
    if isinstance(vocab, list):
        vocab = {piece[0]: number for number, piece in enumerate(vocab)}
    return vocab | {t["content"]: t["id"] for t in content.get("added_tokens") or []}


def _framed(content, before, after):
    """Return the section that adds special tokens around a text; {} if the file has the same."""
    ids = _ids(content)
    names = [token for token in (before, after) if token]
    parts = [{"SpecialToken": {"id": token, "type_id": 0}} for token in (before, after) if token]
    parts.insert(1 if before else 0, {"Sequence": {"id": "A", "type_id": 0}})
    if _frame(content.get("post_processor")) == [ids.get(name) for name in (before, after)]:
        return {}
    special = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in names}
    section = {
        "type": "TemplateProcessing",
        "single": parts,
        "pair": [*parts, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": special,
    }
    return {"post_processor": section}


def _frame(section):
    """Return the ids of the special tokens before and after a text; None for other templates."""
    if not section:
        return None
    if section["type"] in ("BertProcessing", "RobertaProcessing"):
        return [section["cls"][1], section["sep"][1]]
    if section["type"] != "TemplateProcessing":
        return None
    frame, place = [None, None], 0
    for part in section["single"]:
        if "Sequence" in part:
            place = 1
        elif frame[place] is not None:
            return None
        else:
            (frame[place],) = section["special_tokens"][part["SpecialToken"]["id"]]["ids"]
    return frame


def _section(content, name, section):
    """Return a section by its name; {} if the file has the same."""
    return {} if content.get(name) == section else {name: section}


def _word_pieces(content, settings, tokens):
    """Return the changes of BertTokenizer and MPNetTokenizer."""
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": bool(settings.get("tokenize_chinese_chars", True)),
        "strip_accents": settings.get("strip_accents"),
        "lowercase": bool(settings.get("do_lower_case", True)),
    }
    expected = {
        "unk_token": _text_of(tokens["unk_token"]),
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    model = {key: value for key, value in expected.items() if content["model"].get(key) != value}
    return {
        **_section(content, "normalizer", normalizer),
        **_section(content, "pre_tokenizer", {"type": "BertPreTokenizer"}),
        **_framed(content, _text_of(tokens["cls_token"]), _text_of(tokens["sep_token"])),
        **({"model": model} if model else {}),
    }


def _bytes(content, settings, tokens):
    """Return the changes of GPT2Tokenizer, which keeps the special tokens of the file."""
    before = bool(settings.get("add_prefix_space", False))
    found = content.get("pre_tokenizer") or {}
    same = found.get("type") == "ByteLevel" and found.get("add_prefix_space") is before
    expected = {
        "type": "ByteLevel",
        "add_prefix_space": before,
        "trim_offsets": bool(found.get("trim_offsets", True)),
        "use_regex": True,
    }
    same = same and found.get("use_regex", True)
    return {
        **_section(content, "normalizer", None),
        **({} if same else {"pre_tokenizer": expected}),
    }


def _roberta(content, settings, tokens):
    changes = _bytes(content, settings, tokens)
    return changes | _framed(content, _text_of(tokens["cls_token"]), _text_of(tokens["sep_token"]))


def _pieces(content, settings, before, after, unk_id):
    """Return the changes that all tokenizers of SentencePiece have in common."""
    # "precompiled" refers to the normalizer in the file, which is too large for a fingerprint.
    precompiled = _precompiled(content)
    same = content.get("normalizer") == precompiled
    changes = {} if same else {"normalizer": "precompiled" if precompiled else None}
    scheme = "always" if settings.get("add_prefix_space", True) else "never"
    if _metaspace(content.get("pre_tokenizer")) != scheme:
        space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}
        steps = [{"type": "WhitespaceSplit"}, space]
        changes["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    if content["model"].get("unk_id") != unk_id:
        changes["model"] = {"unk_id": unk_id}
    return changes | _framed(content, before, after)


def _xlm_roberta(content, settings, tokens):
    before, after = _text_of(tokens["bos_token"]), _text_of(tokens["eos_token"])
    return _pieces(content, settings, before, after, unk_id=3)


def _t5(content, settings, tokens):
    return _pieces(content, {}, None, "</s>", unk_id=2)


_SECTIONS = {
    "bert": _word_pieces,
    "mpnet": _word_pieces,
    "roberta": _roberta,
    "gpt2": _bytes,
    "xlm-roberta": _xlm_roberta,
    "t5": _t5,
}


def _steps(section):
    """Return the steps of a normalizer or pre-tokenizer as a flat list."""
    if not section:
        return []
    parts = section.get("normalizers", section.get("pretokenizers"))
    return [section] if parts is None else [step for part in parts for step in _steps(part)]


def _precompiled(content):
    steps = _steps(content.get("normalizer"))
    return next((step for step in steps if step["type"] == "Precompiled"), None)


def _metaspace(section):
    """Return how a pre-tokenizer of SentencePiece marks the start of a text; None for others."""
    steps = _steps(section)
    if [step["type"] for step in steps] != ["WhitespaceSplit", "Metaspace"]:
        return None
    usual = "always" if steps[1].get("add_prefix_space", True) else "never"
    return steps[1].get("prepend_scheme", usual)


def _check_agreement(file, settings, content):
    """Raise a ModelFormatError if settings contradict a tokenizer.json that is used unchanged."""
    normalizers = _steps(content.get("normalizer"))
    splitters = _steps(content.get("pre_tokenizer"))
    found = {
        "do_lower_case": any(s["type"] == "Lowercase" or s.get("lowercase") for s in normalizers),
        "keep_accents": all(s["type"] != "StripAccents" for s in normalizers),
        "add_prefix_space": any(
            s.get("add_prefix_space") or s.get("prepend_scheme", "never") != "never"
            for s in splitters
        )
        or any(s["type"] == "Prepend" for s in normalizers),
    }
    for key, value in found.items():
        stated = settings.get(key)
        if stated is not None and bool(stated) is not value:
            raise ModelFormatError(
                f"{file}: {key}={stated!r} does not agree with tokenizer.json. Save both again "
                "with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
