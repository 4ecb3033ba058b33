"""What Sentence Transformers saved in a folder: honored, or refused by file and key."""

import json

import pytest
from tiny import add_modules, change_json

from skembed.base._digest import file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder
from skembed.models._sentence import Modules

DENSE = {"in_features": 16, "out_features": 4}


# -- modules -------------------------------------------------------------------------------------


def modules_of(folder):
    return ModelFolder(folder).modules


def test_a_folder_without_modules_says_nothing_of_pooling(tiny_bert):
    """And does not normalize."""
    assert modules_of(tiny_bert) == Modules(pooling=None, normalize=False)


def test_modules_are_read_as_published(folder):
    """Pooling, dense layer, normalizing, prompts."""
    dense = {
        "in_features": 16,
        "out_features": 4,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    add_modules(
        folder,
        pooling={"pooling_mode_cls_token": True, "include_prompt": False},
        dense=dense,
        normalize=True,
        prompts={"query": "query: "},
        default="query",
    )
    modules = modules_of(folder)
    assert modules.pooling == ("cls",)
    assert modules.include_prompt is False
    assert modules.normalize is True
    assert (modules.prompts, modules.default_prompt) == ({"query": "query: "}, "query")
    (layer,) = modules.dense
    assert (layer.activation, layer.residual, layer.out_features) == ("Tanh", False, 4)
    assert layer.sha256 == file_sha256(folder / "2_Dense" / "model.safetensors")


@pytest.mark.parametrize(
    ("config", "poolings"),
    [
        ({"pooling_mode_mean_tokens": True}, ("mean",)),
        ({"pooling_mode_cls_token": True}, ("cls",)),
        ({"pooling_mode_max_tokens": True}, ("max",)),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ("mean_sqrt_len",)),
        ({"pooling_mode_weightedmean_tokens": True}, ("weighted_mean",)),
        ({"pooling_mode_lasttoken": True}, ("last",)),
        (
            {
                "pooling_mode_lasttoken": True,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
                "pooling_mode_cls_token": True,
            },
            ("cls", "mean", "last"),
        ),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),
        ({"pooling_mode": "lasttoken"}, ("last",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
    ],
)
def test_poolings_of_both_layouts(folder, config, poolings):
    """Flags in the order in which Sentence Transformers concatenates them; names as they stand."""
    assert modules_of(add_modules(folder, pooling=config)).pooling == poolings


def test_an_unknown_pooling_is_named(folder):
    """Not replaced by the mean."""
    add_modules(folder, pooling={"pooling_mode": ["mean", "attention"]})
    with pytest.raises(ModelFormatError, match=r"unknown pooling modes \['attention'\]; known: "):
        modules_of(folder)


PACKAGE = "sentence_transformers.sentence_transformer.modules"


def set_modules(folder, *kinds):
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"{PACKAGE}.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 16}')


@pytest.mark.parametrize(
    "kind",
    "LayerNorm CNN LSTM WeightedLayerPooling WordEmbeddings BoW WordWeights Router Asym "
    "StaticEmbedding CLIPModel MLMTransformer SpladePooling".split(),
)
@pytest.mark.parametrize("position", [0, 2])
def test_a_module_that_is_not_supported_is_named_before_anything_is_read(folder, kind, position):
    """Leaving it out would give other vectors than the model's."""
    kinds = ["Transformer", "Pooling"]
    kinds.insert(position, kind)
    set_modules(folder, *kinds)
    (folder / "1_Pooling" / "config.json").write_text("{broken")
    (folder / "sentence_bert_config.json").write_text("{broken")
    with pytest.raises(ModelFormatError) as raised:
        modules_of(folder)
    elsewhere = " For static models, use StaticEmbedder." if kind == "StaticEmbedding" else ""
    assert str(raised.value) == (
        f"{folder / 'modules.json'} contains a module that skembed does not support: {kind} "
        f"({PACKAGE}.{kind}). Supported modules: Transformer, Pooling, Dense, Normalize, Dropout."
        + elsewhere
    )


@pytest.mark.parametrize("kind", ["my_code.Pooling", "Pooling", "sentence_transformersx.Pooling"])
def test_a_module_of_foreign_code_is_refused_although_its_last_name_is_known(folder, kind):
    """Sentence Transformers would run that code."""
    add_modules(folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelFormatError, match=rf"modules.json contains the module {kind}, code"):
        modules_of(folder)


@pytest.mark.parametrize(
    "kinds",
    [
        ("Transformer",),
        ("Pooling", "Transformer"),
        ("Transformer", "Normalize", "Pooling"),
        ("Transformer", "Pooling", "Pooling"),
        ("Transformer", "Transformer", "Pooling"),
    ],
)
def test_modules_in_another_order_are_refused(folder, kinds):
    """Sentence Transformers cannot embed with them, or pools twice."""
    set_modules(folder, *kinds)
    with pytest.raises(ModelFormatError, match=r"modules\.json"):
        modules_of(folder)


@pytest.mark.parametrize("kind", ["Pooling", "Dense"])
def test_a_missing_config_of_a_module_is_named(folder, kind):
    """The pooling does not become the mean in silence."""
    add_modules(folder, dense=DENSE)
    place = folder / {"Pooling": "1_Pooling", "Dense": "2_Dense"}[kind] / "config.json"
    place.unlink()
    with pytest.raises(ModelFormatError) as raised:
        modules_of(folder)
    assert str(raised.value) == f"{place} is missing: the {kind} module's settings are unknown."


@pytest.mark.parametrize(
    ("module", "key", "value"),
    [
        ("1_Pooling", "pooling_mode_attention", True),
        ("2_Dense", "scale", 2.0),
        ("3_Normalize", "p", 1),
    ],
)
def test_an_unknown_key_of_a_module_is_named(folder, module, key, value):
    """It could change vectors."""
    add_modules(folder, dense=DENSE, normalize=True)
    change_json(folder / module / "config.json", **{key: value})
    with pytest.raises(ModelFormatError, match=rf"{module}/config.json: .* the key '{key}'"):
        modules_of(folder)


@pytest.mark.parametrize("key", ["module_input_name", "module_output_name"])
@pytest.mark.parametrize("module", ["2_Dense", "3_Normalize"])
@pytest.mark.parametrize("value", ["token_embeddings", "other"])
def test_a_module_of_other_vectors_is_refused(folder, module, key, value):
    """As models that keep a vector a token have."""
    add_modules(folder, dense=DENSE, normalize=True)
    change_json(folder / module / "config.json", **{key: value})
    what = "of tokens " if value == "token_embeddings" else ""
    kind = module[2:]
    message = rf"{module}/config.json: a {kind} module {what}is not supported \({key} is '{value}'"
    with pytest.raises(ModelFormatError, match=message):
        modules_of(folder)


def test_dropout_does_nothing(folder):
    """It is active in training alone."""
    set_modules(folder, "Transformer", "Pooling", "Dropout", "Normalize")
    assert modules_of(folder) == Modules(pooling=("mean",), normalize=True)


def test_dense_after_normalize_is_refused(folder):
    """The order matters, and the head has one order."""
    add_modules(folder, dense=DENSE, normalize=True)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules[:2], modules[3], modules[2]]))
    with pytest.raises(ModelFormatError, match="Dense after Normalize is not supported"):
        modules_of(folder)


