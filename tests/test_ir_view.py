"""Pictures of a function: the graph, dot text, one HTML file."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from programs import random_function

from adjit.ir import Function, parse, show
from adjit.ir.view import dot, graph, html

F = parse("""
func f(%p: bool[], %x: f64[3]) -> (f64[3], f64[]) {
  %r: f64[3] = cond %p, %x then(%a: f64[3]) {
    %b: f64[3] = mul %a, 2.0
    yield %b
  } else(%c: f64[3]) {
    yield %c
  }
  %y: f64[3] = mul %r, %r  # model.py:7
  return %y, 1.5:f64
}
""")


def test_graph() -> None:
    g = graph(F)
    labels = {facts["label"]: (key, facts) for key, facts in g.nodes(data=True)}
    assert list(labels) == [
        *("%p", "%x", "%r = cond", "%a", "%b = mul 2.0", "yield %b", "%c", "yield %c"),
        *("%y = mul", "return %y, 1.5"),
    ]
    cond, facts = labels["%r = cond"]
    assert facts == {"kind": "op", "label": "%r = cond", "types": "f64[3]", "region": ()}
    assert labels["%a"][1]["region"] == (f"{cond} then",)
    edges = {(a, b): d for a, b, d in g.edges(data=True)}
    assert edges[labels["%x"][0], cond] == {"name": "%x"}
    assert edges[cond, labels["%a"][0]]["enters"]
    assert len(edges) == 9


def test_dot() -> None:
    text = dot(F)
    assert text.startswith("digraph {")
    assert re.search(r'subgraph cluster_n2_then \{\n    label="then";\n    n3 \[label="%a', text)
    assert text.count("{") == text.count("}")
    assert 'n2 [label="%r = cond\\nf64[3]", shape=ellipse];' in text


class Page(HTMLParser):
    """Collects the text of <pre>, and checks that tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "pre" in self.open:
            self.text += data


def shown_on_page(function: Function) -> str:
    page = Page()
    page.feed(html(function))
    assert page.open == []
    return page.text


def test_the_page_holds_the_text() -> None:
    assert shown_on_page(F) == show(F)
    assert '<span class="value" data-v="x">%x</span>' in html(F)
    for seed in range(5):
        function, _ = random_function(seed, 8)
        assert shown_on_page(function) == show(function)
        assert dot(function).count("{") == dot(function).count("}")
