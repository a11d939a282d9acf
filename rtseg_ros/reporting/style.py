# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The look of the HTML pages: one style sheet for light and dark, screen and paper."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #14181f; --soft: #5b6472; --faint: #8b94a3; --line: #e3e7ed;
    --wash: #f0f2f6;
  --accent: #2563eb; --good: #15803d; --bad: #c2410c; --heat: 37, 99, 235; --heat-bad: 194, 65, 12;
  --stage-0: #2563eb; --stage-1: #0d9488; --stage-2: #d97706; --stage-3: #9333ea; --stage-4: #db2777;
    --stage-5: #64748b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1116; --card: #171b22; --ink: #e9edf3; --soft: #a3adbb; --faint: #76808f; --line: #2a303a;
      --wash: #1f242d;
    --accent: #7aa7ff; --good: #4ade80; --bad: #fb923c; --heat: 96, 148, 255; --heat-bad: 251, 146, 60;
    --stage-0: #6d9eff; --stage-1: #2dd4bf; --stage-2: #fbbf24; --stage-3: #c084fc; --stage-4: #f472b6;
      --stage-5: #94a3b8;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-font-smoothing: antialiased; font-feature-settings: "tnum"; }
main { max-width: 1160px; margin: 0 auto; padding: 40px 28px 72px; }
header { margin-bottom: 26px; }
.over { color: var(--accent); font-size: 12.5px; font-weight: 650; letter-spacing: .07em; text-transform: uppercase; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.018em; margin: 6px 0 8px; font-weight: 680;
  overflow-wrap: anywhere; }
h2 { font-size: 18px; letter-spacing: -.008em; margin: 0 0 3px; font-weight: 650; }
h3 { font-size: 14px; margin: 0 0 6px; font-weight: 620; }
.lead { color: var(--soft); margin: 0; }
.sub { color: var(--soft); margin: 0 0 16px; font-size: 13.5px; max-width: 110ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 22px 24px;
  margin: 0 0 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(136px, 1fr)); gap: 12px; margin: 0 0 18px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 15px 18px 13px; }
.tile .name { color: var(--soft); font-size: 12.5px; font-weight: 550; }
.tile .value { font-size: 27px; font-weight: 680; letter-spacing: -.025em; line-height: 1.25; white-space: nowrap; }
.tile .value small { font-size: 15px; font-weight: 550; color: var(--soft); letter-spacing: 0; margin-left: 3px; }
.tile .more { color: var(--faint); font-size: 12.5px; }
.tile.alert .value { color: var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 16px; font-size: 13px; color: var(--soft); }
.legend span { display: inline-flex; align-items: center; gap: 7px; }
.swatch { width: 13px; height: 13px; border-radius: 4px; display: inline-block;
  box-shadow: inset 0 0 0 1px rgba(127,127,127,.35); }
.bars { display: grid; grid-template-columns: max-content 1fr max-content max-content; gap: 7px 14px;
  align-items: center;
  font-size: 13.5px; }
.bars .track { background: var(--wash); border-radius: 5px; height: 17px; overflow: hidden; position: relative; }
.bars .fill { height: 100%; border-radius: 5px; box-shadow: inset 0 0 0 1px rgba(127,127,127,.25); min-width: 2px; }
.bars .number { text-align: right; font-weight: 620; min-width: 52px; }
.bars .note { color: var(--faint); font-size: 12.5px; text-align: right; min-width: 64px; }
.bars .name { display: inline-flex; align-items: center; gap: 8px; }
.bars .head { color: var(--faint); font-size: 12px; font-weight: 550; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 26px; }
.two > * { min-width: 0; }
.three { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); gap: 18px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font: 11.5px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
svg .axis, svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--faint); stroke-opacity: .6; }
svg .line { fill: none; stroke-width: 1.7; stroke-linejoin: round; }
svg .mark { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 3 3; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; color: var(--soft); font-weight: 560; font-size: 12.5px; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
td.number, th.number { text-align: right; }
td div div { padding-left: 18px; }
td.name { white-space: nowrap; }
.chart { width: 44%; }
.ends { display: flex; justify-content: space-between; padding: 0 3px; }
table.wide { min-width: 660px; }
svg.wide { min-width: 860px; }
td.key { color: var(--soft); width: 30%; }
code { font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.heat { border-collapse: separate; border-spacing: 2px; width: auto; margin: 0 auto; font-size: 12px; }
.heat td, .heat th { border: 0; padding: 0; text-align: center; font-size: 12px; }
.heat td { width: 54px; height: 31px; border-radius: 5px; vertical-align: middle; }
.heat td.hit { font-weight: 650; }
.heat td.light { color: #fff; }
.heat th.row { text-align: right; padding-right: 9px; white-space: nowrap; vertical-align: middle; }
.heat th.column { height: 86px; vertical-align: bottom; padding-bottom: 5px; }
.heat th.column div { writing-mode: vertical-rl; transform: rotate(180deg); display: inline-block;
  white-space: nowrap; }
.frame { border-top: 1px solid var(--line); padding: 16px 0 4px; }
.frame:first-of-type { border-top: 0; padding-top: 4px; }
.frame p { margin: 0 0 8px; font-size: 13.5px; color: var(--soft); }
.frame p b { color: var(--ink); }
.shots { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 10px; }
figure { margin: 0; }
figure img { width: 100%; display: block; border-radius: 8px; border: 1px solid var(--line);
  background: var(--wash); }
figcaption { color: var(--faint); font-size: 12px; margin-top: 3px; }
.warn { border-left: 3px solid var(--bad); }
.warn ul, .plain ul { margin: 6px 0 0; padding-left: 18px; font-size: 13.5px; color: var(--soft); }
.better { color: var(--good); } .worse { color: var(--bad); }
.verdict { font-size: 17px; line-height: 1.5; margin: 0; }
details { border-top: 1px solid var(--line); margin-top: 18px; padding-top: 14px; font-size: 13.5px; }
summary { cursor: pointer; font-weight: 620; }
footer { color: var(--faint); font-size: 12.5px; margin-top: 22px; }
@media (max-width: 640px) { main { padding: 22px 14px; } section { padding: 16px; } }
@media print { body { background: #fff; } section, .tile { break-inside: avoid; } }
"""
