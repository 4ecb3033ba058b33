"""Check the manifest of an exported folder.

Imports only `exceptions`.
"""

from skembed.exceptions import ModelFormatError

# Types of the entries.
_TYPES = {"front": dict, "head": dict, "precision": str, "estimator": str, "format": int}


def check_manifest(folder, estimator, modality, version, precisions):
    """Raise a ModelFormatError if an estimator cannot use an exported folder.

    Parameters
    ----------
    folder : ModelFolder
        The model's folder. Without a manifest, nothing is checked.
    estimator : str
        Name of the class of the estimator.
    modality : Modality
        The modality that the estimator embeds.
    version : int
        The supported version of the format.
    precisions : collection of str
        The precisions that an exported graph may have.
    """
    manifest = folder.manifest
    if manifest is None:
        return
    path = folder.path / "manifest.json"
    _check_types(manifest, _TYPES, path)
    if manifest["format"] != version:
        raise ModelFormatError(
            f"{path} has the format {manifest['format']}, written by skembed "
            f"{manifest['skembed']}; this version reads the format {version}. Export the network "
            "again."
        )
    settings = manifest["front"]
    # Folders of earlier revisions do not name the input.
    other_input = manifest.get("input_name", modality.input_name) != modality.input_name
    complete = set(modality.manifest_types) <= set(settings)
    if other_input or (manifest["estimator"] != estimator and not complete):
        raise ModelFormatError(
            f"{path}: the network was exported by {manifest['estimator']}; {estimator} cannot use "
            "it."
        )
    _check_types(settings, modality.manifest_types, path)
    if manifest["precision"] not in precisions:
        raise ModelFormatError(f"{path}: the precision {manifest['precision']!r} is unknown.")
    if modality.check_settings is not None:
        modality.check_settings(settings, path)


def _check_types(values, types, path):
    for name, kind in types.items():
        if type(values.get(name)) is not kind:
            raise ModelFormatError(
                f"{path}: {name} must be of type {kind.__name__}. Got {values.get(name)!r} instead."
            )
