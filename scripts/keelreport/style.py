"""House style of all plots: readable in grey and for the colour-blind, axes with units, machine in the caption."""
import io
import os

from keelreport import output

# Okabe and Ito's palette, ordered by lightness contrast, each with a dash pattern of its own for print in grey.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-"]


def apply():
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    plt.rcParams.update({
        "figure.dpi": 130, "savefig.dpi": 130, "font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "legend.frameon": False,
        "legend.fontsize": 8, "axes.titlesize": 10, "axes.titlelocation": "left",
    })


def line(i):
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


def legend(axes, **options):
    """The legend; beneath the axes where it would hide them."""
    entries = len(axes.get_legend_handles_labels()[0])
    if entries > 6:
        options.update(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2 if entries < 20 else 3, fontsize=5.5)
    if entries:
        axes.legend(**options)


def caption(figure, text):
    figure.text(0.01, 0.005, text, fontsize=6.5, color="#444444")


def save(figure, path):
    """PNG or SVG, by the end of the path. Raises output.BadOutput."""
    from matplotlib import pyplot as plt
    picture = io.BytesIO()
    figure.savefig(picture, format=os.path.splitext(path)[1][1:] or "png")
    plt.close(figure)
    output.write(path, picture.getvalue())
