"""Log-mel spectrograms in torch and in ONNX graphs, against those of NumPy."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_sounds import RATES, clips

from skembed.audio._log_mel import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_the_module_is_numpys(name):
    log_mel = PRESETS[name]
    module = log_mel.module()
    sounds = np.stack(clips(RATES[name]))
    with torch.no_grad():
        answer = module(torch.from_numpy(sounds))
    assert answer.dtype == torch.float32
    for sound, ours in zip(sounds, answer.numpy(), strict=True):
        np.testing.assert_allclose(ours, log_mel(sound), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def session_of(tmp_path_factory):
    """Export a module once; rows and samples may vary in number."""
    sessions = {}

    def session(name):
        if name not in sessions:
            path = str(tmp_path_factory.mktemp("graphs") / f"{name}.onnx")
            sounds = torch.from_numpy(np.stack(clips(RATES[name], 1.0)))
            sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
            program = torch.onnx.export(
                PRESETS[name].module(),
                (sounds,),
                dynamo=True,
                opset_version=20,
                dynamic_shapes=(sizes,),
                verbose=False,
            )
            program.save(path)
            sessions[name] = onnxruntime.InferenceSession(path)
        return sessions[name]

    return session


@pytest.mark.filterwarnings("ignore")  # the exporter's
@pytest.mark.parametrize("name", PRESETS)
def test_the_graph_is_numpys(name, session_of):
    """No operator of ONNX's own for the transform, which is slow; any number of samples."""
    session = session_of(name)
    log_mel = PRESETS[name]
    for seconds in (0.3, 2.0):
        sounds = np.stack(clips(RATES[name], seconds))
        answer = session.run(None, {session.get_inputs()[0].name: sounds})[0]
        for sound, ours in zip(sounds, answer, strict=True):
            np.testing.assert_allclose(ours, log_mel(sound), rtol=0, atol=1e-4)


def test_a_window_of_an_odd_length():
    """The sample in the middle is its own partner."""
    for periodic in (True, False):
        log_mel = replace(PRESETS["panns"], win_length=801, periodic=periodic)
        sound = clips(32_000)[0]
        ours = log_mel.module()(torch.from_numpy(sound)[None])[0].numpy()
        np.testing.assert_allclose(ours, log_mel(sound), rtol=0, atol=1e-4)
