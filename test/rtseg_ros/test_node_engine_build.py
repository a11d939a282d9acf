# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines that take minutes, on the real node. In TensorRT's place stands a session that keeps the interpreter's lock
for as long as a file says before it writes its engine; everything round it is as on a Jetson.
"""

import shutil
import signal
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from node_process import NODE, NodeProcess, Probe, picture, until
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

pytest.importorskip('onnxruntime')

SLOW_BUILD = """
import ctypes, os
from pathlib import Path
from rtseg_models.engine import backends

installed = backends.installed
backends.installed = lambda name: name == 'tensorrt' or installed(name)
backends.nvidia_gpu_present = lambda: True

from rtseg_models.engine.backends import onnxruntime_backend, tensorrt_backend

workshop = Path(os.environ['WORKSHOP'])
keep_the_lock = ctypes.PyDLL(None).usleep

def open_session(graph, provider, settings, asked):
    engine = Path(settings.get('trt_engine_cache_path', workshop)) / 'model.engine'
    if not engine.exists():
        with (workshop / 'builds').open('a') as log:
            log.write(f'{os.getpid()}\\n')
        seconds = (workshop / 'seconds').read_text()
        if seconds == 'failing':
            raise RuntimeError('the parser knows no such layer')
        keep_the_lock(int(float(seconds) * 1e6))
        engine.write_bytes(b'engine')
    return onnxruntime_backend.open_session(graph, 'CPUExecutionProvider', {}, asked)

tensorrt_backend.open_session = open_session
"""


class Workshop:
    """Where nodes are started that build slowly, and who built."""

    def __init__(self, folder, bundle):
        self.folder, self.bundle = folder, bundle
        self.nodes = []
        (folder / 'sitecustomize.py').write_text(SLOW_BUILD)

    def start(self, build_s, **parameters):
        (self.folder / 'seconds').write_text(str(build_s))
        given = {'model': self.bundle.path, 'backend': 'tensorrt', 'device': 'cuda', 'max_image_age_s': 0.0}
        given = {**given, 'cache_dir': self.folder / 'cache', **parameters}
        self.nodes.append(NodeProcess(parameters=given, PYTHONPATH=str(self.folder), WORKSHOP=str(self.folder)))
        return self.nodes[-1]

    def builders(self):
        log = self.folder / 'builds'
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def builder(self):
        """The one process that builds at the moment."""
        (pid,) = until(self.builders, 'build', 30.0)
        assert Path(f'/proc/{pid}').exists()
        return pid


@pytest.fixture
def workshop(tmp_path, tiny_bundle):
    made = Workshop(tmp_path, tiny_bundle)
    yield made
    for node in made.nodes:
        node.close()


def gone(pid):
    """Whether a process has ended, be it that nobody has asked for its exit code yet."""
    status = Path(f'/proc/{pid}/status')
    return not status.exists() or 'State:\tZ' in status.read_text()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_node_and_its_build(workshop, number):
    node = workshop.start(build_s=600)
    pid = workshop.builder()
    assert pid != node.process.pid
    assert node.signal(number, number) == 0, node.log
    until(lambda: gone(pid), 'end of the build', 2.0)
    assert 'Traceback' not in node.log
    assert 'giving up' not in node.log


def test_a_build_does_not_outlive_a_killed_node(workshop):
    node = workshop.start(build_s=600)
    pid = workshop.builder()
    node.process.kill()
    until(lambda: gone(pid), 'end of the build', 2.0)


def test_an_engine_is_built_once_and_its_progress_told(workshop):
    node, probe = workshop.start(build_s=11), Probe()
    try:
        probe.subscribe('/diagnostics', DiagnosticArray)
        pid = workshop.builder()
        until(lambda: loading(probe), 'progress in the diagnostics', 9.0)
        node.wait_for_log('still loading after 10 s')
        node.wait_for_log('serving tiny 64x96 on tensorrt')
        assert 'building the TensorRT engine of tiny 64x96' in node.log
        assert gone(pid)
        node.close()
        workshop.start(build_s=600).wait_for_log('serving tiny 64x96 on tensorrt')
        assert workshop.builders() == [pid]
    finally:
        probe.close()


def loading(probe):
    status = probe.diagnosis('model')
    return status is not None and 'loading for' in status.message


def test_without_a_cache_the_engine_is_built_for_this_run(workshop):
    (workshop.folder / 'file').write_text('')
    node = workshop.start(build_s=0.1, cache_dir=workshop.folder / 'file' / 'below')
    node.wait_for_log('serving tiny 64x96 on tensorrt')
    assert len(workshop.builders()) == 1 and workshop.builders() != [node.process.pid]
    assert 'running without an engine cache' in node.log


def test_a_build_that_fails_is_told_with_its_reason(workshop):
    node = workshop.start(build_s='failing')
    assert node.end() == 69
    assert 'the TensorRT engine could not be built: ' in node.log
    assert 'the parser knows no such layer' in node.log


def test_frames_are_served_while_another_engine_is_built(workshop):
    node = workshop.start(build_s=0.1)
    node.wait_for_log('serving tiny')
    probe = Probe()
    try:
        probe.subscribe(f'{NODE}/mask', Image)
        until(probe.publisher('/image').get_subscription_count, 'subscription of the node')
        for engine in (workshop.folder / 'cache').glob('*tensorrt*/*'):
            engine.unlink()
        (workshop.folder / 'seconds').write_text('2')
        client = probe.node.create_client(Trigger, f'{NODE}/reload_model')
        assert client.wait_for_service(5.0)
        reload = client.call_async(Trigger.Request())
        served = 0
        while not reload.done():
            message = probe.frame(picture())
            probe.publisher('/image').publish(message)
            until(lambda m=message: any(r.header == m.header for r in probe.received[f'{NODE}/mask'][-3:]), 'mask', 1.5)
            served += 1
        assert reload.result().success, reload.result().message
        assert len(workshop.builders()) == 2, node.log
        assert served > 10
    finally:
        probe.close()


def test_where_the_cache_cannot_keep_an_engine_it_is_built_for_this_run(workshop):
    node = workshop.start(build_s=0.1)
    node.wait_for_log('serving tiny 64x96 on tensorrt')
    node.close()
    (engine,) = (workshop.folder / 'cache').glob('tensorrt*')
    engine.chmod(0o755)  # anybody could have put an engine there
    node = workshop.start(build_s=0.1)
    node.wait_for_log('serving tiny 64x96 on tensorrt')
    assert 'engines cannot be kept there' in node.warning('running without an engine cache, and building once more')
    assert len(workshop.builders()) == 2 and node.process.pid not in workshop.builders()


def test_where_anything_will_do_the_node_goes_on_without_the_engine(workshop):
    node = workshop.start(build_s='failing', backend='auto', device='auto')
    node.wait_for_log('serving tiny 64x96 on ')
    assert 'going on without TensorRT, whose engine could not be built: ' in node.log
    assert 'the parser knows no such layer' in node.log and len(set(workshop.builders())) == 1


def test_a_bundle_at_fault_is_no_fault_of_the_build(workshop, tmp_path):
    copy = Path(shutil.copytree(workshop.bundle.path, tmp_path / 'damaged'))
    (copy / '64x96.onnx').write_bytes(b'no graph')
    node = workshop.start(build_s=0.1, model=copy)
    assert node.end() == 65 and 'not a readable ONNX graph' in node.log and not workshop.builders()
