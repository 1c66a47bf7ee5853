"""Text that a model, a server or a file name may hold; wherever it comes out it is shown as text."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

PAYLOADS = (
    "<script>window.owned = 1</script>",
    "</script><script>window.owned = 1</script>",
    "</title></style></textarea><script>window.owned = 1</script>",
    "<img src=x onerror=window.owned=1>",
    "<IMG SRC=x OnError=window.owned=1 >",
    "<svg onload=window.owned=1>",
    "<svg><animate onbegin=window.owned=1 attributeName=x></svg>",
    "<math><mtext><script>window.owned=1</script></mtext></math>",
    "<iframe src='javascript:parent.owned=1'></iframe>",
    "<iframe srcdoc='<script>parent.owned=1</script>'></iframe>",
    "<a href='javascript:window.owned=1'>click</a>",
    "<a href=' JaVa\tScRiPt:window.owned=1'>click</a>",
    "<a href='data:text/html,<script>window.owned=1</script>'>click</a>",
    "<a href='vbscript:window.owned=1'>click</a>",
    "[click](javascript:window.owned=1)",
    "[click](<javascript:window.owned=1>)",
    "![image](http://example.invalid/pixel.png)",
    "<img src='http://example.invalid/pixel.png'>",
    "<link rel=stylesheet href='http://example.invalid/x.css'>",
    "<style>@import 'http://example.invalid/x.css'; * { display: none }</style>",
    "<p style='background:url(http://example.invalid/x)'>styled</p>",
    "<base href='http://example.invalid/'>",
    "<meta http-equiv=refresh content='0;url=http://example.invalid/'>",
    "<form action='http://example.invalid/'><input autofocus onfocus=window.owned=1></form>",
    "<object data='http://example.invalid/x'></object><embed src='http://example.invalid/x'>",
    "<video><source onerror=window.owned=1></video>",
    "<details open ontoggle=window.owned=1>x</details>",
    "<body onload=window.owned=1>",
    "<!--><script>window.owned=1</script>-->",
    "<![CDATA[<script>window.owned=1</script>]]>",
    "{{ 7 * 7 }}{% raw %}${7*7}<%= 7 * 7 %>",
    "```mermaid\ngraph LR; a[<img src=x onerror=window.owned=1>]\n```",
    "$\\href{javascript:window.owned=1}{x}$",
    "\u2028window.owned=1//\u2029",
    "\x1b[31mred\x1b[0m \x1b]8;;http://example.invalid\x07link\x1b]8;;\x07",
    "\u202eSSAP\u202c, really FAIL",
    "\x00\x08\x7f control",
    '"><script>window.owned=1</script>',
    "' onmouseover='window.owned=1",
    "&lt;script&gt;window.owned=1&lt;/script&gt;",
    "<script src='http://example.invalid/x.js'></script>",
    "<noscript><p title='</noscript><img src=x onerror=window.owned=1>'>",
    "<template><script>window.owned=1</script></template>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=owned=1&gt;'>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=window.owned=1/>#x'></use></svg>",
    "<svg><a xlink:href='javascript:window.owned=1'><text y=9>click</text></a></svg>",
    "<img src='data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+'>",
    "<img src='data:text/html,<script>window.owned=1</script>'>",
    "<p style='width: expression(window.owned=1); behavior: url(x)'>styled</p>",
    "<div style=position:fixed;inset:0;background:url(http://example.invalid/x)>over all</div>",
    "<button formaction='javascript:window.owned=1' autofocus onfocus=window.owned=1>press</button>",
    "<input type=image src='http://example.invalid/x'><audio autoplay src='http://example.invalid/y'>",
    "<link rel=dns-prefetch href='//example.invalid'><link rel=prefetch href='http://example.invalid/'>",
    "<marquee onstart=window.owned=1>x</marquee>",
    "<p onmouseover=window.owned=1 onclick=window.owned=1>point here</p>",
    "<p/onclick=window.owned=1>slash",
    "<b id=plotly class='plot js-plotly-plot'>a</b><img name=Plotly><form id=documentElement>",
    "<a name=figures href='#main' id=main>clobbered</a><form name=document><input name=fonts></form>",
    "<frameset onload=window.owned=1><frame src='javascript:parent.owned=1'></frameset>",
    "<title>another</title><h1>CERTIFIED</h1><p class=word>CERTIFIED</p>",
    "--><script>window.owned=1</script><!--",
    "*/</style><script>window.owned=1</script>",
    "]]></script><script>window.owned=1</script>",
    "[a]: javascript:window.owned=1\n\n[click][a] <javascript:window.owned=1>",
    '![x](x"onerror="window.owned=1) [y](# "\' onmouseover=\'window.owned=1")',
    "<<script>window.owned=1;//<</script>",
    "%3Cscript%3Ewindow.owned=1%3C/script%3E",
    "PA\u200bSS \u2066really\u2069 FA\u00adIL \ufeff\U000e0041",
    "\x9b31mred\x85",
    "=1+1\t@SUM(1)\r\n+cmd",
    "::error file=x::y\n::set-output name=x::y",
    "endless " + 3000 * "x",
)


def poisoned(document: Any, payloads: Iterator[str], spared: Collection[str] = ()) -> Any:
    """Returns a document with the next payload in place of each text in it, but under the `spared` keys."""
    if isinstance(document, Mapping):
        return {
            key: value if key in spared else poisoned(value, payloads, spared)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [poisoned(value, payloads, spared) for value in document]
    return next(payloads) if isinstance(document, str) else document
