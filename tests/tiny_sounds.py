"""Made-up sounds, and tiny networks for sounds with seeded weights, saved as real ones are."""

import io
from dataclasses import replace

import numpy as np
import onnx
import soundfile
import torch
import transformers
from onnx import TensorProto, helper

from skembed.audio._log_mel import PRESETS
from skembed.audio._preprocessor import audio_preprocessor
from skembed.models._folder import ModelFolder

_TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_WAVES = {
    **_TRANSFORMER,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (5, 8, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
_WAVE_FRONT = ("Wav2Vec2FeatureExtractor", {"do_normalize": True})
# Family -> config's class, model's class, settings, extractor's class and settings.
FAMILIES = {
    "ast": (
        "ASTConfig",
        "ASTModel",
        {**_TRANSFORMER, "num_mel_bins": 32, "max_length": 100, "time_stride": 10},
        ("ASTFeatureExtractor", {"num_mel_bins": 32, "max_length": 100}),
    ),
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2Model", _WAVES, _WAVE_FRONT),
    "hubert": ("HubertConfig", "HubertModel", _WAVES, _WAVE_FRONT),
    "wavlm": ("WavLMConfig", "WavLMModel", _WAVES, _WAVE_FRONT),
    "whisper": (
        "WhisperConfig",
        "WhisperModel",
        {
            "vocab_size": 60,
            "num_mel_bins": 20,
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 24,
            "decoder_ffn_dim": 24,
            "max_source_positions": 100,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
        ("WhisperFeatureExtractor", {"feature_size": 20, "chunk_length": 2}),
    ),
    "clap": (
        "ClapConfig",
        "ClapModel",
        {
            "projection_dim": 12,
            "text_config": {**_TRANSFORMER, "vocab_size": 60},
            "audio_config": {
                "patch_embeds_hidden_size": 8,
                "hidden_size": 16,
                "depths": [1, 1],
                "num_attention_heads": [2, 2],
                "num_mel_bins": 16,
                "spec_size": 64,
                "window_size": 4,
                "num_classes": 3,
                "projection_dim": 12,
            },
        },
        (
            "ClapFeatureExtractor",
            {
                "feature_size": 16,
                "truncation": "rand_trunc",
                "max_length_s": 1,
                "frequency_min": 50,
            },
        ),
    ),
}
# The same of CLAP that lays four views of a long sound over one another.
_name, _model, _settings, (_extractor, _given) = FAMILIES["clap"]
_audio = {**_settings["audio_config"], "enable_fusion": True, "fusion_type": "aff_2d"}
FAMILIES["clap-fused"] = (
    _name,
    _model,
    {**_settings, "audio_config": _audio},
    (_extractor, {**_given, "truncation": "fusion"}),
)


def sound(seconds=1.0, rate=16000, seed=0):
    """Return a chord with a little noise, (n_samples,) float32."""
    random = np.random.default_rng(seed)
    times = np.arange(int(rate * seconds)) / rate
    chord = sum(np.sin(2 * np.pi * pitch * times) for pitch in random.uniform(80, 3000, 3))
    return (0.2 * chord + 0.01 * random.standard_normal(len(times))).astype(np.float32)


def tone(seconds, rate, *, pitch=440.0, seed=0, n_channels=None):
    """Return a tone in a little noise: (n_samples,), or (n_samples, n_channels), float32."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    sound = 0.4 * np.sin(2 * np.pi * pitch * times)
    if n_channels is not None:
        sound = sound[:, None] * np.linspace(1, 0.2, n_channels)
    return (sound + 0.05 * random.standard_normal(sound.shape)).astype(np.float32)


def encoded(samples, rate=16000, kind="WAV", subtype=None):
    """Return the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def save_tiny_hearing(folder, family="ast", seed=0):
    """Write a network of a family with its extractor's settings; return the folder."""
    config_class, model_class, settings, (extractor_class, given) = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    config = getattr(transformers, config_class)(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, model_class)(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "parametrizations" not in name:
                torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    getattr(transformers, extractor_class)(**given).save_pretrained(folder)
    return folder


_DEFAULTS = {
    "front_end": "auto",
    "sampling_rate": None,
    "window_seconds": "auto",
    "hop_seconds": None,
    "window_pooling": "mean",
    "max_seconds": 600,
}


def preprocessor_of(folder, **settings):
    """Return the preprocessor of a folder, with the defaults of `AudioEmbedder`."""
    return audio_preprocessor(ModelFolder(folder), **{**_DEFAULTS, **settings})


def outside(front):
    """Return the front with spectrograms computed before the graph, in numpy."""
    return replace(front, in_graph=False)


def inputs_of(front, sound, rate):
    prepared, bad = front.prepare([(sound, rate)], [None], 1)
    assert bad == {}
    return prepared[0].inputs


def graph_of_shape(path, shape):
    """Write a graph that gives back its input."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("given", "same")]
    node = helper.make_node("Identity", ["given"], ["same"])
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


RATES = {name: log_mel.sampling_rate for name, log_mel in PRESETS.items()}


def clips(rate, seconds=2.0):
    """Return sounds that spectrograms are made of: loud, quiet, one band, all bands, nothing."""
    random = np.random.default_rng(0)
    n_samples = round(rate * seconds)
    times = np.arange(n_samples) / rate
    sweep = np.sin(2 * np.pi * (50 + rate / 5 * times) * times)
    burst = np.zeros(n_samples)
    burst[n_samples // 2 :][:200] = random.standard_normal(200)
    sounds = [
        tone(seconds, rate),
        sweep,
        burst,
        1e-4 * random.standard_normal(n_samples),
        np.zeros(n_samples),
        # A loud low tone beside a quiet high one: float32 would lose the latter.
        np.sin(2 * np.pi * 100 * times) + 1e-5 * np.sin(2 * np.pi * rate / 5 * times),
    ]
    return [sound.astype(np.float32) for sound in sounds]
