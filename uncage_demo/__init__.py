"""uncage-demo: watch, question and steer the order in which a masked generative transformer draws a picture.

import uncage_demo as ud
backend = ud.load_backend("embedded")
prompt = ud.parse_prompt("a turtle and a pink apple", backend)
baseline, guided = ud.compare(backend, prompt, [ud.DecodingConfig(), ud.DecodingConfig(order="uncage")])
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import lazy_loader

from uncage_demo.trace.shown import show_with

if TYPE_CHECKING:
    from uncage_demo.trace.record import Trace

# Where each public name lives stands in the stub beside this file; a name is imported on first use, so that `import uncage_demo` is quick
# and loads no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _as_player(traces: "Sequence[Trace]") -> str:
    from uncage_demo.player.notebook import show

    return show(traces)._repr_html_()


# A run is the value of many a notebook's cell; it shows itself as the player, which stands on traces and is loaded only then.
show_with(_as_player)
