"""uncage-demo: watch, question and steer the order in which a masked generative transformer draws a picture.

import uncage_demo as ud
backend = ud.load_backend("embedded")
prompt = ud.parse_prompt("a turtle and a pink apple", backend)
baseline, guided = ud.compare(backend, prompt, [ud.DecodingConfig(), ud.DecodingConfig(order="uncage")])
"""

import lazy_loader

# Where each public name lives stands in the stub beside this file; a name is imported on first use, so that `import uncage_demo` is quick
# and loads no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
