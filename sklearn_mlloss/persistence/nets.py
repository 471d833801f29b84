"""Nets, modules and tensors of torch as JSON and arrays, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._training.callbacks import BestWeights, Schedule
from .._training.net import TableNet
from .._training.network import check_outputs
from .state import Damaged, Reader, Writer, refusal

__all__ = ["read", "write"]

# Parameters of skorch that differ from net to net, beside those of the optimiser.
SETTINGS = ("optimizer", "lr", "max_epochs", "batch_size", "iterator_valid__batch_size", "verbose")
# What training leaves in a net. A file without one of them leaves the default of the class.
FITTED = (
    "encoder_", "half_products_", "network_", "exclusive_", "linear_reason_", "n_rows_", "place_",
    "epochs_before_", "not_finite_", "divergence_", "check_", "whole_fit_", "network_share_",
)  # fmt: skip
# What a net gets when it is made, has during a training only, or has as other forms in the file.
MADE = (
    "module", "criterion", "module_", "criterion_", "optimizer_", "history_", "callbacks",
    "callbacks_", "iterator_train", "iterator_valid", "iterator_train__shuffle",
    "iterator_train__generator", "dataset", "train_split", "predict_nonlinearity", "warm_start",
    "device", "compile", "use_caching", "torch_load_kwargs", "initialized_", "virtual_params_",
    "init_context_", "prefixes_", "cuda_dependent_attributes_", "_params_to_validate", "_modules",
    "_criteria", "_optimizers", "_kwargs", "held_out_deviations_", "observers_", "plain_steps_",
    "may_fuse_", "fused_", "valid_outputs_", "linear_outputs_", "interrupt_",
)  # fmt: skip
# Attributes that every module has.
OF_ALL = frozenset(vars(nn.Module()))
# The tensors and modules of a module, by their places.
PARTS: dict[str, type] = {"parameters": nn.Parameter, "buffers": Tensor, "modules": nn.Module}
NAMES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
    "complex64", "complex128",
)  # fmt: skip
DTYPES = {name: getattr(torch, name) for name in NAMES}


def write(writer: Writer, value: Any, path: str) -> dict[str, Any] | None:
    """Return the JSON of something of torch, or None if it is something else."""
    if isinstance(value, TableNet):
        return _write_net(writer, value, path)
    if isinstance(value, nn.Module):
        return _write_module(writer, value, path)
    if isinstance(value, Tensor):
        kind = "parameter" if isinstance(value, nn.Parameter) else "tensor"
        array = value.detach().cpu()
        # numpy has no bfloat16.
        array = array.float() if array.dtype == torch.bfloat16 else array
        trains = {"trains": True} if value.requires_grad else {}
        return {
            "is": kind,
            "type": str(value.dtype).removeprefix("torch."),
            **trains,
            **writer.array(array.numpy(), path),
        }
    if isinstance(value, torch.dtype | torch.device):
        return {"is": "torch", "kind": type(value).__name__, "name": str(value)}
    return None


def read(reader: Reader, node: dict[str, Any]) -> Any:
    """Return what `write` described."""
    # Tensors of inference mode cannot be trained.
    with torch.inference_mode(False):
        return _READ[node["is"]](reader, node)


def _write_net(writer: Writer, net: TableNet, path: str) -> dict[str, Any]:
    of_optimizer = [name for name in vars(net) if name.startswith("optimizer__")]
    moments = {}
    if writer.optimizer_state:
        states = [net.optimizer_.state.get(each, {}) for each in _parameters(net)]
        moments["moments"] = writer.write([dict(state) for state in states], f"{path}.optimizer_")
    return {
        **moments,
        "is": "net",
        "settings": {
            name: writer.write(getattr(net, name), f"{path}.{name}")
            for name in (*SETTINGS, *of_optimizer)
        },
        "module": writer.write(net.module_, f"{path}.module_"),
        "criterion": writer.write(net.criterion_, f"{path}.criterion_"),
        "callbacks": [
            [name, writer.write(callback, f"{path}.{name}")]
            for name, callback in net.callbacks_
            if type(callback) in (BestWeights, Schedule)
        ],
        "history": _write_history(writer, net.history_, f"{path}.history_"),
        "state": {
            name: writer.write(getattr(net, name), f"{path}.{name}")
            for name in FITTED
            if name in vars(net)
        },
    }


def _read_net(reader: Reader, node: dict[str, Any]) -> TableNet:
    settings, state = node["settings"], node["state"]
    unknown = {name for name in settings if not name.startswith("optimizer__")} - {*SETTINGS}
    if unknown or not state.keys() <= {*FITTED}:
        raise Damaged("a net has attributes that no net has")
    module, criterion = reader.read(node["module"]), reader.read(node["criterion"])
    net = TableNet.restored(
        module,
        [(name, reader.read(callback)) for name, callback in node["callbacks"]],
        {"criterion": criterion} | {name: reader.read(value) for name, value in settings.items()},
        {name: reader.read(value) for name, value in state.items()},
    )
    _read_history(reader, node["history"], net.history)
    if "moments" in node:
        states = zip(_parameters(net), reader.read(node["moments"]), strict=True)
        net.optimizer_.state.update({each: state for each, state in states if state})
    # Each column has at least a byte in the file.
    widths = net.encoder_.n_inputs, net.encoder_.n_outputs, net.criterion_.loss.n_outputs_
    if not all(isinstance(width, int) and 0 < width <= reader.size for width in widths):
        raise Damaged(f"a net has {widths} columns")
    check_outputs(net.module_, widths[0], widths[2])
    return reader.keep(node, net)


def _parameters(net: TableNet) -> list[Tensor]:
    """Return what the optimiser of a net trains, in its order."""
    return [each for group in net.optimizer_.param_groups for each in group["params"]]


def _write_history(writer: Writer, history: list[dict], path: str) -> dict[str, Any]:
    """Return the values of each epoch as columns, without those of each batch."""
    names = dict.fromkeys(name for row in history for name in row if name != "batches")
    columns: dict[str, Any] = {}
    for name in names:
        places = [k for k, row in enumerate(history) if name in row]
        values = [history[k][name] for k in places]
        columns[name] = {
            "rows": None if len(places) == len(history) else places,
            "values": writer.write(_compact(values), f"{path}.{name}"),
        }
    return columns


def _compact(values: list[Any]) -> Any:
    """Return numbers of one type as an array."""
    kinds = {type(value) for value in values}
    return np.array(values) if kinds in ({float}, {int}, {bool}) else values


def _read_history(reader: Reader, columns: dict[str, Any], history: Any) -> None:
    """Add the epochs that `_write_history` described to an empty history of skorch."""
    read: dict[str, dict[int, Any]] = {}
    for name, column in columns.items():
        values = reader.read(column["values"])
        values = values.tolist() if isinstance(values, np.ndarray) else values
        places = range(len(values)) if column["rows"] is None else column["rows"]
        read[name] = dict(zip(places, values, strict=True))
    for _ in range(max((len(column) for column in read.values()), default=0)):
        history.new_epoch()
    for name, column in read.items():
        for place, value in column.items():
            history[place][name] = value


def _write_module(writer: Writer, module: nn.Module, path: str) -> dict[str, Any]:
    if any(vars(module)[name] for name in OF_ALL if name.endswith("_hooks")):
        raise refusal(path, module, "it has hooks: remove them")
    plain = {name: value for name, value in vars(module).items() if name not in OF_ALL}
    parts: dict[str, Any] = {
        kind: {
            name: writer.write(value, f"{path}.{name}")
            for name, value in getattr(module, f"_{kind}").items()
        }
        for kind in PARTS
    }
    parts |= {
        "state": writer.attributes(plain, path),
        "not_persistent": sorted(module._non_persistent_buffers_set),
    }
    kept = {name: part for name, part in parts.items() if part}
    return {"is": "module", "class": writer.kind(module, path), **kept}


def _read_module(reader: Reader, node: dict[str, Any]) -> nn.Module:
    cls = reader.kind(node["class"], nn.Module)
    module: nn.Module = reader.keep(node, object.__new__(cls))
    nn.Module.__init__(module)
    for kind, expected in PARTS.items():
        for name, part in node.get(kind, {}).items():
            value = reader.read(part)
            if value is not None and not isinstance(value, expected):
                raise Damaged(f"{name} of {cls.__name__} must be in {kind}")
            getattr(module, f"_{kind}")[name] = value
    vars(module).update(reader.state(cls, node.get("state", {})), training=False)
    module._non_persistent_buffers_set.update(node.get("not_persistent", ()))
    return module


def _read_tensor(reader: Reader, node: dict[str, Any]) -> Tensor:
    array = reader.array(node)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    tensor, trains = tensor.to(DTYPES[node["type"]]), bool(node.get("trains"))
    if node["is"] == "parameter":
        return reader.keep(node, nn.Parameter(tensor, trains))
    return reader.keep(node, tensor.requires_grad_(trains))


def _read_setting(reader: Reader, node: dict[str, Any]) -> torch.dtype | torch.device:
    if node["kind"] == "device":
        return reader.keep(node, torch.device(node["name"]))
    return reader.keep(node, DTYPES[node["name"].removeprefix("torch.")])


_READ = {
    "net": _read_net,
    "module": _read_module,
    "parameter": _read_tensor,
    "tensor": _read_tensor,
    "torch": _read_setting,
}
