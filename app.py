"""Entry point of the page: `python app.py`, and what a Space runs."""

from uncage_demo.ui.layout import build_ui
from uncage_demo.ui.results import read_ahead
from uncage_demo.ui.theme import launch_options

demo = build_ui()

if __name__ == "__main__":
    read_ahead()
    demo.launch(**launch_options())
