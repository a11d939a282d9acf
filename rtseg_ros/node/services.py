# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's services: ``~/enable``, ``~/self_test`` and ``~/reload_model``."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any, Callable, Optional

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from rtseg_models.errors import RtsegError

from .model import Model

if TYPE_CHECKING:
    from ..segmentation_node import SegmentationNode


class Services:
    """Answers without keeping the executor from its frames: what takes time runs aside or in the worker."""

    def __init__(self, node: SegmentationNode) -> None:
        self._node = node
        node.create_service(SetBool, '~/enable', self._enable)
        # A callback keeps its group to itself until it has answered; in the default group it would keep out the frames.
        apart = ReentrantCallbackGroup()
        node.create_service(Trigger, '~/self_test', self._self_test, callback_group=apart)
        node.create_service(Trigger, '~/reload_model', self._reload, callback_group=apart)

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._node.enabled = bool(request.data)
        if self._node.serving is not None:
            self._node.serving.enable(self._node.enabled)
        response.success, response.message = True, 'enabled' if request.data else 'disabled: frames are dropped'
        return response

    async def _self_test(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        def tell(share: Optional[float]) -> str:
            if share is None:
                return 'the network runs; its golden sample belongs to another input size'
            return f'{100 * share:.3f} % of the golden sample agree'

        return await self._answered(response, lambda: self._node.configured().self_test(), tell)

    async def _reload(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        def tell(model: Model) -> str:
            return f'serving {model.describe()}'

        return await self._answered(response, self._node.reload, tell)

    async def _answered(
        self, response: Trigger.Response, begin: Callable[[], futures.Future[Any]], tell: Callable[[Any], str]
    ) -> Trigger.Response:
        try:
            work, done = begin(), Future(executor=self._node.executor)
            work.add_done_callback(lambda _: done.set_result(None))
            await done
            response.success, response.message = True, tell(work.result())
        except RtsegError as error:
            response.success, response.message = False, str(error)
        except Exception as error:  # the caller wants an answer in any case
            self._node.guard.report(error, 'service')
            response.success, response.message = False, f'{type(error).__name__}: {error}'
        return response
