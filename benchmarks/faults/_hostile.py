"""Hostile model folders: small changes to good folders, each a case with a name.

A case is (name, kind of estimator, change); the change gets a copy of the good folder and the
folder of plants that lies beside it: files that no case may read, and code that writes a marker
when it is run.
"""

import json
import os
import pickle
from pathlib import Path

import onnx
from onnx import TensorProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor,
    make_tensor_value_info,
)

from skembed.models._config_keys import OVERRIDDEN, REFUSED, REFUSED_FAMILIES

_NOT_JSON = {
    "empty": b"",
    "cut off": b'{"a": ',
    "not UTF-8": b"\xff\xfe{}",
    "nested deeply": b"[" * 200_000,
    "a number of 5,000 digits": b'{"a": 1' + b"0" * 5000 + b"}",
    "a list": b"[]",
    "a list of numbers": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "text": b'"text"',
    "empty object": b"{}",
}


# -- any file -------------------------------------------------------------------------------------


def _written(name, content):
    def change(folder, plants):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    return change


def _special(name, kind):
    """Put something in the place of a file that is no regular file, or leads outside."""

    def change(folder, plants):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        content = path.read_bytes() if path.exists() else b"{}"
        path.unlink(missing_ok=True)
        if kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a folder":
            path.mkdir()
        elif kind == "a loop of links":
            path.symlink_to(path.name)
        elif kind == "a device":
            path.symlink_to("/dev/zero")
        else:
            outside = plants / path.name
            outside.write_bytes(content)
            path.symlink_to(outside)

    return change


def files(kind, names):
    """Yield cases of files that are not JSON, not regular, or outside."""
    for name in names:
        for what, content in _NOT_JSON.items():
            yield f"{name}: {what}", kind, _written(name, content)
        yield from special_files(kind, [name])


def special_files(kind, names):
    """Yield cases of files that are not regular, or outside."""
    for name in names:
        for what in ("a pipe", "a folder", "a loop of links", "a device", "a link outside"):
            yield f"{name}: {what}", kind, _special(name, what)


# -- values in JSON -------------------------------------------------------------------------------


def _set(name, keys, value):
    def change(folder, plants):
        path = folder / name
        content = json.loads(path.read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        path.write_text(json.dumps(content))

    return change


def _wrong(value):
    """Return values of other kinds and sizes than a good one."""
    if isinstance(value, bool):
        return ["yes", 7]
    if isinstance(value, (int, float)):
        return [f"{value}x", -3, 10**9, None]
    if isinstance(value, str):
        return [5, "../outside"]
    if isinstance(value, list):
        return [{}, ["x"], []]
    if isinstance(value, dict):
        return [[1], "x"]
    return ["x", 10**9]


def values(kind, name, folder, prefix=()):
    """Yield cases of a JSON file whose values are replaced, one by one, nested ones too."""
    content = json.loads((folder / name).read_text())
    for key in prefix:
        content = content[key]
    for key, value in content.items():
        for wrong in _wrong(value):
            keys = (*prefix, key)
            label = f"{name}: {'.'.join(keys)} is {str(wrong)[:20]!r}"
            yield label, kind, _set(name, keys, wrong)
        if isinstance(value, dict) and len(prefix) < 2 and len(value) < 40:
            yield from values(kind, name, folder, (*prefix, key))


# -- code -----------------------------------------------------------------------------------------

_CHOICES = {
    "auto_map": {"AutoConfig": "modeling.Config", "AutoModel": "modeling.Model"},
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "transformers_weights": "../plants/model.safetensors",
    "backbone_config": {"model_type": "resnet", "auto_map": {"AutoModel": "modeling.Model"}},
    "fusion_config": {"patch_embeddings": True},
    "kernel_config": {"kernel_mapping": {"RMSNorm": "owner/kernel"}},
    "device_map": "auto",
    "distributed_config": {"tp_size": 2},
}


def code(kind):
    """Yield cases of configs that select code, at the top and nested, and of code in the folder."""
    for key in {**OVERRIDDEN, **REFUSED}:
        choice = _CHOICES.get(key, "kernels-community/flash-attn")
        yield f"config.json: {key}", kind, _set("config.json", [key], choice)
        for part in ("text_config", "encoder"):
            nested = {key: choice, "model_type": "bert"}
            yield f"config.json: {part}.{key}", kind, _set("config.json", [part], nested)
    for name in ("flex_attention", "flash_attention_2", "paged|sdpa", "a/b:c", {"": "a/b"}):
        yield (
            f"config.json: attention {name}",
            kind,
            _set("config.json", ["_attn_implementation"], name),
        )
    for family in (*REFUSED_FAMILIES, "no-such-family", "encoder-decoder", "detr", "rag", "clip"):
        yield f"config.json: family {family}", kind, _set("config.json", ["model_type"], family)
    yield "auto_map and its files", kind, _own_code
    yield "only a pickle", kind, _only_pickle
    yield "an adapter", kind, _adapter


def _own_code(folder, plants):
    for name in ("modeling.py", "tokenization.py", "processing.py", "__init__.py"):
        (folder / name).write_text(plants.joinpath("code.py").read_text())
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        if (folder / name).exists():
            names = ("Config", "Model", "Tokenizer", "Processor", "ImageProcessor")
            auto_map = {f"Auto{part}": f"modeling.{part}" for part in names}
            _set(name, ["auto_map"], auto_map)(folder, plants)
    _set("config.json", ["model_type"], "own")(folder, plants)


class _Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def _only_pickle(folder, plants):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Payload(plants / "ran")))


