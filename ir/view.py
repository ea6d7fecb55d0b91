"""Pictures of a function: a graph for networkx, dot text, and one HTML file to read it in."""

from __future__ import annotations

import html as escape
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .core import Block, Const, Function, Op, Value
from .printer import attrs_text, literal_text, named, show

if TYPE_CHECKING:
    import networkx

_SHAPES = {"param": "box", "op": "ellipse", "result": "doubleoctagon"}
_TOKENS = re.compile(r"(?P<value>%\w+)|(?P<where>#[^\n]*)|(?P<word>\b(?:func|return|yield)\b)")


def graph(code: Function | Block) -> networkx.DiGraph:
    """Ops, params and results as nodes, an edge from the definition to each reader.

    Nodes have `kind`, `label`, `types` and `region` (labels of the regions around, outer first);
    edges the `name` of the value.  What enters a region is dashed: from the op to its params.
    """
    import networkx as nx

    g = nx.DiGraph()
    block = code.block if isinstance(code, Function) else code
    _add_block(g, block, named(code), (), "return")
    return g


def _add_block(
    g: networkx.DiGraph, block: Block, names: dict[Value, str], region: tuple[str, ...], tail: str
) -> None:
    source: dict[Value, str] = {}

    def node(kind: str, label: str, types: str) -> str:
        key = f"n{g.number_of_nodes()}"
        g.add_node(key, kind=kind, label=label, types=types, region=region)
        return key

    def read(reader: str, values: tuple[Value, ...]) -> None:
        for v in values:
            if v in source:
                before = g.get_edge_data(source[v], reader, {"name": ""})["name"]
                name = names[v] if before in ("", names[v]) else f"{before}, {names[v]}"
                g.add_edge(source[v], reader, name=name)

    for p in block.params:
        source[p] = node("param", names[p], str(p.aval))
    for op in block.ops:
        key = node("op", _op_label(op, names), ", ".join(str(v.aval) for v in op.outs))
        source.update(dict.fromkeys(op.outs, key))
        read(key, op.args)
        for label, inner in op.blocks.items():
            first = g.number_of_nodes()
            _add_block(g, inner, names, (*region, f"{key} {label}"), "yield")
            for k in range(first, first + len(inner.params)):
                g.add_edge(key, f"n{k}", name="", enters=True)
    outs = ", ".join(literal_text(v) if isinstance(v, Const) else names[v] for v in block.outs)
    read(node("result", f"{tail} {outs}", ""), block.outs)


def _op_label(op: Op, names: dict[Value, str]) -> str:
    literals = [literal_text(a) for a in op.args if isinstance(a, Const)]
    text = f"{op.prim.name}{attrs_text(op.prim, op.attrs)} {' '.join(literals)}".rstrip()
    outs = ", ".join(names[v] for v in op.outs)
    return f"{outs} = {text}" if outs else text


def dot(code: Function | Block) -> str:
    """The graph in the dot language, regions as clusters."""
    g = graph(code)
    lines = ["digraph {", '  node [fontname="monospace", fontsize=10];']
    lines += _dot_region(g, (), "  ")
    for a, b, facts in g.edges(data=True):
        style = " [style=dashed]" if facts.get("enters") else f' [label="{facts["name"]}"]'
        lines.append(f"  {a} -> {b}{style};")
    return "\n".join([*lines, "}"])


def _dot_region(g: networkx.DiGraph, region: tuple[str, ...], pad: str) -> Iterator[str]:
    depth = len(region)
    for key, facts in g.nodes(data=True):
        if facts["region"] == region:
            label = json.dumps("\n".join(filter(None, (facts["label"], facts["types"]))))
            yield f"{pad}{key} [label={label}, shape={_SHAPES[facts['kind']]}];"
    inner = dict.fromkeys(
        f["region"][: depth + 1]
        for _, f in g.nodes(data=True)
        if f["region"][:depth] == region and len(f["region"]) > depth
    )
    for r in inner:
        owner, label = r[-1].split()
        yield f"{pad}subgraph cluster_{owner}_{label} {{"
        yield f"{pad}  label={json.dumps(label)};"
        yield from _dot_region(g, r, pad + "  ")
        yield f"{pad}}}"


