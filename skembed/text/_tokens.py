"""Convert texts to token ids, with `tokenizers` and a model's tokenizer.json."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skembed.base._digest import check_unchanged, file_sha256
from skembed.base._failures import naming
from skembed.base._shared import Registry
from skembed.embedder._inputs import Prepared, Preprocessor, check_same_settings
from skembed.exceptions import ExportError, ModelFormatError
from skembed.models._files import file_in
from skembed.models._folder import ModelFolder
from skembed.models._sentence_writer import write_json
from skembed.text._families import check_encoder
from skembed.text._sentence_settings import read_text_settings
from skembed.text._tokenizer import changes_of, load_tokenizer, tokenizer_settings
from skembed.text._tokenizer_files import write_tokenizer_files

_tokenizers = Registry(max_items=8)
# Families whose first position is the id of the padding token plus one.
_SHIFTED_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "roberta-prelayernorm"}
# Families without position embeddings whose configs may not state this.
_RELATIVE_POSITIONS = {
    *("eurobert", "gemma", "gemma2", "gemma3_text", "gte", "jina_embeddings_v3", "llama"),
    *("longt5", "mistral", "modernbert", "mt5", "nomic_bert", "phi", "phi3", "qwen2", "qwen3"),
    *("switch_transformers", "t5", "umt5", "xlnet"),
}
# Characters per token of a very long text that are tokenized first; words have about five.
_CHARACTERS_PER_TOKEN = 32
_UNLIMITED = 10**6  # tokenizer_config.json contains 1e30 if there is no limit


class Tokens(NamedTuple):
    """The tokens of a text, and the windows that become network inputs."""

    inputs: list  # of ndarray (n_tokens,), int64: windows with special tokens and prompt
    counts: list  # of the text's own tokens in each window
    cut: bool  # whether the text was cut at `max_length`
    problem: str | None  # why the text cannot be embedded
    own: slice  # the text's own tokens among those of `encoding`
    encoding: Any  # tokenizers.Encoding of prompt and text


@dataclass(frozen=True)
class TextPreprocessor(Preprocessor):
    """Everything that determines how texts are converted to token ids.

    Parameters
    ----------
    tokenizer : str
        Path of ``tokenizer.json``.
    sha256 : str
        SHA-256 of its content.
    max_length : int
        Maximum number of tokens, including special tokens and the prompt.
    long_texts : {"truncate", "chunk", "error"}
        How longer texts are handled.
    prompt : str
        Text that precedes each text.
    lowercase : bool
        Whether prompt and texts are converted to lowercase.
    changes : str
        Changes of the tokenizer by `tokenizer_config.json`, see `_tokenizer.changes_of`.
    """

    tokenizer: str
    sha256: str
    max_length: int
    long_texts: str
    prompt: str
    lowercase: bool
    changes: str = ""

    libraries = ("tokenizers",)

    def settings(self):
        """Return all settings that can change a vector."""
        settings = asdict(self)
        del settings["tokenizer"]
        return settings

    @property
    def files(self):
        """Its files, as pairs of path and SHA-256."""
        return ((self.tokenizer, self.sha256),)

    def moved(self, new_path):
        """Return a copy whose file is at ``new_path(path)``."""
        return replace(self, tokenizer=new_path(self.tokenizer))

    def _loaded(self):
        return _tokenizers.get((self.sha256, self.changes, self.prompt, self.lowercase), self._load)

    def _load(self):
        from tokenizers import normalizers

        check_unchanged(self.tokenizer, self.sha256, "tokenizer")
        try:
            with naming(self.tokenizer):
                tokenizer = load_tokenizer(self.tokenizer, self.changes)
        except (ValueError, OSError) as error:
            raise ModelFormatError(f"{self.tokenizer} is not a tokenizer: {error}") from error
        # A file contains the padding and truncation that were set when it was saved.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if self.lowercase:
            # In the tokenizer, which does not change special tokens and keeps track of offsets.
            steps = [normalizers.Lowercase(), tokenizer.normalizer]
            tokenizer.normalizer = normalizers.Sequence([step for step in steps if step])
        # Numbers of special tokens before and after any text.
        special = tokenizer.encode("a").special_tokens_mask
        n_before = special.index(0) if 0 in special else len(special)
        n_after = special[::-1].index(0) if 0 in special else 0
        n_prefix = len(tokenizer.encode(self.prompt).ids) - n_after if self.prompt else n_before
        return tokenizer, n_prefix, n_after

    @property
    def n_prompt_tokens(self):
        """Number of tokens before those of the text: special tokens and the prompt."""
        return self._loaded()[1] if self.prompt else 0

    def tokenizer_object(self):
        """Return the `tokenizers.Tokenizer` of all texts, which must not be changed."""
        return self._loaded()[0]

    def frame(self):
        """Return the ids before and after those of a text, and the number of all ids."""
        tokenizer, n_prefix, n_after = self._loaded()
        ids = tokenizer.encode(self.prompt + "a").ids
        return ids[:n_prefix], ids[len(ids) - n_after :], max(tokenizer.get_vocab().values()) + 1

    def check(self):
        """Raise a ValueError if `max_length` leaves no room for a text."""
        _, n_prefix, n_after = self._loaded()
        if self.max_length <= n_prefix + n_after:
            raise ValueError(
                f"max_length={self.max_length} leaves no room for a text: special tokens and the "
                f"prompt have {n_prefix + n_after} tokens."
            )

    def tokens(self, text):
        """Return the `Tokens` of a text."""
        _, n_prefix, n_after = self._loaded()
        with naming(self.tokenizer):
            encoding = self._encoded(text)
        ids = np.array(encoding.ids, dtype=np.int64)
        stop, room = len(ids) - n_after, self.max_length - n_prefix - n_after
        start = min(n_prefix, stop)  # fewer if the end of the prompt and the text form one token
        starts = range(start, max(stop, start + 1), room)
        too_long = len(starts) > 1
        cut = too_long and self.long_texts == "truncate"
        problem = None
        if too_long and self.long_texts == "error":
            problem = f"{len(ids)} tokens, more than max_length={self.max_length}"
        if cut:
            starts, stop = starts[:1], start + room
        parts = [ids[i : min(i + room, stop)] for i in starts]
        before, after = ids[:start], ids[len(ids) - n_after :]
        windows = [np.concatenate([before, part, after]) for part in parts] if too_long else [ids]
        return Tokens(
            inputs=windows,
            counts=[len(part) for part in parts],
            cut=cut,
            problem=problem,
            own=slice(start, stop),
            encoding=encoding,
        )

    def _encoded(self, text):
        """Return the encoding of prompt and text.

        If a very long text is cut, only its start is encoded: a megabyte takes a second and 60 MB.
        The start is long enough if a start of twice its length has the same tokens up to the cut,
        and these tokens end in its first half.
        """
        tokenizer, _, n_after = self._loaded()
        n_kept = self.max_length - n_after
        n_chars = _CHARACTERS_PER_TOKEN * self.max_length
        whole = self.prompt + text
        before = None
        while self.long_texts == "truncate" and n_chars < len(whole) // 2:
            encoding = tokenizer.encode(whole[:n_chars])
            kept = (encoding.ids[:n_kept], encoding.offsets[:n_kept])
            decided = len(encoding.ids) > self.max_length and kept[1][-1][1] < n_chars // 4
            if decided and kept == before:
                return encoding
            before = kept if decided else None
            n_chars *= 2
        return tokenizer.encode(whole)

    def prepare(self, rows, keys=None, n_threads=1):
        """Return a `Prepared` for each text, and the reasons of texts that are too long.

        Threads are not used, since `tokenizers` holds the GIL while it encodes a text.
        """
        tokens = [self.tokens(text) for text in rows]
        prepared = [Prepared(item.inputs, item.counts, item.cut) for item in tokens]
        return prepared, {i: item.problem for i, item in enumerate(tokens) if item.problem}

    def probes(self):
        """Return token ids to check an export with: three batches of different lengths."""
        tokenizer, n_prefix, n_after = self._loaded()
        special = {number for number, token in tokenizer.get_added_tokens_decoder().items()}
        words = sorted(set(tokenizer.get_vocab().values()) - special)
        random = np.random.default_rng(0)
        fixed = n_prefix + n_after
        shapes = [(2, fixed + 9), (1, fixed + 1), (3, fixed + 33)]
        return [
            random.choice(words, (n_rows, min(n_tokens, self.max_length))).astype(np.int64)
            for n_rows, n_tokens in shapes
        ]

    def save(self, folder):
        """Write the tokenizer to an exported folder; return the settings that the folder stores."""
        if self.changes:
            load_tokenizer(self.tokenizer, self.changes).save(str(folder / "tokenizer.json"))
        else:
            (folder / "tokenizer.json").write_bytes(Path(self.tokenizer).read_bytes())
        return {"max_length": self.max_length, "prompt": self.prompt, "lowercase": self.lowercase}

    def save_files(self, folder, source):
        """Write the tokenizer's files and ``sentence_bert_config.json`` to a model's folder."""
        if self.long_texts == "chunk":
            raise ExportError(
                "Sentence Transformers cuts long texts, and long_texts='chunk' averages their "
                "windows. Fit with long_texts='truncate', or use format='onnx'."
            )
        check_unchanged(self.tokenizer, self.sha256, "tokenizer")
        arguments = read_text_settings(source).tokenizer
        write_tokenizer_files(source, self.tokenizer, arguments, folder, self.max_length)
        texts = {"max_seq_length": self.max_length, "do_lower_case": self.lowercase}
        write_json(folder / "sentence_bert_config.json", texts)
        again = text_preprocessor(
            ModelFolder(folder), max_length=None, long_texts=self.long_texts, prompt=None
        )
        check_same_settings(self, again, source)


def text_preprocessor(folder, *, max_length, long_texts, prompt):
    """Return the `TextPreprocessor` of a model's folder and an embedder's parameters.

    Raises
    ------
    ModelFormatError
        If there is no ``tokenizer.json``.
    ValueError
        If the parameters do not fit the model.
    """
    check_encoder(folder.config, folder.path)
    places = dict.fromkeys((folder.backbone_path, folder.path))
    found = (file_in(place, "tokenizer.json") for place in places)
    path = next((path for path in found if path is not None), None)
    if path is None:
        raise ModelFormatError(
            f"{folder.path} has no tokenizer.json. Write one with transformers: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    saved = (folder.manifest or {}).get("front", {})
    texts = read_text_settings(folder)
    settings = tokenizer_settings(folder, path.parent, texts.tokenizer)
    own = saved.get("max_length") or _own_max_length(folder, texts, settings)
    limit = saved.get("max_length") or _position_limit(folder)
    if max_length is not None and limit is not None and max_length > limit:
        raise ValueError(f"max_length={max_length} exceeds the maximum of the model, {limit}.")
    if max_length is None and own is None:
        raise ValueError(f"{folder.path} does not define a maximum length: set max_length.")
    preprocessor = TextPreprocessor(
        tokenizer=str(path),
        sha256=file_sha256(path),
        max_length=max_length or own,
        long_texts=long_texts,
        prompt=_prompt(folder, prompt, saved),
        lowercase=bool(saved.get("lowercase", texts.lowercase)),
        changes=changes_of(path, settings, folder.config),
    )
    preprocessor.check()
    return preprocessor


def _prompt(folder, prompt, saved):
    """Return the text of a prompt: a prompt of the model by name, or the text itself."""
    if folder.manifest is not None:
        return saved.get("prompt", "") if prompt is None else prompt
    modules = folder.modules
    name = modules.default_prompt if prompt is None else prompt
    if name and name.isidentifier() and name not in modules.prompts:
        raise ValueError(
            f"The model has no prompt named {name!r}; it has {list(modules.prompts)}. To use "
            f"this text as the prompt, add a delimiter: prompt={name + ': '!r}."
        )
    return modules.prompts.get(name, name or "")


def _position_limit(folder):
    """Return the number of position embeddings of a network; None if there is no limit."""
    config = folder.config
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    if not positions or positions < 0 or _has_relative_positions(config):
        return None
    if config.get("model_type") in _SHIFTED_POSITIONS:
        positions -= config.get("pad_token_id", 1) + 1
    return positions


def _has_relative_positions(config):
    """Tell whether a network has no position embeddings, so texts may have any length."""
    named = any("rope" in key or key.startswith(("rotary_emb", "rotary_pct")) for key in config)
    kind = config.get("position_embedding_type", "absolute")
    deberta = config.get("model_type") in ("deberta", "deberta-v2")
    return (
        named
        or kind in ("rope", "rotary", "alibi")
        or config.get("model_type") in _RELATIVE_POSITIONS
        or (deberta and not config.get("position_biased_input", True))
    )


def _own_max_length(folder, texts, settings):
    """Return the maximum length of texts in Sentence Transformers; None if there is no limit."""
    limit = _position_limit(folder)
    own = texts.tokenizer.get("model_max_length") or texts.max_length
    if not own:
        # The number of positions limits the tokenizer's length even without position embeddings.
        trained = folder.config.get("max_position_embeddings")
        own = min(settings.get("model_max_length") or _UNLIMITED, trained or _UNLIMITED)
    limits = (own, limit)
    return min((int(limit) for limit in limits if limit and 0 < limit < _UNLIMITED), default=None)