def _adapter(folder, plants):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "../plants"}')
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(_Payload(plants / "ran")))


# -- weights --------------------------------------------------------------------------------------


def _header(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


_TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
_WEIGHTS = {
    "empty": b"",
    "eight bytes": bytes(8),
    "a header of 2^63 bytes": (2**63).to_bytes(8, "little"),
    "a header that is cut off": (100).to_bytes(8, "little") + b"{",
    "a header that is no JSON": _header(b"nonsense"),
    "no tensors": _header({}),
    "one tensor": _header({"w": _TENSOR}, bytes(8)),
    "an unknown type": _header({"w": _TENSOR | {"dtype": "X9"}}, bytes(8)),
    "offsets behind the end": _header({"w": _TENSOR | {"data_offsets": [0, 2**40]}}, bytes(8)),
    "offsets that do not fit": _header({"w": _TENSOR | {"shape": [2**40]}}, bytes(8)),
    "a shape that overflows": _header({"w": _TENSOR | {"shape": [2**62, 2**62]}}, bytes(8)),
    "a shape below zero": _header({"w": _TENSOR | {"shape": [-2]}}, bytes(8)),
    "a pickle": pickle.dumps({"w": 1}),
}


def weights(kind, names=("model.safetensors",)):
    """Yield cases of damaged weights, and of shards that an index names."""
    for name in names:
        for what, content in _WEIGHTS.items():
            yield f"{name}: {what}", kind, _written(name, content)
        yield from special_files(kind, [name])
    outside = ("../plants/model.safetensors", "/etc/hostname", "..\\x", "C:\\x", "a/../../x", "", 5)
    for name in (*outside, "missing", "config.json", "."):
        yield f"a shard {name!r}", kind, _index({"weight_map": {"w": name}})
    for index in ([], {}, {"weight_map": []}, {"weight_map": {"w": None}}, {"weight_map": "x"}):
        yield f"index {index}", kind, _index(index)


def _index(content):
    def change(folder, plants):
        (folder / "model.safetensors").rename(plants / "model.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return change


# -- modules and tokenizers -----------------------------------------------------------------------


def modules():
    """Yield cases of modules of foreign code and outside of the folder."""
    places = ("..", "../plants", "/etc", "a\0b", "~", "1_Pooling/../..", 5, None, "missing")
    for path in places:
        for number in (0, 1):
            yield (
                f"modules.json: path {number} is {path!r}",
                "text",
                _set("modules.json", [number, "path"], path),
            )
    for name in ("os.system", "my_code.Pooling", "modeling.Model", "", "builtins.exec", 5, None):
        yield f"modules.json: type {name!r}", "text", _set("modules.json", [1, "type"], name)


_TOKENIZERS = {
    "ids behind the table": (["model", "vocab", "cat"], 10**6),
    "an id below zero": (["model", "vocab", "cat"], -1),
    "an id of text": (["model", "vocab", "cat"], "x"),
    "no words": (["model", "vocab"], {}),
    "no unknown word": (["model", "unk_token"], "[NO]"),
    "an unknown model": (["model", "type"], "Own"),
    "a regular expression that is none": (
        ["pre_tokenizer"],
        {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False},
    ),
    "a regular expression that explodes": (
        ["pre_tokenizer"],
        {
            "type": "Split",
            "pattern": {"Regex": "((a|a)+)+$"},
            "behavior": "Isolated",
            "invert": False,
        },
    ),
    "a map of characters that is none": (
        ["normalizer"],
        {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    ),
    "an empty map of characters": (
        ["normalizer"],
        {"type": "Precompiled", "precompiled_charsmap": ""},
    ),
    "an empty pattern": (
        ["normalizer"],
        {"type": "Replace", "pattern": {"String": ""}, "content": "xx"},
    ),
    "a template without its tokens": (["post_processor", "special_tokens"], {}),
    "special ids behind the table": (
        ["post_processor", "special_tokens", "[CLS]"],
        {"id": "[CLS]", "ids": [10**6], "tokens": ["[CLS]"]},
    ),
    "negative special ids": (
        ["post_processor", "special_tokens", "[CLS]"],
        {"id": "[CLS]", "ids": [-1], "tokens": ["[CLS]"]},
    ),
    "an added token far away": (
        ["added_tokens"],
        [
            {
                "id": 4_000_000_000,
                "content": "cat",
                "special": False,
                "normalized": False,
                "lstrip": False,
                "rstrip": False,
                "single_word": False,
            }
        ],
    ),
    "Unigram with an unknown id outside": (
        ["model"],
        {"type": "Unigram", "unk_id": 99, "vocab": [["a", -1.0]], "byte_fallback": False},
    ),
    "Unigram without words": (
        ["model"],
        {"type": "Unigram", "unk_id": None, "vocab": [], "byte_fallback": False},
    ),
    "BPE with merges of words that are not there": (
        ["model"],
        {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]},
    ),
    "words without end": (["model", "max_input_chars_per_word"], 2**63),
    "prefix of a megabyte": (["model", "continuing_subword_prefix"], "#" * 2**20),
    "truncation to nothing": (
        ["truncation"],
        {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 9},
    ),
}


def tokenizers():
    """Yield cases of tokenizers."""
    for what, (keys, value) in _TOKENIZERS.items():
        yield f"tokenizer.json: {what}", "text", _set("tokenizer.json", keys, value)


# -- graphs ---------------------------------------------------------------------------------------


def _graph(nodes, inputs, outputs, weights=(), **settings):
    graph = make_graph(nodes, "g", inputs, outputs, list(weights))
    opsets = [make_opsetid("", 17), make_opsetid("own", 1), make_opsetid("com.microsoft", 1)]
    return make_model(graph, opset_imports=opsets, ir_version=8, **settings)


def _mean(rows="b", size="t", kind=TensorProto.FLOAT, axes=(1,), name="input_ids", table=None):
    """Return a small graph: ids -> their vectors -> the mean over some axes."""
    table = table or make_tensor("E", TensorProto.FLOAT, [300, 4], [0.5] * 1200)
    nodes = [
        make_node("Gather", ["E", name], ["x"]),
        make_node("ReduceMean", ["x"], ["m"], axes=list(axes), keepdims=0),
        make_node("Cast", ["m"], ["v"], to=kind),
    ]
    inputs = [make_tensor_value_info(name, TensorProto.INT64, [rows, size])]
    return _graph(nodes, inputs, [make_tensor_value_info("v", kind, None)], [table])


def _external(location, offset=None):
    table = TensorProto(name="E", data_type=TensorProto.FLOAT, dims=[300, 4], data_location=1)
    table.external_data.add(key="location", value=location)
    if offset is not None:
        table.external_data.add(key="offset", value=str(offset))
    return _mean(table=table)


def _node(operator, *, domain="", inputs=("input_ids",)):
    nodes = [make_node(operator, list(inputs), ["v"], domain=domain)]
    given = [make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "t"])]
    return _graph(nodes, given, [make_tensor_value_info("v", TensorProto.FLOAT, None)])