# ------------------------------------------------------------------ one HTML file


def html(code: Function | Block) -> str:
    """A page with the text and a drawing; pointing at a value marks its definition and uses."""
    name = escape.escape(code.name if isinstance(code, Function) else "f")
    return _PAGE.format(name=name, text=_marked(show(code)), drawing=_drawing(graph(code)))


def _marked(text: str) -> str:
    def mark(m: re.Match[str]) -> str:
        data = f' data-v="{m[0][1:]}"' if m.lastgroup == "value" else ""
        return f'<span class="{m.lastgroup}"{data}>{escape.escape(m[0])}</span>'

    out, at = [], 0
    for m in _TOKENS.finditer(text):
        out += [escape.escape(text[at : m.start()]), mark(m)]
        at = m.end()
    return "".join([*out, escape.escape(text[at:])])


def _drawing(g: networkx.DiGraph) -> str:
    """The graph as SVG: rows by the longest path, in a row near what is read."""
    place = _places(g)
    parts = []
    for a, b, facts in g.edges(data=True):
        (x, y), (u, v) = place[a], place[b]
        dash = ' stroke-dasharray="4"' if facts.get("enters") else ""
        bend = f"M{x} {y + 14} C{x} {y + 40} {u} {v - 40} {u} {v - 14}"
        parts.append(f'<path d="{bend}"{dash} data-v="{facts["name"][1:]}"/>')
    for key, (x, y) in place.items():
        facts = g.nodes[key]
        label, types = facts["label"], escape.escape(facts["types"])
        label = escape.escape(label if len(label) < 34 else label[:32] + "…")
        parts.append(
            f'<g class="{facts["kind"]}" transform="translate({x} {y})"><title>{types}</title>'
            f'<text text-anchor="middle">{label}</text></g>'
        )
    width = max((x for x, _ in place.values()), default=0) + 120
    height = max((y for _, y in place.values()), default=0) + 30
    return f'<svg width="{width}" height="{height}">{"".join(parts)}</svg>'


def _places(g: networkx.DiGraph) -> dict[str, tuple[int, int]]:
    import networkx as nx

    place: dict[str, tuple[int, int]] = {}
    for row, keys in enumerate(nx.topological_generations(g)):

        def wish(key: str) -> float:
            xs = [place[p][0] for p in g.predecessors(key)]
            return sum(xs) / len(xs) if xs else 0.0

        x: float = -100
        for key in sorted(keys, key=wish):
            x = max(x + 220, wish(key))
            place[key] = round(x), 40 + 70 * row
    return place


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<style>
body {{ margin: 0; display: flex; font: 13px monospace; background: #fff; color: #222 }}
pre {{ margin: 0; padding: 1em; overflow: auto; max-height: 100vh; flex: 1; line-height: 1.4 }}
div {{ overflow: auto; max-height: 100vh; flex: 1; border-left: 1px solid #ddd }}
.word {{ color: #a626a4 }} .where {{ color: #999 }} .value {{ color: #0b5 }}
path {{ fill: none; stroke: #bbb }} svg text {{ font-size: 11px }} .param text {{ fill: #0b5 }}
.result text {{ fill: #a626a4 }}
span.on {{ background: #ffe58f }} path.on {{ stroke: #e80; stroke-width: 2 }}
</style>
<pre>{text}</pre><div>{drawing}</div>
<script>
document.addEventListener("mouseover", e => {{
  const v = e.target.closest("[data-v]")?.dataset.v;
  for (const x of document.querySelectorAll("[data-v]"))
    x.classList.toggle("on", x.dataset.v === v);
}});
</script>
</html>
"""
