"""Shape annotations of the engine's tensor functions are checked while testing."""

from jaxtyping import install_import_hook

_CHECKED = [f"uncage_demo.decoding.{module}" for module in ("noise", "order", "redraw", "schedule", "tokens")]
_CHECKED += [f"uncage_demo.orders.{module}" for module in ("contrast", "halton")]
install_import_hook(_CHECKED, "beartype.beartype")
