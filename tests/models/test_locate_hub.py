"""Models in the hub's local cache and on the hub, which is searched last."""

from pathlib import Path

import onnx
import pytest
from huggingface_hub import constants, utils
from locating import OLDER, message_of, save_in_hub_cache
from tiny import save_tiny_bert

import skembed
from skembed.base._progress import speaking
from skembed.exceptions import ModelFormatError
from skembed.models._locate import locate

pytestmark = pytest.mark.usefixtures("hub_cache")


# -- the hub's local cache -----------------------------------------------------------------------


def test_a_hit_in_the_hubs_cache_asks_nobody(hub_cache, asked_of_the_hub):
    """Online too: no call, not even for a newer commit."""
    snapshot = save_in_hub_cache(hub_cache, "acme/tiny")
    assert locate("acme/tiny") == snapshot
    assert locate("acme/tiny", "main") == snapshot
    assert asked_of_the_hub == []


def test_an_id_without_an_owner_is_found(hub_cache, asked_of_the_hub):
    """As bert-base-uncased has none."""
    snapshot = save_in_hub_cache(hub_cache, "tiny")
    assert locate("tiny") == snapshot
    assert asked_of_the_hub == []


def test_a_revision_is_the_one_that_was_asked_for(hub_cache, asked_of_the_hub):
    """By commit and by tag."""
    newest = save_in_hub_cache(hub_cache, "acme/tiny")
    tagged = save_in_hub_cache(hub_cache, "acme/tiny", commit=OLDER, revision="v1")
    assert locate("acme/tiny") == newest
    assert locate("acme/tiny", "v1") == locate("acme/tiny", OLDER) == tagged
    assert asked_of_the_hub == []


def test_a_revision_that_is_not_in_the_cache_is_not_replaced_by_another(hub_cache):
    """A model of another revision would give other vectors."""
    save_in_hub_cache(hub_cache, "acme/tiny")
    assert f"the hub's local cache ({hub_cache}): not found" in message_of("acme/tiny", "v2")


def test_files_that_skembed_never_fetches_are_not_missed(hub_cache, asked_of_the_hub):
    """What skembed downloaded once is a hit from then on, though the repository holds more."""
    listed = ["config.json", "model.safetensors", "pytorch_model.bin", "README.md", "a/b.onnx"]
    snapshot = save_in_hub_cache(hub_cache, "acme/tiny", listed=listed)
    assert locate("acme/tiny") == snapshot
    assert asked_of_the_hub == []


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_part_of_a_model_is_no_hit(hub_cache, file):
    """As a broken download, or a look at its config, leaves it."""
    (save_in_hub_cache(hub_cache, "acme/tiny") / file).unlink()
    message = message_of("acme/tiny")
    assert f"  - the hub's local cache ({hub_cache}): incomplete\n" in message


def test_a_local_folder_comes_before_the_hubs_cache(hub_cache, tmp_path):
    """What lies under the very path wins over an id of the same name."""
    save_in_hub_cache(hub_cache, "acme/tiny")
    local = save_tiny_bert(tmp_path / "acme" / "tiny")
    assert locate("acme/tiny") == local


# -- the hub -------------------------------------------------------------------------------------


def test_the_hub_is_asked_last_and_for_safe_files_only(hub, tiny_bert):
    """For the revision, and never for pickled weights or code."""
    hub.answer = tiny_bert
    with skembed.config_context(offline=False):
        assert locate("acme/tiny", "v1") == tiny_bert
    local, remote = hub.calls
    assert local["local_files_only"] is True
    assert remote["local_files_only"] is False
    assert remote["name"] == "acme/tiny"
    assert remote["revision"] == "v1"
    kept = {Path(pattern).suffix for pattern in remote["allow_patterns"]}
    assert kept == {".json", ".txt", ".model", ".safetensors"}


def test_what_the_hub_has_is_checked_too(hub, tmp_path):
    """A repository of pickled weights alone is refused as a folder of them is."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"")
    hub.answer = tmp_path / "old"
    with (
        skembed.config_context(offline=False),
        pytest.raises(ModelFormatError, match="never pickle"),
    ):
        locate("acme/old")


@pytest.mark.parametrize("speaker", [None, "BertEmbedder"])
def test_a_download_shows_bars_and_a_line_only_if_asked_to(
    hub, tiny_bert, monkeypatch, capsys, speaker
):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", None)
    hub.answer = tiny_bert
    with skembed.config_context(offline=False), speaking(speaker):
        locate("acme/tiny")
    assert hub.bars == [speaker is not None]
    assert not utils.are_progress_bars_disabled()
    line = "BertEmbedder: downloading acme/tiny ... 0.0 s\n"
    assert capsys.readouterr() == ("", line if speaker else "")


def test_bars_that_the_user_has_switched_on_stay_on(hub, tiny_bert, monkeypatch):
    """By the hub's variable; its client would warn of a change."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", False)
    hub.answer = tiny_bert
    with skembed.config_context(offline=False):
        locate("acme/tiny")
    assert hub.bars == [True]


