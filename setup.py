# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packaging of the ROS 2 package rtseg_ros; facts that ROS needs stand in package.xml."""

from glob import glob

from setuptools import Extension, find_packages, setup

PACKAGE = 'rtseg_ros'

setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=['rtseg_ros*', 'rtseg_models*']),
    package_data={'rtseg_models': ['zoo/*/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{PACKAGE}/config', sorted(glob('config/*'))),
    ],
    # Without a C compiler the package installs all the same, and NumPy gives the same labels many times more slowly.
    ext_modules=[
        Extension(
            f'rtseg_models.engine.{name}',
            [f'rtseg_models/engine/{name}.c'],
            extra_compile_args=['-O3', '-ffp-contract=off'],
            optional=True,
        )
        for name in ('_kernels', '_tally')
    ],
    install_requires=['setuptools'],
    extras_require={
        'fleet': ['ray'],
        'int8': ['nncf', 'openvino'],
        'test': ['pytest'],  # by which colcon test knows its runner
    },
    zip_safe=False,
    python_requires='>=3.8',
    maintainer='The rtseg_ros authors',
    maintainer_email='rtseg_ros@example.org',
    description='Real-time semantic segmentation of camera images for ROS 2',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'rtseg = rtseg_models.cli:main',
            'segmentation_node = rtseg_ros.node.process:main',
            'synthetic_camera = rtseg_ros.synthetic_camera:main',
            'replay_bag = rtseg_ros.replay_bag:main',
        ],
    },
)
