"""Copy the files of a tokenizer to another model's folder."""

import shutil
from pathlib import Path

from skembed.models._files import file_in, read_json
from skembed.models._sentence_writer import write_json

# Beside tokenizer.json. skembed reads the first two; the others are for transformers' own classes.
_FILES = (
    *("special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "bpe.codes"),
    *("spiece.model", "sentencepiece.bpe.model", "tokenizer.model"),
)


def write_tokenizer_files(source, tokenizer, arguments, folder, max_length):
    """Write the files from which transformers builds the tokenizer of a model.

    Parameters
    ----------
    source : ModelFolder
        The model's folder.
    tokenizer : path
        Its ``tokenizer.json``.
    arguments : dict
        Arguments that Sentence Transformers passes to the tokenizer; they take precedence.
    folder : pathlib.Path
        The folder to write to.
    max_length : int
        Maximum number of tokens of a text.
    """
    tokenizer = Path(tokenizer)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    for name in _FILES:
        found = file_in(tokenizer.parent, name)
        if found is not None:
            shutil.copyfile(found, folder / name)
    settings = read_json(source.backbone_path / "tokenizer_config.json", {}) | arguments
    settings.pop("auto_map", None)  # code in the folder, which skembed never runs
    if source.config.get("tokenizer_class"):
        settings.setdefault("tokenizer_class", source.config["tokenizer_class"])
    settings["model_max_length"] = max_length
    write_json(folder / "tokenizer_config.json", settings)
