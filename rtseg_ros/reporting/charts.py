# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG and images as data URIs. Colours of text and axes come from the page's style sheet."""

from __future__ import annotations

import base64
import math
from html import escape
from typing import List, Sequence, Tuple

import cv2
import numpy as np

MOST_POINTS = 400
"""Points along a chart's x axis; longer series are averaged in bins."""


def ticks(low: float, high: float, count: int = 5) -> List[float]:
    """Round values between two bounds, about ``count`` of them."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A figure as short as it can be said: four significant digits, no trailing zeros."""
    return f'{value:.4g}' if abs(value) < 1e4 else f'{value:,.0f}'


def binned(values: np.ndarray) -> np.ndarray:
    """Series (N,...) averaged to at most ``MOST_POINTS`` rows; nan where a bin holds nothing else."""
    if len(values) <= MOST_POINTS:
        return values
    edges = np.linspace(0, len(values), MOST_POINTS + 1).astype(int)
    rows = [values[a:b] for a, b in zip(edges[:-1], edges[1:])]
    return np.array([np.nanmean(r, axis=0) if not np.isnan(r).all() else np.full(r.shape[1:], np.nan) for r in rows])


WIDE = 1000
"""Drawings from this width on scroll sideways on a narrow page, where their text would get too small."""


class Plot:
    """An SVG drawing with a frame of axes: x from ``x_range``, y from ``y_range``, both in data units."""

    def __init__(
        self, x_range: Tuple[float, float], y_range: Tuple[float, float], *, width: int = 1080, height: int = 250
    ) -> None:
        self.width, self.height = width, height
        self.left, self.right, self.top, self.bottom = 46, 10, 10, 34
        self._x, self._y = x_range, y_range
        self._parts: List[str] = []

    def x(self, value: float) -> float:
        """Pixel column of a value."""
        low, high = self._x
        return self.left + (value - low) / ((high - low) or 1.0) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Pixel row of a value."""
        low, high = self._y
        return (
            self.height - self.bottom - (value - low) / ((high - low) or 1.0) * (self.height - self.top - self.bottom)
        )

    def add(self, part: str) -> None:
        """Draw a piece of SVG."""
        self._parts.append(part)

    def axes(self, x_label: str, *, percent: bool = False) -> None:
        """Draw grid lines with their values, and the name of the x axis."""
        for value in ticks(*self._y, 4):
            row = self.y(value)
            text = f'{100 * value:.3g} %' if percent else number(value)
            self.add(
                f'<line class="grid" x1="{self.left}" x2="{self.width - self.right}" y1="{row:.1f}" y2="{row:.1f}"/>'
            )
            self.add(f'<text x="{self.left - 7}" y="{row + 4:.1f}" text-anchor="end">{text}</text>')
        base = self.height - self.bottom
        for value in ticks(*self._x, max(3, self.width // 140)):
            self.add(f'<text x="{self.x(value):.1f}" y="{base + 16}" text-anchor="middle">{number(value)}</text>')
        self.add(f'<line class="axis" x1="{self.left}" x2="{self.width - self.right}" y1="{base}" y2="{base}"/>')
        middle = (self.left + self.width - self.right) / 2
        self.add(f'<text x="{middle:.1f}" y="{self.height - 2}" text-anchor="middle">{escape(x_label)}</text>')

    def line(self, xs: np.ndarray, ys: np.ndarray, colour: str) -> None:
        """Draw a line through the finite points; a single point becomes a dot, a gap stays a gap."""
        run: List[str] = []
        runs = [run]
        for x, y in zip(xs.tolist(), ys.tolist()):
            if y == y:
                run.append(f'{self.x(x):.1f},{self.y(y):.1f}')
            elif run:
                run = []
                runs.append(run)
        for points in runs:
            if len(points) == 1:
                cx, cy = points[0].split(',')
                self.add(f'<circle cx="{cx}" cy="{cy}" r="2.5" fill="{colour}"/>')
            elif points:
                self.add(f'<polyline class="line" stroke="{colour}" points="{" ".join(points)}"/>')

    def band(self, xs: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, title: str) -> None:
        """Fill between two lines."""
        there = [f'{self.x(x):.1f},{self.y(y):.1f}' for x, y in zip(xs.tolist(), high.tolist())]
        back = [f'{self.x(x):.1f},{self.y(y):.1f}' for x, y in zip(xs[::-1].tolist(), low[::-1].tolist())]
        points = ' '.join(there + back)
        self.add(f'<polygon fill="{colour}" points="{points}"><title>{escape(title)}</title></polygon>')

    def svg(self, label: str) -> str:
        """The finished drawing; ``label`` is what a screen reader says."""
        body = ''.join(self._parts)
        box = f'viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(label)}"'
        if self.width < WIDE:
            return f'<svg {box}>{body}</svg>'
        return f'<div class="scroll"><svg class="wide" {box}>{body}</svg></div>'


def stacked_area(xs: np.ndarray, shares: np.ndarray, names: Sequence[str], colours: Sequence[str], x_label: str) -> str:
    """Shares (N,C) that sum to 1 over xs (N,), stacked in the classes' colours."""
    xs, shares = binned(xs), binned(shares)
    if len(xs) == 1:
        xs, shares = np.array([xs[0], xs[0] + 1.0]), np.repeat(shares, 2, axis=0)
    plot = Plot((float(xs[0]), float(xs[-1])), (0.0, 1.0), height=280)
    plot.axes(x_label, percent=True)
    tops = np.cumsum(shares, axis=1)
    for i, (name, colour) in enumerate(zip(names, colours)):
        if shares[:, i].max() > 0:
            plot.band(xs, tops[:, i] - shares[:, i], tops[:, i], colour, f'{name}: {100 * shares[:, i].mean():.1f} %')
    return plot.svg('Label share over time')


