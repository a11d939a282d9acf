# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of images: rosbag2 (sqlite3, MCAP) and ROS 1 bags, and bags of masks. No ROS is needed.

Image messages are read with the standard definitions of sensor_msgs, which every ROS distribution shares: a bag without
message definitions, or with broken ones of other types, reads like any other.
"""

from .files import IMAGE_TYPES, storage_files
from .reader import Bag, read_images
from .record import ImageRecord
from .writer import MaskBagWriter

__all__ = ['IMAGE_TYPES', 'Bag', 'ImageRecord', 'MaskBagWriter', 'read_images', 'storage_files']
