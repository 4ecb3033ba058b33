"""The tokenizer of a folder's settings, against the one that transformers builds.

This runs the entries of `text/_tokenizer_families`, which are tables.
"""

import json

import pytest
import transformers
from tiny import change_json, save_bytes_tokenizer, save_pieces_tokenizer, save_tiny_tokenizer
from tokenizers import Tokenizer

from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder
from skembed.text._tokenizer import changes_of, load_tokenizer, tokenizer_settings
from skembed.text._tokenizer_families import CLASS_KINDS

TEXTS = [
    "The CAT sat on a mat.",
    "  a dog  ran over   the hill ",
    "naïve CAFÉ été — ÀÉ",
    "中文 cat 日本",
    "what is a [MASK] or a <mask>?",
    "[NEW]cat <extra>dog [CLS] </s>",
    "",
    " ",
    "x\ny\tz",
]
NEW = {"content": "[NEW]", "lstrip": True, "normalized": False, "special": True}


def wordpieces(folder, family="bert", name="BertTokenizer"):
    save_tiny_tokenizer(folder)
    change_json(folder / "tokenizer_config.json", tokenizer_class=name)
    change_json(folder / "config.json", model_type=family)


def mpnet(folder):
    wordpieces(folder, "mpnet", "MPNetTokenizer")
    change_json(folder / "tokenizer_config.json", cls_token="[CLS]", sep_token="[SEP]")


def bytes_of(family, name):
    def save(folder):
        save_bytes_tokenizer(folder, name)
        change_json(folder / "config.json", model_type=family)

    return save


def xlm_roberta(folder):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    save_pieces_tokenizer(folder, "XLMRobertaTokenizer", "<s> $A </s>", special, 3)
    change_json(folder / "config.json", model_type="xlm-roberta")


def t5(folder):
    more = {"extra_ids": 0, "additional_special_tokens": []}
    save_pieces_tokenizer(folder, "T5Tokenizer", "$A </s>", ["<pad>", "</s>", "<unk>"], 2, **more)
    change_json(folder / "config.json", model_type="t5")


FAMILIES = {
    "bert": wordpieces,
    "distilbert": lambda folder: wordpieces(folder, "distilbert", "DistilBertTokenizer"),
    "mpnet": mpnet,
    "as it stands": lambda folder: wordpieces(folder, "bert", "PreTrainedTokenizerFast"),
    "modernbert": lambda folder: wordpieces(folder, "modernbert", "PreTrainedTokenizerFast"),
    "roberta": bytes_of("roberta", "RobertaTokenizer"),
    "bart": bytes_of("bart", "BartTokenizer"),
    "gpt2": bytes_of("gpt2", "GPT2Tokenizer"),
    "xlm-roberta": xlm_roberta,
    "t5": t5,
}


def built(folder):
    files = ModelFolder(folder)
    path = folder / "tokenizer.json"
    changes = changes_of(path, tokenizer_settings(files, folder, {}), files.config)
    tokenizer = load_tokenizer(path, changes)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, changes