def histogram(values: np.ndarray, colour: str, label: str, unit: str = 'ms') -> str:
    """Distribution of a quantity with its median and 95th percentile marked; the slowest 0.5 % pile up at the right."""
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    pad = max((high - low) * 0.04, high * 0.01, 1e-3)
    low, high = max(0.0, low - pad), high + pad
    counts, edges = np.histogram(np.clip(values, low, high), bins=36, range=(low, high))
    plot = Plot((low, high), (0.0, float(counts.max()) * 1.12), width=350, height=170)
    plot.left = 12
    base = plot.height - plot.bottom
    for count, a, b in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist()):
        if count:
            x, y = plot.x(a) + 0.5, plot.y(count)
            plot.add(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.8, plot.x(b) - plot.x(a) - 1):.1f}" '
                f'height="{base - y:.1f}" rx="1.5" fill="{colour}">'
                f'<title>{number(a)} to {number(b)} {unit}: {count} frames</title></rect>'
            )
    for value in ticks(low, high, 4):
        plot.add(f'<text x="{plot.x(value):.1f}" y="{base + 15}" text-anchor="middle">{number(value)}</text>')
    plot.add(f'<line class="axis" x1="{plot.left}" x2="{plot.width - plot.right}" y1="{base}" y2="{base}"/>')
    plot.add(f'<text x="{plot.width - plot.right}" y="{plot.height - 2}" text-anchor="end">{unit}</text>')
    for value in np.percentile(values, (50, 95)).tolist():
        x = plot.x(min(value, high))
        plot.add(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{plot.top}" y2="{base}"/>')
    return plot.svg(label)


def curves(
    series: Sequence[Tuple[str, np.ndarray, np.ndarray, str]], x_label: str, label: str, *, percent: bool = True
) -> str:
    """Lines (name, xs, ys, colour) over one pair of axes."""
    series = [(name, binned(xs), binned(ys), colour) for name, xs, ys, colour in series]
    finite = np.concatenate([ys[~np.isnan(ys)] for _, _, ys, _ in series])
    high = float(finite.max()) * 1.1 if finite.size and finite.max() > 0 else 1e-3
    left = min(float(xs[0]) for _, xs, _, _ in series)
    right = max(float(xs[-1]) for _, xs, _, _ in series)
    plot = Plot((left, right), (0.0, high), height=230)
    plot.axes(x_label, percent=percent)
    for _, xs, ys, colour in series:
        plot.line(xs, ys, colour)
    return plot.svg(label)


def rgb_hex(colour: Sequence[int]) -> str:
    """A colour as CSS writes it."""
    return '#{:02x}{:02x}{:02x}'.format(*colour)


def picture(rgb: np.ndarray, *, width: int = 520, exact: bool = False) -> str:
    """Rgb (H,W,3) uint8 as a data URI at most ``width`` wide: PNG where colours must stay exact, else JPEG."""
    h, w = rgb.shape[:2]
    if w > width:
        size = (width, max(1, round(h * width / w)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_NEAREST if exact else cv2.INTER_AREA)
    bgr = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGR)
    suffix, kind, options = ('.png', 'png', []) if exact else ('.jpg', 'jpeg', [cv2.IMWRITE_JPEG_QUALITY, 84])
    data = cv2.imencode(suffix, bgr, options)[1].tobytes()
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