def test_offline_the_hub_is_not_asked_and_the_error_lists_all_places(hub, hub_cache):
    """Each place with its outcome, each remedy."""
    assert message_of("acme/tiny") == (
        "Model 'acme/tiny' was not found. Tried:\n"
        "  - a local path: acme/tiny does not exist\n"
        f"  - the hub's local cache ({hub_cache}): not found\n"
        "  - a packaged copy: there is none for this id\n"
        "  - the hub: not searched, since skembed is offline (set_config or HF_HUB_OFFLINE)\n"
        "Remedies:\n"
        "  - download it on a machine with network access: hf download acme/tiny\n"
        "  - pass the path of a folder with config.json and model.safetensors\n"
        "  - allow downloads: skembed.set_config(offline=False)"
    )
    assert [call["local_files_only"] for call in hub.calls] == [True]


def test_the_hubs_own_error_is_listed_in_one_line(hub, hub_cache):
    """Online, going online is no remedy."""
    with skembed.config_context(offline=False):
        message = message_of("acme/tiny")
    assert message == (
        "Model 'acme/tiny' was not found. Tried:\n"
        "  - a local path: acme/tiny does not exist\n"
        f"  - the hub's local cache ({hub_cache}): not found\n"
        "  - a packaged copy: there is none for this id\n"
        "  - the hub: OSError: no route to the hub\n"
        "Remedies:\n"
        "  - download it on a machine with network access: hf download acme/tiny\n"
        "  - pass the path of a folder with config.json and model.safetensors"
    )


def test_what_cannot_be_an_id_is_said_to_be_none(hub_cache):
    """A name with a space is a name, or a path, that was mistyped."""
    message = message_of("my model")
    assert f"  - the hub's local cache ({hub_cache}): 'my model' is not a valid hub id\n" in message


def test_not_found_is_an_os_error():
    """As a missing file is, so that callers may catch both."""
    with pytest.raises(OSError, match="was not found"):
        locate("acme/tiny")


# -- ONNX graphs of the hub ------------------------------------------------------------------------


def as_graph(snapshot, place="onnx/model.onnx"):
    """Replace the weights of a snapshot with a graph."""
    (snapshot / "model.safetensors").unlink()
    (snapshot / place).parent.mkdir(exist_ok=True)
    (snapshot / place).write_bytes(b"\x08\x08")  # no more than its version
    return snapshot


@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx"])
def test_a_cached_graph_is_a_hit_where_there_are_no_weights(hub_cache, asked_of_the_hub, place):
    snapshot = as_graph(save_in_hub_cache(hub_cache, "acme/tiny"), place)
    assert locate("acme/tiny") == snapshot
    config = (snapshot / "config.json").read_text()
    (snapshot / "config.json").unlink()
    with skembed.config_context(offline=True):
        assert f"  - the hub's local cache ({hub_cache}): incomplete\n" in message_of("acme/tiny")
    (snapshot / "onnx").mkdir(exist_ok=True)
    (snapshot / "onnx" / "config.json").write_text(config)
    assert locate("acme/tiny") == snapshot
    assert asked_of_the_hub == []


def test_a_graph_is_fetched_only_if_there_are_no_weights(hub, tmp_path):
    hub.answer = as_graph(save_tiny_bert(tmp_path / "tiny"))
    with skembed.config_context(offline=False):
        assert locate("acme/tiny") == hub.answer
    weights, graph = (call["allow_patterns"] for call in hub.calls[1:])
    assert set(graph) - set(weights) == {"model.onnx*", "onnx/model.onnx*"}


def test_weights_of_a_graph_are_fetched_whatever_their_names(hub, tmp_path):
    hub.answer = as_graph(save_tiny_bert(tmp_path / "tiny"))
    tensor = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    model = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor]))
    (hub.answer / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
    with skembed.config_context(offline=False):
        locate("acme/tiny")
        assert hub.calls[-1]["allow_patterns"][-1] == "onnx/weights.bin"
        (hub.answer / "onnx" / "weights.bin").write_bytes(b"")
        n_calls = len(hub.calls)
        locate("acme/tiny")
    assert len(hub.calls) - n_calls == 3  # the cache, the settings, the graph
