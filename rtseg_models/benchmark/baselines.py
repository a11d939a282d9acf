# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The customary ways from pixels to labels, to compare with: eager PyTorch, and all of it inside one ONNX graph."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from ..bundle import WEIGHTS, Bundle
from ..card import Size
from ..engine.backends.graphs import graph_file
from ..engine.preprocess import stretch

Labeller = Callable[[np.ndarray], np.ndarray]


def eager_pytorch(bundle: Bundle, size: Size, camera: Size, device: str, threads: int) -> Labeller:
    """Resize, normalise, eager forward in fp32, dense upsampling to camera size, argmax, labels on the host."""
    import torch

    from ..engine.backends.torch_graph import deployed_network

    if threads:
        torch.set_num_threads(threads)
    card = bundle.card
    network = deployed_network(bundle).network.to(device)
    mean, std = np.asarray(card.mean, np.float32), np.asarray(card.std, np.float32)

    def label(rgb: np.ndarray) -> np.ndarray:
        resized = cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        normalised = (resized.astype(np.float32) / 255.0 - mean) / std
        pixels = torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy()).to(device)
        # as PyTorch comes, whatever the backends beside it have set
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=True):
            logits = network(pixels)
            full = torch.nn.functional.interpolate(
                logits, size=camera, mode='bilinear', align_corners=card.align_corners
            )
            labels: np.ndarray = full.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()
        return labels

    return label


def dense_graph(bundle: Bundle, size: Size, camera: Size, threads: int) -> Labeller:
    """ONNX Runtime on the CPU with the upsampling to camera size and the argmax in the graph."""
    import onnx
    import onnxruntime

    with graph_file(bundle, size, None) as path, tempfile.TemporaryDirectory() as folder:
        model = onnx.load(str(path), load_external_data=False)
        _append_labels(model.graph, camera, bundle.card.align_corners)
        whole = Path(folder) / 'dense.onnx'
        whole.write_bytes(model.SerializeToString())
        shutil.copyfile(bundle.weights_path, whole.with_name(WEIGHTS))
        settings = onnxruntime.SessionOptions()
        if threads:
            settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(whole), settings, providers=['CPUExecutionProvider'])
    buffer = np.empty((1, *size, 3), np.uint8)

    def label(rgb: np.ndarray) -> np.ndarray:
        labels: np.ndarray = session.run(None, {'image': stretch(rgb, size, buffer)})[0][0]
        return labels

    return label


def _append_labels(graph: Any, camera: Size, align_corners: bool) -> None:
    from onnx import TensorProto, helper, numpy_helper

    logits = graph.output[0]
    classes = logits.type.tensor_type.shape.dim[1].dim_value
    graph.initializer.append(numpy_helper.from_array(np.array([1, classes, *camera], np.int64), 'camera_shape'))
    mode = 'align_corners' if align_corners else 'half_pixel'
    graph.node.extend(
        [
            helper.make_node(
                'Resize',
                [logits.name, '', '', 'camera_shape'],
                ['full_size'],
                mode='linear',
                coordinate_transformation_mode=mode,
            ),
            helper.make_node('ArgMax', ['full_size'], ['best'], axis=1, keepdims=0),
            helper.make_node('Cast', ['best'], ['labels'], to=TensorProto.UINT8),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info('labels', TensorProto.UINT8, [1, *camera]))