def assert_same_ids(folder):
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer, changes = built(folder)
    for text in TEXTS:
        assert tokenizer.encode(text).ids == reference(text)["input_ids"], text
    return changes


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": True},
        {"strip_accents": False},
        {"strip_accents": None},
        {"tokenize_chinese_chars": False},
        {"add_prefix_space": True},
        {"add_prefix_space": False},
        {"cls_token": "[MASK]"},
        {"unk_token": "x"},
        {"padding_side": "left"},
        {"additional_special_tokens": ["cat"]},
        {"extra_special_tokens": ["[NEW]"]},
        {"extra_special_tokens": {"image_token": "[NEW]"}},
        {"image_token": "[NEW]"},
        {"bos_token": {"__type": "AddedToken", **NEW}},
        {"clean_up_tokenization_spaces": True, "never_split": None, "chat_template": "x"},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_setting_against_transformers(tmp_path, family, settings):
    """Honored where transformers honors it, left alone where it does not."""
    FAMILIES[family](tmp_path)
    known = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab()
    if any(settings.get(key) not in (None, *known) for key in ("cls_token", "unk_token")):
        pytest.skip("the family has no such token")
    change_json(tmp_path / "tokenizer_config.json", **settings)
    if family == "xlm-roberta" and "bos_token" in settings:  # put before texts, but new
        with pytest.raises(ModelFormatError, match=r"do not fit it"):
            built(tmp_path)
        return
    assert_same_ids(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_stated_tokens_against_transformers(tmp_path, family):
    """`added_tokens_decoder` with other flags, and with a new token."""
    FAMILIES[family](tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    stated = {
        str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in content["added_tokens"]
    }
    stated["4"] = {**stated.get("4", {"content": "<more>"}), "lstrip": True, "rstrip": True}
    change_json(tmp_path / "tokenizer_config.json", added_tokens_decoder={**stated, "900": NEW})
    assert_same_ids(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("file", ["special_tokens_map.json", "added_tokens.json"])
def test_older_files_against_transformers(tmp_path, family, file):
    """They hold tokens where tokenizer_config.json has no `added_tokens_decoder`."""
    FAMILIES[family](tmp_path)
    change_json(
        tmp_path / file,
        **({"[NEW]": 900} if file == "added_tokens.json" else {"mask_token": "[NEW]"}),
    )
    assert_same_ids(tmp_path)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "mpnet"])
def test_no_settings_against_transformers(tmp_path, family):
    """The family alone says how its tokenizer is built (MPNet's has tokens that are not here)."""
    FAMILIES[family](tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    assert_same_ids(tmp_path)


def test_a_family_that_does_not_fit_the_file_is_not_believed(tmp_path):
    """As some published folders have it; they state no class, or that of the file itself."""
    xlm_roberta(tmp_path)
    content = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del content["tokenizer_class"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(content))
    change_json(tmp_path / "config.json", model_type="bert")
    own = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert built(tmp_path)[0].encode("the cat").ids == own.encode("the cat").ids
    change_json(tmp_path / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    assert_same_ids(tmp_path)
    assert built(tmp_path)[0].encode("the cat").ids == own.encode("the cat").ids


MODEL_TYPES = {"BigBird": "big_bird", "DebertaV2": "deberta-v2", "GPTNeoX": "gpt_neox"}
MODEL_TYPES |= {"Nllb": "nllb-moe", "MPNet": "mpnet", "XLMRoberta": "xlm-roberta", "Llama": "bert"}
MODEL_TYPES |= {"CLIP": "bert", "LED": "led", "LayoutLM": "layoutlm"}
FILES = {"WordPiece": wordpieces, "BPE": bytes_of("x", "x"), "Unigram": xlm_roberta}


def folder_of(folder, name, kind):
    FILES[kind](folder)
    change_json(folder / "tokenizer_config.json", tokenizer_class=f"{name}Tokenizer")
    change_json(folder / "config.json", model_type=MODEL_TYPES.get(name, name.lower()))


@pytest.mark.parametrize(("name", "kind"), CLASS_KINDS.items())
def test_a_class_of_the_files_kind_is_not_refused_for_it(tmp_path, name, kind):
    folder_of(tmp_path, name, kind)
    try:
        built(tmp_path)
    except ModelFormatError as error:  # of special tokens that the tiny file lacks
        assert "of the kind" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "kind"), [(n, k) for n, own in CLASS_KINDS.items() for k in FILES if k != own]
)
def test_a_class_of_another_kind_than_the_file_is_refused(tmp_path, name, kind):
    """transformers gives other ids for it, or fails."""
    folder_of(tmp_path, name, kind)
    message = f"tokenizer_class='{name}Tokenizer' builds a tokenizer of the kind"
    message = f"tokenizer_config.json: {message} {CLASS_KINDS[name]}"
    with pytest.raises(ModelFormatError, match=message):
        built(tmp_path)
    own = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    own.no_padding()
    own.no_truncation()
    assert ids_of_transformers(tmp_path) != [own.encode(text).ids for text in TEXTS]


def ids_of_transformers(folder):
    """Return the ids of all texts; None where transformers fails."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return [tokenizer(text)["input_ids"] for text in TEXTS]
    except Exception:
        return None


def test_a_class_of_another_kind_in_config_json(tmp_path):
    xlm_roberta(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    change_json(tmp_path / "config.json", tokenizer_class="BertTokenizerFast")
    message = r"[/\\]config.json: tokenizer_class='BertTokenizerFast' builds .* kind WordPiece"
    with pytest.raises(ModelFormatError, match=message):
        built(tmp_path)


def test_a_stated_class_that_transformers_ignores_is_not_judged(tmp_path):
    bytes_of("qwen2", "BertTokenizer")(tmp_path)
    built(tmp_path)
    assert type(transformers.AutoTokenizer.from_pretrained(tmp_path)).__name__ == "Qwen2Tokenizer"


def test_usual_folders_change_nothing(tmp_path):
    """So that the file is loaded as it stands, and fingerprints do not grow."""
    for family in ("as it stands", "modernbert", "t5"):
        folder = tmp_path / family
        folder.mkdir()
        FAMILIES[family](folder)
        if family == "t5":  # the tiny one normalizes, and transformers drops that
            continue
        assert built(folder)[1] == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"truncation_side": "left"}, "truncation_side='left' is not supported"),
        ({"split_special_tokens": True}, "split_special_tokens=True is not supported"),
    ],
)
def test_settings_that_are_not_supported(tmp_path, settings, message):
    """By file and key."""
    wordpieces(tmp_path)
    change_json(tmp_path / "tokenizer_config.json", **settings)
    with pytest.raises(ModelFormatError, match=rf"tokenizer_config.json: {message}"):
        built(tmp_path)


@pytest.mark.parametrize(
    "settings", [{"do_lower_case": False}, {"add_prefix_space": True}, {"keep_accents": False}]
)
def test_settings_of_other_families_must_agree_with_the_tokenizer(tmp_path, settings):
    """transformers builds them by rules that are not written here."""
    wordpieces(tmp_path, "funnel", "FunnelTokenizer")
    assert built(tmp_path)[1] == ""
    change_json(tmp_path / "tokenizer_config.json", **settings)
    with pytest.raises(ModelFormatError, match=rf"{next(iter(settings))}=.* does not agree with"):
        built(tmp_path)


def test_settings_that_do_not_fit_the_tokenizer(tmp_path):
    """A clear error, no raw one."""
    wordpieces(tmp_path)
    change_json(tmp_path / "tokenizer_config.json", cls_token="not there")
    change_json(tmp_path / "tokenizer_config.json", added_tokens_decoder={"1": 3})
    with pytest.raises(ModelFormatError, match=r"tokenizer_config\.json do not fit it"):
        built(tmp_path)