def test_a_pickled_dense_layer_is_refused(folder):
    """Its folder is named."""
    add_modules(folder, dense={"in_features": 16, "out_features": 4})
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelFormatError) as raised:
        modules_of(folder)
    assert str(raised.value) == (
        f"{folder / '2_Dense'} has no model.safetensors; skembed never loads pickle."
    )


@pytest.mark.parametrize(
    "activation",
    ["os.system", "torch.nn.modules.activation.Softmax", "torch.nn.PReLU", "torch.hub.Tanh", None],
)
def test_another_activation_is_refused(folder, activation):
    """A config may not name code to be run, nor what has weights or sees other numbers."""
    add_modules(folder, dense={**DENSE, "activation_function": activation})
    message = rf"2_Dense/config.json: activation_function {activation!r} is not a supported class"
    with pytest.raises(ModelFormatError, match=message):
        modules_of(folder)


# -- settings of the model -------------------------------------------------------------------------


def test_settings_of_the_model(folder):
    """A prompt of null is no prompt; the version and the similarity change no vector."""
    add_modules(folder)
    change_json(
        folder / "config_sentence_transformers.json",
        __version__={"sentence_transformers": "6.2.0"},
        similarity_fn_name="dot",
        model_type="SentenceTransformer",
        truncate_dim=8,
        prompts={"query": None, "document": "d: "},
        default_prompt_name="query",
    )
    modules = modules_of(folder)
    assert modules.truncate_dim == 8
    assert modules.prompts == {"query": "", "document": "d: "}
    assert modules.default_prompt == "query"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_prefix": "q"}, "the key 'query_prefix'"),
        ({"model_type": "SparseEncoder"}, "model_type 'SparseEncoder' is not supported"),
        ({"prompts": {"query": 3}}, "the prompt 'query' is not text"),
        ({"default_prompt_name": "other"}, "default_prompt_name is 'other'"),
        ({"truncate_dim": 0}, "truncate_dim is 0"),
        ({"truncate_dim": "8"}, "truncate_dim is '8'"),
        ({"truncate_dim": True}, "truncate_dim is True"),
    ],
)
def test_other_settings_of_the_model_are_refused(folder, changes, message):
    """By file and key."""
    add_modules(folder)
    change_json(folder / "config_sentence_transformers.json", **changes)
    with pytest.raises(ModelFormatError, match=rf"config_sentence_transformers.json: .*{message}"):
        modules_of(folder)


def test_a_default_prompt_that_every_model_has(folder):
    """It is empty."""
    add_modules(folder, default="query")
    assert modules_of(folder).default_prompt is None


@pytest.mark.parametrize(
    ("architectures", "is_causal", "pooling"),
    [
        (["BertModel"], None, None),
        (["GPT2LMHeadModel"], None, None),
        (["Qwen2ForCausalLM"], None, ("last",)),
        (["Qwen2ForCausalLM"], False, None),
        (None, None, None),
    ],
)
def test_a_causal_model_without_modules_takes_its_last_token(
    folder, architectures, is_causal, pooling
):
    """As in Sentence Transformers."""
    changes = {} if is_causal is None else {"is_causal": is_causal}
    change_json(folder / "config.json", architectures=architectures, **changes)
    assert modules_of(folder).pooling == pooling
