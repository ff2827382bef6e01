"""What tests ask of figures."""

from matplotlib.figure import Figure


def legends_over_lines(figure: Figure) -> list[int]:
    """Numbers of the panels whose legend lies over a panel's lines, or that have part of theirs outside of the figure."""
    figure.draw_without_rendering()
    panels = [axes.get_window_extent() for axes in figure.axes]
    wrong = []
    for number, axes in enumerate(figure.axes):
        legend = axes.get_legend()
        if legend is None:
            continue
        box = legend.get_window_extent()
        inside = figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max)
        if not inside or any(box.overlaps(panel) for panel in panels):
            wrong.append(number)
    return wrong