def _graphs():
    yield "a small graph", _mean()
    for location in ("../plants/w", "/etc/hostname", "..\\w", "C:\\w", "*/_ORT_MEM_ADDR_/*", ""):
        yield f"weights in {location!r}", _external(location)
    yield "weights that are missing", _external("missing")
    yield "weights at an offset behind the end", _external("tokenizer.json", 2**50)
    yield "weights at an offset below zero", _external("tokenizer.json", -8)
    yield "weights of a folder", _external(".")
    yield "a fixed length", _mean(size=5)
    yield "a fixed number of rows", _mean(rows=3)
    yield "one row", _mean(rows=1)
    yield "no rows in the answer", _mean(axes=(0, 1))
    yield "tokens first in the answer", _mean(axes=(0,))
    yield "an answer a token", _mean(axes=(2,))
    yield "a text as the answer", _mean(kind=TensorProto.STRING)
    yield "a truth value as the answer", _mean(kind=TensorProto.BOOL)
    yield "another input", _mean(name="sentence")
    yield "an unknown operator", _node("NoSuchOperator")
    yield "an operator of another domain", _node("Own", domain="own")
    yield "an operator with code", _node("PyOp", domain="com.microsoft")
    yield "a sequence as the answer", _node("SequenceConstruct")
    yield "an input that is not there", _node("Identity", inputs=("missing",))
    yield "the ids as the answer", _node("Identity")
    yield "no node", _graph([], [], [])
    yield "a table of one row", _mean(table=make_tensor("E", TensorProto.FLOAT, [1, 4], [0.0] * 4))
    yield (
        "a huge answer",
        _graph(
            [make_node("ConstantOfShape", ["n"], ["v"])],
            [make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "t"])],
            [make_tensor_value_info("v", TensorProto.FLOAT, None)],
            [make_tensor("n", TensorProto.INT64, [2], [2**40, 2**20])],
        ),
    )


def graphs():
    """Yield cases of ONNX files beside a good tokenizer."""
    for what, model in _graphs():
        yield f"model.onnx: {what}", "graph", _written("model.onnx", model.SerializeToString())
    good = _mean().SerializeToString()
    damaged = {
        "empty": b"",
        "text": b"graph",
        "zeros": bytes(100),
        "cut off": good[:200],
        "cut off at the end": good[:-1],
        "nested without end": b"\x3a\x7f" * 1000,
        "a length of 2^63": b"\x3a" + b"\xff" * 9 + b"\x01",
        "a pickle": pickle.dumps([1]),
        "the format of ONNX Runtime": b"\x08\x00\x00\x00ORTM" + bytes(64),
    }
    for what, content in damaged.items():
        yield f"model.onnx: {what}", "graph", _written("model.onnx", content)
    yield from special_files("graph", ["model.onnx"])


def onnx_version():
    """Return the version of onnx, for the report."""
    return onnx.__version__
