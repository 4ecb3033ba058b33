"""ONNX files of tiny networks, written as other packages write them."""

import shutil
import warnings

import onnx
import torch
import transformers
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_opsetid, make_tensor_value_info

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SETTINGS = ("config.json", "tokenizer.json", "tokenizer_config.json")


class _Outputs(torch.nn.Module):
    """A BERT with its inputs by position and a tuple of outputs."""

    def __init__(self, folder, inputs, outputs):
        super().__init__()
        self.model = transformers.AutoModel.from_pretrained(folder).eval()
        self.inputs, self.outputs = inputs, outputs

    def forward(self, *given):
        named = dict(zip(self.inputs, given, strict=True))
        output = self.model(**named, output_hidden_states=True)
        hidden = {f"hidden_{i}": state for i, state in enumerate(output.hidden_states)}
        mean = output.last_hidden_state.mean(dim=1)
        known = {**output, **hidden, "sentence_embedding": mean}
        return tuple(known[name] for name in self.outputs)


def export_bert(
    source, path, inputs=INPUTS, outputs=("last_hidden_state",), opset=14, settings=SETTINGS
):
    """Export a BERT's folder to an .onnx file, with axes of any size, as optimum does.

    `settings` are files of the folder that are copied beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in settings:
        shutil.copy(source / name, path.parent)
    ids = torch.ones((2, 5), dtype=torch.long)
    examples = {name: torch.ones_like(ids) for name in inputs}
    examples["position_ids"] = torch.arange(5).expand(2, 5)
    axes = {name: {0: "batch", 1: "tokens"} for name in inputs}
    per_row = ("pooler_output", "sentence_embedding")
    axes |= {n: {0: "batch"} if n in per_row else {0: "batch", 1: "tokens"} for n in outputs}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Outputs(source, inputs, outputs),
            tuple(examples[name] for name in inputs),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    return path


def save_graph(path, nodes, inputs, outputs, weights=(), opset=18, domains=()):
    """Write a graph; inputs and outputs are pairs of name and shape; inputs named *ids are int64.

    The shape of an output may be None.
    """
    given = [
        make_tensor_value_info(
            name, TensorProto.INT64 if name.endswith("ids") else TensorProto.FLOAT, shape
        )
        for name, shape in inputs
    ]
    found = [make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs]
    graph = make_graph(nodes, "graph", given, found, list(weights))
    sets = [make_opsetid("", opset), *(make_opsetid(domain, 1) for domain in domains)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(make_model(graph, opset_imports=sets, ir_version=8), path)
    return path
