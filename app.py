"""Entry point of the page: `python app.py`, and what a Space runs."""

from uncage_demo.ui.layout import build_ui
from uncage_demo.ui.theme import launch_options

demo = build_ui(ahead=__name__ == "__main__")

if __name__ == "__main__":
    demo.launch(**launch_options())
