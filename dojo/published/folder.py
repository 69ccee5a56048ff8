"""The files of a published model, read with care: somebody else wrote them."""

import json
from pathlib import Path
from typing import Any

from dojo.errors import DojoError
from dojo.system.files import check_regular, read_regular

MOST = 100 << 20  # bytes of a JSON file; the largest tokenizer.json of the families has 17 MB
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATS = ("F64", "F32", "F16", "BF16")  # as safetensors calls them; other numbers are quantized


def read(folder: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file. Raises DojoError for anything else."""
    path = folder / name
    try:
        found = json.loads(read_regular(path.resolve(), MOST))  # a download may be a link to a file elsewhere
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DojoError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise DojoError(f"{path} is damaged: it holds no JSON.") from None
    if not isinstance(found, dict):
        raise DojoError(f"{path} is damaged: it holds no JSON object.")
    return found


def needed(folder: Path, name: str) -> dict[str, Any]:
    """The same for a file without which nothing goes."""
    if not (found := read(folder, name)):
        told = f"{folder} has no {name}, or an empty one."
        raise DojoError(f"{told} A published model is a folder with {name}, weights and a tokenizer.")
    return found


def template(folder: Path) -> str:
    """The template of a model's chat form; empty where it has none, as a model that only continues texts."""
    given = read(folder, "tokenizer_config.json").get("chat_template")
    if isinstance(given, list):  # several by name
        given = {one.get("name"): one.get("template") for one in given if isinstance(one, dict)}.get("default")
    if isinstance(given, str):
        return given
    try:
        return read_regular((folder / "chat_template.jinja").resolve()).decode(errors="replace")
    except OSError:
        return ""


def check_weights(folder: Path) -> None:
    """Raise DojoError unless the weights are complete safetensors files, in this folder, of floating-point numbers."""
    from safetensors import SafetensorError, safe_open

    for name in _files(folder):
        path = folder / name
        try:
            check_regular(path.resolve())
            with safe_open(path, framework="pt") as file:
                kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118, it is not a dict
        except FileNotFoundError:
            raise DojoError(f"{folder} has no {name}.") from None
        except OSError as error:
            raise DojoError(f"{path} cannot be read: {error.strerror or error}.") from None
        except SafetensorError as error:
            raise DojoError(f"{path} is no complete safetensors file: {error}.") from None
        if quantized := [key for key, kind in kinds.items() if kind not in FLOATS]:
            told = f"{quantized[0]} has numbers of type {kinds[quantized[0]]}"
            raise DojoError(f"{path}: {told}, and quantized weights are not supported.")


def _files(folder: Path) -> list[str]:
    if (folder / WEIGHTS).exists() or not (folder / INDEX).exists():
        return [WEIGHTS]
    names = read(folder, INDEX).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise DojoError(f"{folder / INDEX} is damaged: it names no files.")
    for name in names.values():
        if Path(name).name != name:
            raise DojoError(f"{folder / INDEX} names the file {name}, which is outside of its folder.")
    return sorted(set(names.values()))
