# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a bundle's weights to its PyTorch network and to ONNX graphs that share the weights' file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, Dict

import torch

from ...bundle import WEIGHTS, Bundle
from ...card import Size
from ...errors import BundleError, ConfigurationError
from ...networks import NETWORKS, build_network, logit_stride
from ...networks.deployed import Deployed
from .graph_weights import read_header

OPSET = 17
MAX_IR_VERSION = 8  # what TensorRT 8.5 of JetPack 5 parses


def deployed_network(bundle: Bundle) -> Deployed:
    """The bundle's network in evaluation mode; BundleError names the first field or tensor that does not fit."""
    network = _network(bundle)
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith('num_batches_tracked')}
    found = bundle.weights()
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise BundleError(f'{bundle.weights_path}: tensor {name!r} of {bundle.card.network} is missing')
        if name not in wanted:
            raise BundleError(f'{bundle.weights_path}: tensor {name!r} does not belong to {bundle.card.network}')
        if tuple(wanted[name].shape) != found[name].shape:
            raise BundleError(
                f'{bundle.weights_path}: tensor {name!r} is {found[name].shape}, {bundle.card.network} with '
                f'{bundle.card.classes} classes has {tuple(wanted[name].shape)}'
            )
    network.load_state_dict({k: torch.from_numpy(v) for k, v in found.items()}, strict=False)
    return Deployed(network, bundle.card.mean, bundle.card.std).eval()


def _network(bundle: Bundle) -> torch.nn.Module:
    card, where = bundle.card, bundle.path / 'card.json'
    if card.network not in NETWORKS:
        raise BundleError(f"{where}: field 'network' is {card.network!r}; known: {', '.join(NETWORKS)}")
    try:
        network = build_network(card.network, card.classes, **card.network_args)
    except Exception as error:  # Python, the networks and PyTorch each have their own for arguments that cannot be
        raise BundleError(f"{where}: field 'network_args' is {card.network_args!r}: {error}") from error
    if logit_stride(network) != card.output_stride:
        raise BundleError(
            f"{where}: field 'output_stride' is {card.output_stride}; {card.network} has {logit_stride(network)}"
        )
    return network


def check_size(deployed: Deployed, size: Size) -> None:
    """ConfigurationError where the network cannot take images of ``size``."""
    least = int(getattr(deployed.network, 'multiple', 1))
    if min(size) < least:
        raise ConfigurationError(f'input size {size[0]}x{size[1]}: this network needs {least} or more on each side')


def export_graph(deployed: Deployed, weights: Path, size: Size) -> bytes:
    """ONNX graph of a network at one input size: ``image`` (1,H,W,3) uint8 to ``logits`` (1,C,h,w) float32.

    Initialisers that ``weights`` (safetensors) holds become external data in a file of that name beside the graph,
    with a Cast where they are stored in fp16; what is left inside (pooling matrices, shapes) is small. Batch norms stay
    nodes of their own, which every runtime folds, so that the graph uses the tensors exactly as they are stored.
    ConfigurationError where the network cannot take ``size``.
    """
    import onnx

    check_size(deployed, size)
    buffer = io.BytesIO()
    image = torch.zeros((1, *size, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            deployed,
            (image,),
            buffer,
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            keep_initializers_as_inputs=True,  # otherwise equal tensors would become one
            input_names=['image'],
            output_names=['logits'],
        )
    model = onnx.load_from_string(buffer.getvalue())
    if model.ir_version > MAX_IR_VERSION:
        model.ir_version = MAX_IR_VERSION
    del model.graph.input[1:]  # all but the image
    _externalise(model.graph, weights)
    data: bytes = model.SerializeToString()
    return data


def _externalise(graph: Any, weights: Path) -> None:
    from onnx import TensorProto, helper

    start, header = read_header(weights)
    initialisers, casts = [], []
    for held in graph.initializer:
        entry = header.get(held.name.replace('network.', '', 1))
        if entry is None:
            initialisers.append(held)
            continue
        half = entry['dtype'] == 'F16'
        tensor = TensorProto(
            name=held.name + ('.f16' if half else ''),
            data_type=TensorProto.FLOAT16 if half else TensorProto.FLOAT,
            dims=entry['shape'],
            data_location=TensorProto.EXTERNAL,
        )
        begin, end = entry['data_offsets']
        for key, value in (('location', WEIGHTS), ('offset', start + begin), ('length', end - begin)):
            tensor.external_data.add(key=key, value=str(value))
        initialisers.append(tensor)
        if half:
            casts.append(helper.make_node('Cast', [tensor.name], [held.name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(initialisers)
    graph.node.extend(nodes)


def stored_tensors(network: torch.nn.Module, half: bool) -> Dict[str, torch.Tensor]:
    """The network's tensors as a bundle stores them: convolutions in fp16 where ``half``, all else in float32."""
    tensors = {}
    for name, tensor in network.state_dict().items():
        if name.endswith('num_batches_tracked'):
            continue
        tensors[name] = tensor.half() if half and tensor.ndim > 1 else tensor.float()
    return tensors
